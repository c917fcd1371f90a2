package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed templates static
var files embed.FS

// asset is an embedded file of the pages.
type asset struct {
	kind string
	body []byte
}

var assetKinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// assets are the embedded files by name, and a stamp that changes when any of them does.
type assets struct {
	files map[string]asset
	stamp string
}

var loadAssets = sync.OnceValue(func() assets {
	entries, _ := files.ReadDir("static") // what is embedded can always be read
	all, sum := map[string]asset{}, sha256.New()
	for _, e := range entries {
		body, _ := files.ReadFile("static/" + e.Name())
		all[e.Name()] = asset{assetKinds[path.Ext(e.Name())], body}
		sum.Write(body)
	}
	return assets{all, hex.EncodeToString(sum.Sum(nil)[:6])}
})

// static serves the embedded files; an address that carries the right stamp never changes.
func (s *site) static(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets.files[r.PathValue("name")]
	if !ok {
		s.refuse(w, r, &fault{Status: http.StatusNotFound, Message: "there is no such file"})
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == s.assets.stamp {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(a.body)
}

// pair hands two values to a part of a page.
type pair struct{ First, Second any }

// loadPages parses each page with the layout and the parts; they are embedded, so that a fault in one shows in every test.
var loadPages = sync.OnceValue(func() map[string]*template.Template {
	functions := template.FuncMap{
		"clean": clean,
		"sentence": func(clause string) string {
			clause = clean(clause)
			return strings.ToUpper(clause[:1]) + clause[1:] + "."
		},
		"lines": cleanLines,
		"count": plural,
		"took":  latency,
		"pair":  func(first, second any) pair { return pair{first, second} },
		"upper": func(s any) string { return strings.ToUpper(fmt.Sprint(s)) },
		"words": func(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "-", " ") },
		"lower": func(s any) string { return strings.ToLower(fmt.Sprint(s)) },
	}
	base := template.Must(template.New("").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts.html"))
	pages := map[string]*template.Template{}
	for _, name := range []string{"status", "incidents", "incident", "component", "maintenance", "agent", "login", "error", "wall"} {
		pages[name] = template.Must(template.Must(base.Clone()).ParseFS(files, "templates/"+name+".html"))
	}
	return pages
})
