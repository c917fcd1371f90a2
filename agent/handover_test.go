package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// nowhere is the target of an agent whose probes do not run.
var nowhere = &target{Server: &httptest.Server{URL: "http://127.0.0.1:1"}}

// partner is an agent among several whose beats a test makes. Its shared store is an SQLite file, in which every agent that beats leads.
type partner struct {
	*member
	t *testing.T
}

// newPartner returns one that owes what it decided alone in a life before: incidents of those names.
func newPartner(t *testing.T, owed ...string) *partner {
	t.Helper()
	s := newSite(t, nowhere, nowhere)
	c, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), Options{Config: c, Version: "test", AlertOnly: true, NoPage: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	m, err := a.newMember(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.member = m
	p := &partner{member: m, t: t}
	p.s.grace = time.Minute
	p.decide(owed...)
	t.Cleanup(func() {
		p.errands.Wait()
		a.endDesks()
		if d := a.desks.Load(); d != nil {
			<-d.done
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// decide lets it have opened incidents alone.
func (p *partner) decide(ids ...string) {
	p.t.Helper()
	for _, id := range ids {
		now := p.a.clock.Now()
		i := incident.Incident{ID: id, Class: incident.Availability, Root: id, Components: []string{id}, Priority: incident.P2, Opened: now, Updated: now}
		if err := p.refuge.own.Commit(p.t.Context(), store.Commit{At: now, State: []byte("{}"), Incidents: []incident.Incident{i}}); err != nil {
			p.t.Fatal(err)
		}
		p.s.owes = true
	}
}

// heard lets a beat be answered: leads says whether the agent has the lead.
func (p *partner) heard(leads bool) {
	r := store.Round{Self: "weu", Leader: "dk", Epoch: 7}
	if leads {
		r.Leading, r.Leader, r.Lease = true, "weu", time.Hour
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s.heard(p.now(), p.now(), r)
}

// away lets beats fail, one a second.
func (p *partner) away(d time.Duration) {
	for range int(d / time.Second) {
		time.Sleep(time.Second)
		p.mu.Lock()
		p.s.missed(p.now())
		p.mu.Unlock()
		p.act(p.t.Context())
	}
}

// acts lets it act so often, with all the time between that is needed.
func (p *partner) acts(times int) {
	for range times {
		synctest.Wait()
		p.act(p.t.Context())
	}
	synctest.Wait()
}

// halt lets no write to the shared store end until the function is called that it returns.
func (p *partner) halt() (resume func()) {
	p.t.Helper()
	shared := p.a.store.shared.Load()
	c, err := shared.CreateDeskCase(p.t.Context(), incident.StoredCase{Key: "halt", Created: p.a.clock.Now()})
	if err != nil {
		p.t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	refuse := errors.New("not changed")
	go func() {
		defer close(ended)
		_ = shared.UpdateDeskCase(p.t.Context(), c.Number, func(*incident.StoredCase) error { <-stop; return refuse })
	}()
	synctest.Wait()
	return func() { close(stop); <-ended }
}

func (p *partner) handovers() (ids []string) {
	p.t.Helper()
	all, err := p.a.store.shared.Load().Handovers(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, h := range all {
		ids = append(ids, h.Incident.ID)
	}
	return ids
}

// An agent that was alone opens nothing by what the others believe, which it hears with the first answer of the database: that is of before, and whoever
// leads judges by it.
func TestWhoIsAloneHearsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t)
		p.away(2 * time.Minute)
		if p.last != alone || p.a.store.own.Load() == nil {
			t.Fatalf("it is a %s", p.last)
		}
		var packer engine.Packer
		vote, err := packer.Encode(engine.Vote{Vantage: "dk", At: time.Now(), Blind: true, BlindSince: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		r := store.Round{Self: "weu", Leader: "dk", Peers: []store.Peer{{Voter: "dk", Vote: vote}}}
		heard := func() int { p.hear(r); synctest.Wait(); return len(p.a.judge.engine.(*engine.Engine).Heard()) }
		p.heard(false)
		if n := heard(); n > 0 {
			t.Errorf("it heard %d", n)
		}
		if p.acts(1); len(p.handovers()) > 0 {
			t.Errorf("it hands over %q", p.handovers())
		}
		if n := heard(); n != 1 {
			t.Errorf("it follows, and heard %d", n)
		}
	})
}

// A database that goes away again in the middle of a handover keeps no agent from judging alone, and what was decided meanwhile is handed over, too.
func TestAHandoverThatHangsKeepsNobodyFromJudgingAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t, "backend")
		resume := p.halt()
		p.heard(false)
		began := time.Now()
		p.act(t.Context())
		if waited := time.Since(began); waited > 0 {
			t.Errorf("the beats waited %s for the handover", waited)
		}
		p.away(2 * time.Minute)
		if p.last != alone || p.a.store.own.Load() == nil {
			t.Fatalf("it is a %s", p.last)
		}
		p.decide("web-client")
		resume()
		p.heard(false)
		p.acts(5) // it follows, begins anew, and sees the end of that
		if got := p.handovers(); len(got) != 2 || p.s.owes {
			t.Errorf("%q wait for the leader (more is owed: %t)", got, p.s.owes)
		}
	})
}

// One that still writes, in an earlier lead, what it took does not begin another before that is over: in it that would be of before it judges.
func TestNoLeadBeginsWhileAnEarlierOneStillWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t)
		stuck := make(chan struct{})
		p.taking = p.begin(func() error { <-stuck; return errors.New("of before") })
		p.heard(true)
		p.acts(3)
		if p.last == leader || p.a.desks.Load() != nil {
			t.Error("it judges while what it took before is being written")
		}
		p.s.voters = []string{"dk", "weu"}
		for range unfitAfter {
			time.Sleep(voteEvery)
			p.acts(1)
		}
		if p.s.wants(p.now()) {
			t.Error("it keeps the lead in which it cannot judge from the others")
		}
		close(stuck)
		p.acts(1)
		if p.last != leader || p.a.desks.Load() == nil {
			t.Error("it does not judge afterwards")
		}
	})
}

