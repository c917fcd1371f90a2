package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
)

// maxPoints is how many points of a series one request asks for; Prometheus allows 11,000.
const maxPoints = 10_000

// DefaultStep is the resolution at which Prometheus is asked: how often most of them measure.
const DefaultStep = time.Minute

// Prometheus is a Prometheus, or what answers as one. Its zero value but for URL and Query asks for one series at a minute's step.
type Prometheus struct {
	URL     string // http://host:9090, or what comes before /api/v1
	Query   string // of the latency, in seconds
	Success string // of 0 and 1; 0 is a failure; "": there are none
	Label   string // whose value is the probe's id, where there are several series; "": there is one series
	Probe   string // id of the results where Label is ""
	Step    time.Duration
	Bearer  secret.Value // token; not set: none
	User    string       // of basic authentication; "": none
	Pass    secret.Value
	CAFile  string // PEM of the authority that signed its certificate; "": those of the system
}

// String returns its address.
func (p Prometheus) String() string { return secret.RedactURL(p.URL) }

// Each implements Source. A point without a latency and without a success is a gap; where Success says 0 the run failed. Both
// bounds are needed: a zero to is an error, as Prometheus has no end; a zero from is 30 days before to.
func (p Prometheus) Each(ctx context.Context, from, to time.Time, fn func(probes.Result) error) error {
	if to.IsZero() {
		return errors.New("prometheus must be asked up to some instant: give an end")
	}
	if from.IsZero() {
		from = to.AddDate(0, 0, -30)
	}
	step := cmp.Or(p.Step, DefaultStep)
	c, err := newCaller(p)
	if err != nil {
		return err
	}
	defer c.close()
	step = max(step, time.Millisecond)
	if at := from.Truncate(step); at.Before(from) { // round instants: the same points whenever it is asked
		from = at.Add(step)
	}
	var waiting []probes.Result
	found := false
	for ; from.Before(to); from = from.Add(maxPoints * step) {
		end := from.Add((maxPoints - 1) * step)
		if !end.Before(to) {
			end = to.Add(-1).Truncate(time.Millisecond)
		}
		list, err := p.chunk(ctx, c, from, end, step)
		if err != nil {
			return err
		}
		found = found || len(list) > 0
		waiting = append(waiting, list...)
		slices.SortStableFunc(waiting, func(a, b probes.Result) int { return cmp.Or(a.End().Compare(b.End()), a.Start.Compare(b.Start)) })
		if waiting, err = pass(waiting, from.Add(maxPoints*step), fn); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("prometheus at %s has nothing for %s in that time: try the query on its own page, and look at the time asked for", p, secret.Plain(p.Query, 200))
	}
	_, err = pass(waiting, time.Time{}, fn)
	return err
}

