package agent

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

func openRefuge(t *testing.T, dirs ...string) *refuge {
	t.Helper()
	r, err := newRefuge(t.Context(), dirs, "acme-weu", quiet)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func owes(t *testing.T, r *refuge) bool {
	t.Helper()
	yes, err := r.owes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return yes
}

// What was decided alone survives the process, and is handed over whole: what is new, and what changed since the snapshot.
func TestWhatIsDecidedAloneSurvivesARestartUntilItIsHandedOver(t *testing.T) {
	for name, dirs := range map[string][]string{"in files": {filepath.Join(t.TempDir(), "state")}, "in memory": nil} {
		now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
		known := incident.Incident{ID: "known", Class: incident.Availability, Root: "backend", Opened: now, Updated: now}
		calm := incident.Incident{ID: "calm", Class: incident.Capacity, Root: "files", Opened: now, Updated: now}
		r := openRefuge(t, dirs...)
		r.keep(store.Snapshot{
			At: now, State: []byte("{}"), Incidents: []incident.Incident{known, calm},
			Events: []incident.Event{{Seq: 70, Incident: "known", At: now, Kind: incident.EventOpened, Text: "before"}},
			Cases:  []incident.Case{{Incident: "known", Desk: "soc", Ref: "7", Number: "7", Noted: 70}, {Incident: "calm", Desk: "soc", Ref: "8", Number: "8"}},
		})
		if owes(t, r) {
			t.Errorf("%s: something is owed before anything was decided", name)
		}
		if err := r.adopt(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.keep(store.Snapshot{At: now.Add(time.Hour)}) // it was read before, and comes late
		raised, fresh := known, incident.Incident{ID: "fresh", Class: incident.Availability, Root: "web-client", Opened: now, Updated: now}
		raised.Updated, raised.Priority = now.Add(time.Minute), incident.P1
		err := r.own.Commit(t.Context(), store.Commit{At: now, Incidents: []incident.Incident{raised, fresh}, Events: []incident.Event{
			{Incident: "known", At: now.Add(time.Minute), Kind: incident.EventRaised, Text: "raised"}, {Incident: "fresh", At: now, Kind: incident.EventOpened, Text: "opened"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if dirs != nil {
			second := openRefuge(t, dirs...) // another agent of this vantage, on this machine
			if owes(t, second) || second.base == r.base {
				t.Errorf("a second agent has the first one's files, %s", second.base)
			}
			if err := second.close(); err != nil {
				t.Error(err)
			}
			if err := r.close(); err != nil {
				t.Fatal(err)
			}
			r = openRefuge(t, dirs...)
			if err := r.adopt(t.Context()); err != nil { // the database is away still
				t.Fatal(err)
			}
		}
		list, err := r.handed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for _, h := range list {
			got[h.Incident.ID] = nil
			for _, e := range h.Events {
				got[h.Incident.ID] = append(got[h.Incident.ID], e.Text)
			}
		}
		if diff := cmp.Diff(map[string][]string{"known": {"raised"}, "fresh": {"opened"}}, got); diff != "" {
			t.Errorf("%s: what is handed over differs (-want +got):\n%s", name, diff)
		}
		if !owes(t, r) {
			t.Errorf("%s: nothing is owed before it is handed over", name)
		}
		if err := r.clear(t.Context()); err != nil || owes(t, r) {
			t.Errorf("%s: after the handover something is owed (%v)", name, err)
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}
}

func always() bool { return true }

// Results of a time alone come into the shared store once, also where bringing them is broken off.
func TestResultsOfATimeAloneAreBroughtOnce(t *testing.T) {
	dir := t.TempDir()
	r := openRefuge(t, dir)
	spool, err := r.spool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	var list []probes.Result
	for n := range 2*chunk + 500 {
		list = append(list, probes.Result{Probe: "backend/http", Start: start.Add(time.Duration(n) * time.Second), Duration: time.Millisecond, Outcome: probes.Up})
	}
	if err := spool.AppendResults(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	shared, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "shared.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.AppendResults(t.Context(), list[:chunk]); err != nil { // a life before got so far
		t.Fatal(err)
	}
	r.done = chunk
	if n, err := r.pour(t.Context(), spool, shared, always); err != nil || n != len(list)-chunk {
		t.Errorf("%d results were brought, want %d (%v)", n, len(list)-chunk, err)
	}
	if n, err := r.pour(t.Context(), spool, shared, always); err != nil || n != 0 {
		t.Errorf("%d results were brought a second time (%v)", n, err)
	}
	got, err := shared.Results(t.Context(), "backend/http", time.Time{}, time.Time{}, len(list)+1)
	if err != nil || len(got) != len(list) {
		t.Errorf("the shared store has %d results, want %d (%v)", len(got), len(list), err)
	}
	if !r.spooled() {
		t.Error("the spool is not found after a restart")
	}
	for _, err := range []error{r.dropSpool(spool), shared.Close(), r.close()} {
		if err != nil {
			t.Error(err)
		}
	}
	if r.spooled() {
		t.Error("the spool is there still")
	}
}

// A shared store that hangs while it is brought results does not keep the writer from the spool, which has one connection in memory.
func TestResultsThatHangKeepNobodyFromTheSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := openRefuge(t)
		spool, err := r.spool(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		result := func(n int) probes.Result {
			return probes.Result{Probe: "backend/http", Start: time.Now().Add(time.Duration(n) * time.Millisecond), Outcome: probes.Up}
		}
		var list []probes.Result
		for n := range chunk + 1 {
			list = append(list, result(n))
		}
		if err := spool.AppendResults(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		shared := &disk{slow: time.Hour}
		poured := make(chan int)
		go func() {
			n, _ := r.pour(t.Context(), spool, shared, always)
			poured <- n
		}()
		synctest.Wait()
		began := time.Now()
		if err := spool.AppendResults(t.Context(), []probes.Result{result(0)}); err != nil || time.Since(began) > pourWait {
			t.Errorf("the writer waited %s for the spool (%v)", time.Since(began), err)
		}
		if n := <-poured; n != chunk || r.done != chunk {
			t.Errorf("%d results are known to be brought, %d are skipped the next time, want %d", n, r.done, chunk)
		}
		shared.breaks(nil, 0)
		if n, err := r.pour(t.Context(), spool, shared, func() bool { return false }); n != 0 || !errors.Is(err, errBrokenOff) {
			t.Errorf("an agent that is alone again brought %d (%v)", n, err)
		}
		if n, err := r.pour(t.Context(), spool, shared, always); n != 2 || err != nil {
			t.Errorf("%d more are brought, want 2 (%v)", n, err)
		}
		for _, err := range []error{r.dropSpool(spool), r.close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// A file of results that is damaged keeps no agent from judging alone.
func TestADamagedFileOfResultsKeepsNobodyFromJudgingAlone(t *testing.T) {
	r := openRefuge(t, t.TempDir())
	file := r.base + "-results.db"
	if err := os.WriteFile(file, bytes.Repeat([]byte("damaged "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	r.done = 5 // of the file
	spool, err := r.spool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shared, err := store.Open(t.Context(), "sqlite::memory:", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	if err := spool.AppendResults(t.Context(), []probes.Result{{Probe: "backend/http", Start: start, Outcome: probes.Up}}); err != nil {
		t.Error(err)
	}
	if n, err := r.pour(t.Context(), spool, shared, always); err != nil || n != 1 {
		t.Errorf("%d results were brought, want 1 (%v)", n, err)
	}
	for _, err := range []error{r.dropSpool(spool), shared.Close(), r.close()} {
		if err != nil {
			t.Error(err)
		}
	}
	if r.spooled() {
		t.Error("the damaged file is there still")
	}
}

// What the shared store's clock shows is known without it, and after a restart.
func TestTheSharedClockIsRemembered(t *testing.T) {
	dir := t.TempDir()
	r := openRefuge(t, dir)
	r.keepClock(-10 * time.Minute)
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	if r = openRefuge(t, dir); r.clock() != -10*time.Minute {
		t.Errorf("after a restart it is off by %s", r.clock())
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
}