// An agent that has the lead before it handed over does so all the same, when the reconciler of its time alone says nothing more, and takes it itself.
func TestALeaderHandsOverWhatItDidAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t)
		p.heard(false)
		p.away(2 * time.Minute)
		p.decide("backend")
		p.a.endDesks()
		<-p.a.desks.Load().done
		busy := &desking{store: p.a.store.own.Load(), ctx: t.Context(), cancel: func() {}, done: make(chan struct{})}
		p.a.desks.Store(busy)
		for range 5 {
			p.heard(true) // it owes for so long that it asks for the lead again
			p.acts(1)
		}
		if p.last != leader || !p.s.owes || len(p.handovers()) > 0 {
			t.Errorf("a %s handed over before a call of its reconciler ended", p.last)
		}
		close(busy.done)
		p.acts(5)
		if got := p.handovers(); len(got) != 1 || p.s.owes {
			t.Fatalf("%q wait for the leader (more is owed: %t)", got, p.s.owes)
		}
		if err := p.takeHandovers(t.Context(), p.a.store.shared.Load(), true); err != nil {
			t.Fatal(err)
		}
		open, err := p.a.store.Incidents(t.Context(), store.IncidentFilter{Open: true})
		if err != nil || len(open) != 1 || open[0].ID != "backend" || len(p.handovers()) > 0 {
			t.Errorf("%+v are open (%v)", open, err)
		}
	})
}

// What an agent looks at beside the beats does not wait for the results of its time alone.
func TestResultsThatHangStopNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t)
		spool, err := p.spool(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := spool.AppendResults(t.Context(), []probes.Result{{Probe: "backend/http", Start: time.Now(), Outcome: probes.Up}}); err != nil {
			t.Fatal(err)
		}
		shared, now := p.a.store.shared.Load(), time.Now()
		i := incident.Incident{ID: "backend", Class: incident.Availability, Root: "backend", Opened: now, Updated: now}
		if err := shared.Commit(t.Context(), store.Commit{At: now, Incidents: []incident.Incident{i}}); err != nil {
			t.Fatal(err)
		}
		p.heard(false)
		resume := p.halt()
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.tend(ctx)
		}()
		time.Sleep(3 * tendEvery)
		p.mu.Lock()
		p.open = nil
		p.mu.Unlock()
		time.Sleep(3 * tendEvery)
		if len(p.incidents()) != 1 {
			t.Error("no snapshot is read while results are brought")
		}
		resume()
		time.Sleep(3 * tendEvery)
		if p.a.store.spool.Load() != nil {
			t.Error("there is a spool still")
		}
		if got, err := shared.Results(t.Context(), "backend/http", time.Time{}, time.Time{}, 10); len(got) != 1 || err != nil {
			t.Errorf("%d results are brought (%v)", len(got), err)
		}
		end()
		<-ended
	})
}

