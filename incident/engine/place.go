package engine

import "strings"

// placeOf returns the place of an agent: agents at one place are told apart by a number.
func placeOf(vantage string) string {
	place, _, _ := strings.Cut(vantage, "#")
	return place
}

// voices returns how many say so, of how many: a place has one voice, that of the majority of its agents. Where there is but one place,
// each of its agents has one; several: there are more. held: last words that it is so count too.
func (t *tally) voices(held bool) (says, all int, several bool) {
	type ballot struct {
		yes, no, denied int
		live            bool
	}
	places := map[string]*ballot{}
	at := func(name string) *ballot {
		place := placeOf(name)
		if places[place] == nil {
			places[place] = &ballot{}
		}
		return places[place]
	}
	for _, name := range t.says {
		b := at(name)
		b.yes, b.live = b.yes+1, true
	}
	for _, name := range t.denies {
		b := at(name)
		b.no, b.live = b.no+1, true
	}
	for _, name := range t.denied {
		at(name).denied++
	}
	if held {
		for _, name := range t.held {
			at(name).yes++
		}
	}
	for _, b := range places {
		if len(places) == 1 {
			return b.yes, b.yes + b.no + b.denied, false
		}
		if !b.live {
			b.no += b.denied
		}
		if all++; b.yes > b.no {
			says++
		}
	}
	return says, all, all > 1
}

// speakers returns how to name those for whom agents speak: their places, or where all are at one, themselves.
func speakers(agents ...string) func(string) string {
	for _, name := range agents {
		if placeOf(name) != placeOf(agents[0]) {
			return placeOf
		}
	}
	return func(name string) string { return name }
}

// speak returns how many speakers agents have.
func speak(by func(string) string, agents ...[]string) int {
	all := map[string]bool{}
	for _, list := range agents {
		for _, name := range list {
			all[by(name)] = true
		}
	}
	return len(all)
}
