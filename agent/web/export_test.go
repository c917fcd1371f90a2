package web

import "slices"

// Routes returns every route that New serves: the path as OpenAPI writes it, and its methods in lower case order.
func Routes(o Options) map[string][]string {
	all := map[string][]string{}
	for _, r := range (&site{Options: o}).routes() {
		path := r.path
		if path == "/{$}" {
			path = "/"
		}
		for m := range r.methods {
			all[path] = append(all[path], m)
		}
		slices.Sort(all[path])
	}
	return all
}

// Clean, Exact and Bounded are tested by themselves.
var (
	Clean   = clean
	Exact   = exact
	Bounded = bounded
)