// pass calls fn with the results that ended before an instant (zero: with all) and returns the others.
func pass(list []probes.Result, before time.Time, fn func(probes.Result) error) ([]probes.Result, error) {
	for i, r := range list {
		if !before.IsZero() && !r.End().Before(before) {
			return slices.Clone(list[i:]), nil
		}
		if err := fn(r); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// chunk returns the results of one request, or of two.
func (p Prometheus) chunk(ctx context.Context, c *caller, from, end time.Time, step time.Duration) ([]probes.Result, error) {
	latencies, err := p.series(ctx, c, p.Query, from, end, step)
	if err != nil {
		return nil, err
	}
	successes := map[string]map[int64]float64{}
	if p.Success != "" {
		if successes, err = p.series(ctx, c, p.Success, from, end, step); err != nil {
			return nil, err
		}
	}
	var list []probes.Result
	for _, probe := range slices.Sorted(maps.Keys(together(latencies, successes))) {
		took, answered := latencies[probe], successes[probe]
		for _, at := range slices.Sorted(maps.Keys(together(took, answered))) {
			if r, ok := p.result(probe, at, took, answered); ok {
				list = append(list, r)
			}
		}
	}
	return list, nil
}

func (p Prometheus) result(probe string, at int64, took, answered map[int64]float64) (probes.Result, bool) {
	seconds, measured := took[at]
	success, said := answered[at]
	r := probes.Result{Probe: probe, Start: time.UnixMilli(at).UTC(), Outcome: probes.Up}
	if measured {
		r.Duration = time.Duration(math.Round(seconds * float64(time.Second)))
	}
	switch {
	case said && success == 0:
		failed(&r, probes.None)
	case !measured:
		return r, false // it answered, but how fast is not known
	}
	return r, true
}

func together[K comparable, V, W any](a map[K]V, b map[K]W) map[K]struct{} {
	all := make(map[K]struct{}, len(a))
	for k := range a {
		all[k] = struct{}{}
	}
	for k := range b {
		all[k] = struct{}{}
	}
	return all
}

// matrix is the answer of query_range.
type matrix struct {
	Status    string `json:"status"`
	ErrorType string `json:"errorType"`
	Error     string `json:"error"`
	Data      struct {
		ResultType string   `json:"resultType"`
		Result     []series `json:"result"`
	} `json:"data"`
}

type series struct {
	Metric map[string]string `json:"metric"`
	Values [][2]any          `json:"values"` // Unix seconds, a number as text
}

// series asks for a query and returns its values by probe and by Unix milliseconds.
func (p Prometheus) series(ctx context.Context, c *caller, query string, from, end time.Time, step time.Duration) (map[string]map[int64]float64, error) {
	unix := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	answer, err := c.get(ctx, url.Values{
		"query": {query}, "start": {unix(from)}, "end": {unix(end)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	})
	if err != nil {
		return nil, err
	}
	list := answer.Data.Result
	if len(list) > 1 && p.Label == "" {
		return nil, fmt.Errorf("prometheus at %s has %d series for %s, and one is wanted: %s", p, len(list), secret.Plain(query, 200), differing(list))
	}
	all := map[string]map[int64]float64{}
	for _, s := range list {
		probe := p.Probe
		if p.Label != "" {
			if probe = s.Metric[p.Label]; probe == "" {
				return nil, fmt.Errorf("prometheus at %s has a series for %s without the label %q, whose value is wanted as the probe", p, secret.Plain(query, 200), secret.Plain(p.Label, 60))
			}
		}
		if all[probe] != nil {
			return nil, fmt.Errorf("prometheus at %s has several series for %s with %s=%q: %s", p, secret.Plain(query, 200), p.Label, secret.Plain(probe, 60), differing(list))
		}
		if all[probe], err = s.values(); err != nil {
			return nil, fmt.Errorf("prometheus at %s does not answer as Prometheus does: %w", p, err)
		}
	}
	return all, nil
}

func (s series) values() (map[int64]float64, error) {
	all := make(map[int64]float64, len(s.Values))
	for _, v := range s.Values {
		at, ok := v[0].(float64)
		text, isText := v[1].(string)
		n, err := strconv.ParseFloat(text, 64)
		if !ok || !isText || err != nil {
			return nil, errors.New("a value is no number")
		}
		const longest = 86_400
		if math.IsNaN(n) || n < 0 || n > longest {
			continue // stale, or no latency at all
		}
		all[int64(math.Round(at*1000))] = n
	}
	return all, nil
}

// differing says in which labels several series differ.
func differing(list []series) string {
	values := map[string][]string{}
	for _, s := range list {
		for label, value := range s.Metric {
			if !slices.Contains(values[label], value) {
				values[label] = append(values[label], value)
			}
		}
	}
	var differ []string
	for _, label := range slices.Sorted(maps.Keys(values)) {
		v := values[label]
		missing := slices.ContainsFunc(list, func(s series) bool { _, has := s.Metric[label]; return !has })
		if len(v) < 2 && !missing {
			continue
		}
		more := ""
		if len(v) > 3 {
			v, more = v[:3], ", ..."
		}
		differ = append(differ, fmt.Sprintf("%s (%s%s)", label, strings.Join(v, ", "), more))
	}
	return "pick one by its labels, or name the label whose value is the probe; they differ in " + secret.Plain(strings.Join(differ, ", "), 400)
}
