//go:build servers && linux

package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// beat beats once.
func beat(t *testing.T, s *Store, b Beat) Round {
	t.Helper()
	r, err := s.Beat(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// asTenant runs a statement as the role, for the tenant of an address.
func asTenant(t *testing.T, url, statement string) {
	t.Helper()
	database, tenant, _ := strings.Cut(url, "?tenant=")
	db := role(t, database)
	execute(t, db, "SET app.tenant = '"+tenant+"'")
	execute(t, db, statement)
	_ = db.Close()
}

// expire ends a lead as time would.
func expire(t *testing.T, url string) {
	t.Helper()
	asTenant(t, url, "UPDATE leases SET until = clock_timestamp()")
}

// decide lets a store decide in an epoch.
func decide(t *testing.T, s *Store, epoch int64) {
	t.Helper()
	if err := s.Lead(t.Context(), epoch); err != nil {
		t.Fatal(err)
	}
}

// oneLeads states who leads, what the others may do, and what all hear of each other.
func oneLeads(t *testing.T, _ *servers.Postgres, database string) {
	url := aTenant(database)
	weu, dk := openSilent(t, url, "weu"), openSilent(t, url, "dk")
	if err := weu.Leading(); err != nil {
		t.Error(err)
	}
	mention(t, dk.Leading(), ErrNotLeading)
	if err := weu.Commit(t.Context(), step(1)); err != nil {
		t.Fatal(err)
	}
	if err := dk.AppendResults(t.Context(), httpResults(0, 3, at)); err != nil {
		t.Error(err)
	}
	if err := dk.SaveVantage(t.Context(), []byte("dk"), nil, nil); err != nil {
		t.Error(err)
	}
	if err := dk.Maintain(t.Context(), at.AddDate(2, 0, 0)); err != nil {
		t.Error(err)
	}
	if err := dk.Handover(t.Context(), "dk", []Handed{{Incident: incident.Incident{ID: "fc-9", Updated: at}}}); err != nil {
		t.Error(err)
	}
	if n, err := dk.Snapshot(t.Context()); err != nil || len(n.Incidents) != 1 || len(n.Events) != 1 {
		t.Errorf("the snapshot of who does not lead: %+v, %v", n, err)
	}
	if waiting, err := weu.Handovers(t.Context()); err != nil || len(waiting) != 1 || weu.Take(t.Context(), waiting[0], Taken{}) != nil {
		t.Errorf("handovers: %+v, %v", waiting, err)
	}
	_, created := dk.CreateDeskCase(t.Context(), incident.StoredCase{Key: "x", Created: at})
	_, ordered := dk.AddOrder(t.Context(), incident.Order{Kind: incident.OrderMaintenance, From: at, Until: at.Add(time.Hour)})
	_, kept := dk.SaveEvidence(t.Context(), incident.Evidence{Incident: "fc-1", At: at, Text: "x"})
	for what, err := range map[string]error{
		"commit": dk.Commit(t.Context(), step(2)), "case": dk.SaveCase(t.Context(), incident.Case{Incident: "fc-1", Desk: "soc"}), "desk case": created,
		"order": ordered, "evidence": kept, "notice": dk.AddNotices(t.Context(), incident.Notice{ID: "n", Incident: "fc-1"}),
		"timeline": dk.AppendEvents(t.Context(), step(2).Events...), "handover": dk.Take(t.Context(), Handover{}, Taken{}),
	} {
		if !errors.Is(err, ErrNotLeading) {
			t.Errorf("%s of who does not lead: %v", what, err)
		}
	}
	decide(t, dk, 1) // which it never had
	mention(t, dk.Commit(t.Context(), step(2)), ErrNotLeading)
	stored(t, dk, 1)

	beat(t, dk, Beat{Vote: []byte("down"), Wants: true})
	r := beat(t, weu, Beat{Vote: []byte("up"), Wants: true})
	if r.Self != "weu" || !r.Leading || r.Leader != "weu" || r.Epoch != 1 || r.Lease != leaseSure || len(r.Peers) != 1 || string(r.Peers[0].Vote) != "down" {
		t.Errorf("the leader hears %+v", r)
	}
	r = beat(t, dk, Beat{})
	if r.Self != "dk" || r.Leading || r.Leader != "weu" || r.Lease != 0 || len(r.Peers) != 1 || !r.Peers[0].Leading || string(r.Peers[0].Vote) != "up" {
		t.Errorf("the other hears %+v", r)
	}
	reader, err := OpenReadOnly(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	if all, err := reader.Voters(t.Context()); err != nil || len(all) != 2 || all[0].Name != "dk" || !all[1].Leading || all[0].Leading || !all[0].Alive || !strings.Contains(all[0].Holder, "process") {
		t.Errorf("voters %+v, %v", all, err)
	}

	if err := weu.Resign(t.Context()); err != nil {
		t.Error(err)
	}
	mention(t, weu.Leading(), ErrNotLeading)
	mention(t, weu.Commit(t.Context(), step(2)), ErrClosed)
	mention(t, weu.AppendResults(t.Context(), httpResults(0, 1, at)), ErrClosed)
	if r := beat(t, dk, Beat{Wants: true}); !r.Leading || r.Epoch != 2 || len(r.Peers) != 0 {
		t.Errorf("after the leader resigned: %+v", r)
	}
	decide(t, dk, 2)
	if err := errors.Join(dk.Leading(), dk.Commit(t.Context(), step(2))); err != nil {
		t.Error(err)
	}
	if r := beat(t, dk, Beat{Wants: false}); r.Leading || r.Leader != "" {
		t.Errorf("who does not want the lead: %+v", r)
	}
	mention(t, dk.Commit(t.Context(), step(3)), ErrNotLeading)
}

// thawedLeader states that an agent that was frozen while another led stores nothing of what it decided before, also when it leads again.
func thawedLeader(t *testing.T, _ *servers.Postgres, database string) {
	url := aTenant(database)
	old, fresh := openSilent(t, url, "weu"), openSilent(t, url, "dk")
	if r := beat(t, fresh, Beat{Wants: true}); r.Leading {
		t.Error("two lead")
	}
	expire(t, url)
	mention(t, old.Commit(t.Context(), step(1)), ErrNotLeading) // nobody else leads yet
	if r := beat(t, old, Beat{Wants: true}); !r.Leading || r.Epoch != 1 {
		t.Errorf("renewed late, before anybody else had it: %+v", r)
	}
	if err := old.Commit(t.Context(), step(1)); err != nil {
		t.Error(err)
	}
	expire(t, url)
	if r := beat(t, fresh, Beat{Wants: true}); !r.Leading || r.Epoch != 2 {
		t.Errorf("after the lead ended: %+v", r)
	}
	if err := old.Leading(); err != nil {
		t.Error("by its own clock it may still believe so: ", err)
	}
	mention(t, old.Commit(t.Context(), step(2)), ErrNotLeading)
	decide(t, fresh, 2)
	if err := errors.Join(fresh.Commit(t.Context(), step(2)), fresh.Resign(t.Context())); err != nil {
		t.Fatal(err)
	}
	r := beat(t, old, Beat{Wants: true})
	if !r.Leading || r.Epoch != 3 {
		t.Errorf("leading again: %+v", r)
	}
	mention(t, old.Leading(), ErrNotLeading)
	mention(t, old.Commit(t.Context(), step(2)), ErrNotLeading)
	stored(t, old, 2)
	decide(t, old, r.Epoch)
	if err := errors.Join(old.Leading(), old.Commit(t.Context(), step(3))); err != nil {
		t.Error(err)
	}
	stored(t, old, 3)
}

// arriving is a context that says when somebody begins to wait for it.
type arriving struct {
	context.Context
	waits chan struct{}
	once  *sync.Once
}

// Done implements context.Context.
func (a arriving) Done() <-chan struct{} {
	a.once.Do(func() { close(a.waits) })
	return a.Context.Done()
}

// overtakenWrite states that a write which waited while another agent led is not stored, though its own agent leads again.
func overtakenWrite(t *testing.T, _ *servers.Postgres, database string) {
	url := aTenant(database)
	old, fresh := openSilent(t, url, "weu"), openSilent(t, url, "dk")
	inside, end, first := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { // what the other one waits for
		first <- old.write(context.Background(), relaxed, "write", func(*sql.Tx) error {
			close(inside)
			<-end
			return nil
		})
	}()
	<-inside
	ctx, late := arriving{t.Context(), make(chan struct{}), new(sync.Once)}, make(chan error, 1)
	go func() { late <- old.Commit(ctx, step(1)) }()
	<-ctx.waits
	beat(t, old, Beat{})
	r := beat(t, fresh, Beat{Wants: true})
	decide(t, fresh, r.Epoch)
	if err := errors.Join(fresh.Commit(t.Context(), step(2)), fresh.Resign(t.Context())); err != nil {
		t.Fatal(err)
	}
	if r = beat(t, old, Beat{Wants: true}); !r.Leading || r.Epoch != 3 {
		t.Fatalf("leading again: %+v", r)
	}
	decide(t, old, r.Epoch)
	close(end)
	if err := <-first; err != nil {
		t.Error(err)
	}
	mention(t, <-late, ErrNotLeading)
	stored(t, old, 1)
	if err := old.Commit(t.Context(), step(3)); err != nil {
		t.Error(err)
	}
}

// frozenInAWrite states that an agent that is frozen in the middle of a write keeps the lead from nobody, and that the write is undone.
func frozenInAWrite(t *testing.T, _ *servers.Postgres, database string) {
	url := aTenant(database)
	old, fresh := openSilent(t, url, "weu"), openSilent(t, url, "dk")
	inside, thaw, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		result <- old.write(context.Background(), decided, "write", func(tx *sql.Tx) error {
			err := saveIncident(context.Background(), tx, step(1).Incidents[0])
			close(inside)
			<-thaw
			return err
		})
	}()
	<-inside
	if r := beat(t, old, Beat{Wants: true}); !r.Leading { // no beat waits for a write
		t.Errorf("beside a write: %+v", r)
	}
	expire(t, url)
	began := time.Now()
	for ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second); ; {
		r, err := fresh.Beat(ctx, Beat{Wants: true})
		if err == nil && r.Leading {
			cancel()
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	t.Logf("the lead was taken after %s", time.Since(began).Round(time.Millisecond))
	close(thaw)
	mention(t, <-result, ErrAway, "nothing of it was stored")
	mention(t, old.Commit(t.Context(), step(1)), ErrNotLeading)
	stored(t, fresh, 0)
}

// answerLostLeadTaken states that a write whose answer was lost is told apart when another agent has led and written since.
func answerLostLeadTaken(t *testing.T, server *servers.Postgres, database string) {
	for _, forward := range []bool{true, false} {
		url := aTenant(database)
		p := startCutter(t, server.Address)
		old, fresh := openSilent(t, strings.Replace(url, server.Address, p.address, 1), "weu"), openSilent(t, url, "dk")
		p.cut(forward, 1_000_000)
		result := make(chan error, 1)
		go func() { result <- old.Commit(context.Background(), step(1)) }()
		<-p.refused
		expire(t, url)
		r := beat(t, fresh, Beat{Wants: true})
		decide(t, fresh, r.Epoch)
		first := 1
		if forward {
			first = 2
		}
		for n := first; n <= 3; n++ {
			if err := fresh.Commit(t.Context(), step(n)); err != nil {
				t.Fatal(err)
			}
		}
		p.cut(false, 0) // nothing more is refused
		p.mu.Lock()
		p.armed = false
		p.mu.Unlock()
		if err := <-result; (err == nil) != forward {
			t.Errorf("COMMIT forwarded %t: %v", forward, err)
		}
		mention(t, old.Commit(t.Context(), step(4)), ErrNotLeading)
		stored(t, fresh, 3)
	}
}

// handedOverWithAnotherClock states that what is handed over after the clock was set back, or by another process in the same place, is put
// before the leader, and what was taken is not.
func handedOverWithAnotherClock(t *testing.T, _ *servers.Postgres, database string) {
	s := openSilent(t, aTenant(database), "weu")
	hand := func(updated time.Time, want int) {
		t.Helper()
		h := Handed{Incident: incident.Incident{ID: "fc-1", Updated: updated}}
		if err := s.Handover(t.Context(), "weu", []Handed{h}); err != nil {
			t.Fatal(err)
		}
		waiting, err := s.Handovers(t.Context())
		if err != nil || len(waiting) != want {
			t.Fatalf("of %s %d wait, want %d (%v)", updated, len(waiting), want, err)
		}
		for _, h := range waiting {
			if err := s.Take(t.Context(), h, Taken{}); err != nil || !h.Incident.Updated.Equal(updated) {
				t.Errorf("taken is that of %s, want %s (%v)", h.Incident.Updated, updated, err)
			}
		}
	}
	hand(at.Add(10*time.Minute), 1)
	hand(at.Add(10*time.Minute), 0) // the same again
	hand(at, 1)
	hand(at, 0)
}

// ledAnew states that what was decided before an agent led anew, in the same epoch, is stored before that, or not at all: it was frozen for longer than
// its lead was sure, and nobody replaced it.
func ledAnew(t *testing.T, _ *servers.Postgres, database string) {
	s := openSilent(t, aTenant(database), "weu")
	inside, end, first := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		first <- s.write(context.Background(), decided, "write", func(*sql.Tx) error {
			close(inside)
			<-end
			return nil
		})
	}()
	<-inside
	ctx, late := arriving{t.Context(), make(chan struct{}), new(sync.Once)}, make(chan error, 1)
	go func() { late <- s.Commit(ctx, step(1)) }()
	<-ctx.waits
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	mention(t, s.Lead(soon, 1), context.DeadlineExceeded)
	leads := make(chan error, 1)
	go func() { leads <- s.Lead(t.Context(), 1) }()
	close(end)
	for _, result := range []chan error{first, leads} {
		if err := <-result; err != nil {
			t.Error(err)
		}
	}
	if err := <-late; err != nil { // its turn came before, or it is refused
		mention(t, err, ErrNotLeading)
		stored(t, s, 0)
	}
	if err := errors.Join(s.Leading(), s.Commit(t.Context(), step(2))); err != nil {
		t.Error(err)
	}
}

// clocksApart states that the agents' own clocks decide nothing, and that each sees how far the others' are off.
func clocksApart(t *testing.T, _ *servers.Postgres, database string) {
	url := aTenant(database)
	weu, dk := openSilent(t, url, "weu"), openSilent(t, url, "dk")
	const ahead, behind = 72 * time.Hour, -1000 * time.Hour
	first := beat(t, weu, Beat{Wants: true, Now: time.Now().Add(ahead)})
	second := beat(t, dk, Beat{Wants: true, Now: time.Now().Add(behind)})
	if !first.Leading || second.Leading || second.Leader != "weu" {
		t.Errorf("%+v, %+v", first, second)
	}
	for what, is := range map[string][2]time.Duration{
		"ahead": {first.Offset, -ahead}, "behind": {second.Offset, -behind}, "ahead, as the other sees it": {second.Peers[0].Offset, -ahead},
	} {
		if off := (is[0] - is[1]).Abs(); off > 30*time.Second {
			t.Errorf("%s: %s, want about %s", what, is[0], is[1])
		}
	}
	if age := second.Peers[0].Age; age < 0 || age > 30*time.Second {
		t.Errorf("age %s", age)
	}
}