// give hands over incidents of those names as another agent does.
func (p *partner) give(ids ...string) {
	p.t.Helper()
	for n, id := range ids {
		at := p.a.clock.Now().Add(time.Duration(n) * time.Second)
		h := store.Handed{
			Incident: incident.Incident{ID: id, Class: incident.Availability, Root: "backend", Components: []string{"backend"}, Priority: incident.P2, Opened: at, Updated: at},
			Events:   []incident.Event{{Incident: id, At: at, Kind: incident.EventOpened, Text: "opened"}},
		}
		if id == "bad" {
			h.Events[0].Incident = ""
		}
		if err := p.a.store.shared.Load().Handover(p.t.Context(), "dk", []store.Handed{h}); err != nil {
			p.t.Fatal(err)
		}
	}
}

// One handover that cannot be taken keeps nobody from judging, and the others are taken; what each made is known to the next.
func TestAHandoverThatCannotBeTakenIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t)
		var log bytes.Buffer
		p.log = slog.New(slog.NewTextHandler(&log, nil))
		p.give("bad", "one", "two")
		p.heard(true)
		p.acts(1)
		all, err := p.a.store.Incidents(t.Context(), store.IncidentFilter{})
		if err != nil || len(all) != 2 || all[0].AbsorbedBy != "one" || !all[1].Open() {
			t.Errorf("%+v are stored (%v)", all, err)
		}
		if got := p.handovers(); p.last != leader || !slices.Equal(got, []string{"bad"}) {
			t.Errorf("a %s, and %q wait", p.last, got)
		}
		for range 30 {
			if err := p.takeHandovers(t.Context(), p.a.store.shared.Load(), true); err != nil {
				t.Error(err)
			}
		}
		if n := strings.Count(log.String(), setAside); n != 1 {
			t.Errorf("it is told %d times", n)
		}
	})
}

// What others did alone, and what takes long to take, does not keep the new leader from judging for longer than two seconds.
func TestHandoversThatTakeLongKeepNobodyFromJudging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t)
		p.give("one")
		resume := p.halt()
		p.heard(true)
		began := time.Now()
		p.acts(1)
		if took := time.Since(began); p.last != leader || took != takeFor {
			t.Errorf("a %s after %s", p.last, took)
		}
		resume()
		if err := p.takeHandovers(t.Context(), p.a.store.shared.Load(), true); err != nil || len(p.handovers()) > 0 {
			t.Errorf("%q wait (%v)", p.handovers(), err)
		}
	})
}

// What keeps failing is told once, not each second, and once more when it is over.
func TestWhatKeepsFailingIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t)
		var log bytes.Buffer
		p.log = slog.New(slog.NewTextHandler(&log, nil))
		stuck := make(chan struct{})
		p.taking = p.begin(func() error { <-stuck; return nil })
		p.heard(true)
		peers := store.Round{Peers: []store.Peer{{Voter: "dk", Vote: []byte("?")}, {Voter: "neu", Vote: []byte("?")}}}
		for range 100 {
			time.Sleep(time.Second)
			p.acts(1)
			p.hear(peers)
		}
		close(stuck)
		p.acts(2)
		for text, want := range map[string]int{"level=ERROR msg=\"" + noRole: 1, "is over\" what=\"" + noRole: 1, "vantage=dk": 1, "vantage=neu": 1} {
			if n := strings.Count(log.String(), text); n != want {
				t.Errorf("%s is told %d times, want %d", text, n, want)
			}
		}
		p.tell(slog.LevelWarn, "it fails", errors.New("one"))
		p.tell(slog.LevelWarn, "it fails", errors.New("two"))
		time.Sleep(tellEach)
		p.tell(slog.LevelWarn, "it fails", errors.New("three"))
		if got := log.String(); !strings.Contains(got, "err=one") || strings.Contains(got, "err=two") || !strings.Contains(got, "err=three") {
			t.Error("another cause is not told, or too soon")
		}
	})
}
