package history

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
)

var start = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

// fake answers every query with one series of a point a step.
type fake struct {
	t       *testing.T
	answers []func(w http.ResponseWriter, r *http.Request) // of the first requests; a nil one is a right answer
	asked   atomic.Int32
	value   string
	most    int // points in one answer
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(f.asked.Add(1)) - 1
	if n < len(f.answers) && f.answers[n] != nil {
		f.answers[n](w, r)
		return
	}
	number := func(name string) float64 {
		v, err := strconv.ParseFloat(r.FormValue(name), 64)
		if err != nil {
			f.t.Errorf("%s: %v", name, err)
		}
		return v
	}
	step := number("step")
	var values [][2]any
	for at := number("start"); at <= number("end")+1e-9; at += step {
		values = append(values, [2]any{at, f.value})
	}
	f.most = max(f.most, len(values))
	var m matrix
	m.Status, m.Data.ResultType = "success", "matrix"
	m.Data.Result = []series{{Metric: map[string]string{"instance": "a"}, Values: values}}
	_ = json.NewEncoder(w).Encode(m)
}

func says(status int, text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, text)
	}
}

func newFake(t *testing.T, f *fake) Prometheus {
	t.Helper()
	f.t = t
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return Prometheus{URL: server.URL + "/", Query: "latency", Probe: "p"}
}

// TestChunks states that no answer holds more points than a Prometheus gives, and that none is lost or doubled between two.
func TestChunks(t *testing.T) {
	f := &fake{value: "0.25"}
	p := newFake(t, f)
	p.Step = 30 * time.Second
	const points = 25_001
	seen, last := 0, start.Add(-p.Step)
	if err := p.Each(t.Context(), start, start.Add((points-1)*p.Step+1), func(r probes.Result) error {
		if !r.Start.Equal(last.Add(p.Step)) || r.Duration != 250*time.Millisecond || r.Outcome != probes.Up || r.Probe != "p" {
			t.Fatalf("%+v follows %s", r, last)
		}
		seen, last = seen+1, r.Start
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if seen != points || f.asked.Load() != 3 || f.most > 11_000 {
		t.Errorf("%d points in %d answers of at most %d; want %d in 3", seen, f.asked.Load(), f.most, points)
	}
}

// TestLongRuns states that the order is that of the ends, over the border of two answers too.
func TestLongRuns(t *testing.T) {
	f := &fake{value: "100"}
	p := newFake(t, f)
	p.Success = "up"
	last, n := time.Time{}, 0
	if err := p.Each(t.Context(), start, start.Add(20_500*time.Minute), func(r probes.Result) error {
		if r.End().Before(last) {
			t.Fatalf("%s comes after %s", r.End(), last)
		}
		last, n = r.End(), n+1
		return nil
	}); err != nil || n != 20_500 {
		t.Errorf("%d results, %v", n, err)
	}
}

func TestFaultsOfPrometheus(t *testing.T) {
	const token = "hunter2hunter2"
	many := `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"instance":"a","job":"x"},"values":[[1767312000,"1"]]},{"metric":{"instance":"b","job":"x"},"values":[]}]}}`
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		asked  int32
		want   []string
	}{
		"bad query":     {says(400, `{"status":"error","errorType":"bad_data","error":"1:3: parse error: unexpected \"}\""}`), 1, []string{"400", "parse error: unexpected", "mend the query"}},
		"unauthorised":  {says(401, "Unauthorized"), 1, []string{"401", "bearer token"}},
		"forbidden":     {says(403, "no"), 1, []string{"403", "bearer token"}},
		"not found":     {says(404, "404 page not found"), 1, []string{"404", "what comes before /api/v1"}},
		"too much":      {says(422, `{"status":"error","errorType":"execution","error":"query processing would load too many samples"}`), 1, []string{"422", "too many samples", "narrow it"}},
		"busy":          {says(503, `{"status":"error","errorType":"timeout","error":"query timed out"}`), 4, []string{"503", "query timed out", "step longer"}},
		"redirects":     {says(302, ""), 1, []string{"302", "final address"}},
		"echoes secret": {says(400, "what is "+token), 1, []string{"400"}},
		"something":     {says(200, "<html>hello"), 1, []string{"does not answer as Prometheus does"}},
		"a vector":      {says(200, `{"status":"success","data":{"resultType":"vector","result":[]}}`), 1, []string{`"vector" instead of a matrix`}},
		"no number":     {says(200, `{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1767312000,"x"]]}]}}`), 1, []string{"a value is no number"}},
		"empty":         {says(200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`), 1, []string{"has nothing for latency", "try the query"}},
		"several":       {says(200, many), 1, []string{"2 series for latency, and one is wanted", "instance (a, b)"}},
		"error in 200":  {says(200, `{"status":"error","error":"odd"}`), 1, []string{"odd"}},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for range 40 {
				_, _ = w.Write([]byte(strings.Repeat(" ", 1<<20)))
			}
		}, 1, []string{"longer than 32 MiB"}},
		"breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		}, 1, []string{"broke off"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{answers: []func(http.ResponseWriter, *http.Request){tc.answer, tc.answer, tc.answer, tc.answer}}
			p := newFake(t, f)
			p.Bearer = secret.New(token)
			err := p.Each(t.Context(), start, start.Add(time.Hour), func(probes.Result) error { return nil })
			for _, want := range append(tc.want, p.String()) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q in it", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), token) {
				t.Errorf("the token is in the error: %v", err)
			}
			if f.asked.Load() != tc.asked {
				t.Errorf("asked %d times, want %d", f.asked.Load(), tc.asked)
			}
		})
	}
}

func TestBusyAtFirst(t *testing.T) {
	f := &fake{value: "1", answers: []func(http.ResponseWriter, *http.Request){says(503, "starting"), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}}
	if got := all(t, newFake(t, f), start, start.Add(10*time.Minute)); len(got) != 10 || f.asked.Load() != 3 {
		t.Errorf("%d results by %d requests, want 10 by 3", len(got), f.asked.Load())
	}
}

func TestPrometheusThatCannotBe(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	tls := httptest.NewTLSServer(&fake{t: t, value: "1"})
	t.Cleanup(tls.Close)
	for name, tc := range map[string]struct {
		p    Prometheus
		want string
	}{
		"no address": {Prometheus{URL: "prometheus:9090"}, "is not the address of a Prometheus"},
		"password":   {Prometheus{URL: "ftp://ada:hunter2@host/"}, "want http://host:9090"},
		"nobody":     {Prometheus{URL: closed.URL}, "check its address"},
		"untrusted":  {Prometheus{URL: tls.URL}, "PEM file of the authority"},
		"no ca":      {Prometheus{URL: tls.URL, CAFile: "/nowhere.pem"}, "authority's certificate cannot be read"},
		"bad ca":     {Prometheus{URL: tls.URL, CAFile: write(t, "ca.pem", "x")}, "holds no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tc.p.Each(t.Context(), start, start.Add(time.Hour), func(probes.Result) error { return nil })
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	if err := (Prometheus{URL: closed.URL}).Each(t.Context(), start, time.Time{}, nil); err == nil {
		t.Error("asked without an end")
	}
}
