package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident/engine"
)

// acceptPath takes the probe's id as a parameter: an id has slashes, and proxies refuse, or undo, an escaped slash in a path.
const acceptPath = "/api/v1/probes/accept"

// Accepted is the answer of POST /api/v1/probes/accept.
type Accepted struct {
	Probe    string        `json:"probe"`
	Expected time.Duration `json:"expected"` // latency that was normal before, 0: not known
	Slow     bool          `json:"slow"`     // a speed problem of the probe has ended with it
}

// accept takes the latency that a probe measures now as normal, as an operator decides after a permanent change.
func (s *site) accept(r *http.Request) (any, error) {
	q := query{values: r.URL.Query()}
	id := q.text("probe")
	if id == "" {
		q.fail("probe", "is missing", "GET /api/v1/components lists the probes' ids")
	}
	if q.fault != nil {
		return nil, q.fault
	}
	o, err := readOrder(r)
	if err != nil {
		return nil, err
	}
	if f := o.check(""); f != nil {
		return nil, f
	}
	p, f := s.learnt(id)
	if f != nil {
		return nil, f
	}
	if !s.Agent.Accept(id, o.Actor, o.Reason) {
		return nil, &fault{
			Status: http.StatusConflict, Message: fmt.Sprintf("too little of probe %q is measured to say what is normal now", id),
			Hint: "that takes six hours of answers, and four runs, each 20 s or more after the one before, since the newest outage, gap or acceptance: try again later",
		}
	}
	s.Log.Info("latency accepted", "probe", id, "actor", o.Actor)
	return Accepted{Probe: id, Expected: p.Baseline.Expected, Slow: regression(p) != nil}, nil
}

// learnt returns the probe of that id, about which something is learnt, or why there is none.
func (s *site) learnt(id string) (engine.ProbeView, *fault) {
	var ids []string
	for p := range probesOf(s.Agent.View()) {
		switch {
		case p.ID != id:
			ids = append(ids, p.ID)
		case p.Baseline == nil:
			return p, &fault{
				Status: http.StatusConflict, Message: fmt.Sprintf("probe %q is a witness: nothing is learnt about it", id),
				Hint: "name a probe of a component; GET /api/v1/components lists them",
			}
		default:
			return p, nil
		}
	}
	hint := "GET /api/v1/components lists the probes' ids"
	if near := nearest(id, ids); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return engine.ProbeView{}, &fault{Status: http.StatusNotFound, Message: fmt.Sprintf("there is no probe %q", bounded(clean(id), 120)), Hint: hint}
}

// nearest returns the id that a person most likely meant: one that holds all that was written, if it is the only one, or the one that
// differs in the fewest letters, if those are at most a third; "" for none.
func nearest(written string, ids []string) string {
	written = strings.ToLower(written)
	var holds []string
	best, distance := "", max(1, len(written)/3)+1
	for _, id := range ids {
		lower := strings.ToLower(id)
		if len(written) > 2 && strings.Contains(lower, written) {
			holds = append(holds, id)
		}
		if d := edits(written, lower); d < distance {
			best, distance = id, d
		}
	}
	if len(holds) == 1 {
		return holds[0]
	}
	return best
}

// edits counts the bytes that must be inserted, deleted or replaced to turn a into b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
