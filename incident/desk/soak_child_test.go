//go:build unix

package desk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// soakDir names the directory in which this test binary, started again, is an agent until it is killed or everything is settled.
const soakDir = "FIRSTCALL_SOAK_AGENT"

// soakUp is what an agent says when it is at work.
const soakUp = "up"

func init() {
	child = func() bool {
		dir := os.Getenv(soakDir)
		if dir == "" {
			return false
		}
		if err := soakAgent(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return true
	}
}

// soakStory is what every agent of a soak measures: the same incidents at the same times, whenever it is started again.
type soakStory struct {
	Begin       time.Time
	Incidents   int
	CallTimeout time.Duration
}

// The pace of the story.
const (
	soakWave   = 10 // incidents that open at once
	soakEvery  = 400 * time.Millisecond
	soakRaised = 1500 * time.Millisecond // after the open, one of three
	soakLasts  = 2 * time.Second         // the shortest; the longest lasts five times as long
)

func (s soakStory) id(n int) string {
	return incident.Key("acme", incident.Availability, fmt.Sprintf("server-%03d", n), s.Begin)
}

// at returns how incident n stands at that time; false while it has not begun. The third result is the step that led there.
func (s soakStory) at(n int, now time.Time) (incident.Incident, incident.EventKind, bool) {
	opened := s.Begin.Add(time.Duration(n/soakWave) * soakEvery)
	if now.Before(opened) {
		return incident.Incident{}, "", false
	}
	root := fmt.Sprintf("server-%03d", n)
	i := incident.Incident{
		ID: s.id(n), Tenant: "acme", Class: incident.Availability, Root: root, Components: []string{root}, Priority: incident.P3, Highest: incident.P3,
		Reason: "timeout", Title: root + " is inaccessible", Widest: root + " is inaccessible", Why: "a non-redundant server application is inaccessible",
		Detail:  []string{root + "/http: outage: no answer within 5 s, 4 of 4 runs"},
		Started: opened, Opened: opened, Commencement: opened, ReactionDue: opened.Add(time.Hour), Updated: opened,
	}
	step := incident.EventOpened
	if raised := opened.Add(soakRaised); n%3 == 0 && !now.Before(raised) {
		i.Priority, i.Highest, i.Updated, step = incident.P1, incident.P1, raised, incident.EventRaised
	}
	if ended := opened.Add(soakLasts * time.Duration(1+n*7%5)); !now.Before(ended) {
		i.Ended, i.Closed, i.Updated, i.Resolution, step = ended, ended, ended, incident.Recovered, incident.EventResolved
	}
	return i, step, true
}

// feed commits what is measured and not known yet, and reports whether anything was, and whether everything is over. known is when each incident in the
// store changed last.
func (s soakStory) feed(ctx context.Context, kept *store.Store, known map[string]time.Time, now time.Time) (fresh, over bool, err error) {
	over = true
	for n := range s.Incidents {
		i, step, begun := s.at(n, now)
		over = over && step == incident.EventResolved
		if !begun || known[i.ID].Equal(i.Updated) {
			continue
		}
		e := incident.Event{Incident: i.ID, At: now, Kind: step, Actor: incident.ActorAgent, Text: i.Title, Priority: i.Priority}
		if err := kept.Commit(ctx, store.Commit{At: now, Incidents: []incident.Incident{i}, Events: []incident.Event{e}}); err != nil {
			return false, false, err
		}
		known[i.ID], fresh = i.Updated, true
	}
	return fresh, over, nil
}

// settled reports whether the case of every incident is.
func (s soakStory) settled(ctx context.Context, kept *store.Store) (bool, error) {
	left, err := kept.Incidents(ctx, store.IncidentFilter{Unsettled: true, Limit: 1})
	if err != nil || len(left) > 0 {
		return false, err
	}
	resolved := 0
	cases, err := kept.Cases(ctx, "")
	for _, c := range cases {
		if c.Settled {
			resolved++
		}
	}
	return resolved == s.Incidents, err
}

// soakAgent opens the store in dir, feeds it, and reconciles with the desk of the configuration there until everything is settled.
func soakAgent(dir string) error {
	var story soakStory
	text, err := os.ReadFile(filepath.Join(dir, "story.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &story); err != nil {
		return err
	}
	c, err := config.Load(filepath.Join(dir, "firstcall.yaml"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	kept, err := store.Open(ctx, c.StoreURL(), store.Options{})
	if err != nil {
		return err
	}
	d := c.Desks[0]
	built, err := d.Builder.Build(desk.Env{Name: d.Name, Tenant: c.Tenant.ID, Storage: kept, Now: time.Now})
	if err != nil {
		return err
	}
	r := reconcile.New(reconcile.Options{
		Store: kept, Desks: []reconcile.Desk{{Name: d.Name, Desk: built}}, Tenant: reconcile.Tenant{ID: c.Tenant.ID, Customer: c.Tenant.Contacts.Customer}, CallTimeout: story.CallTimeout,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	fmt.Print(soakUp)
	known := map[string]time.Time{}
	before, err := kept.Incidents(ctx, store.IncidentFilter{Limit: 2 * story.Incidents})
	if err != nil {
		return err
	}
	for _, i := range before {
		known[i.ID] = i.Updated
	}
	// Reading all of it at every tick would take more of the machine than the agent does.
	tick, looked := time.NewTicker(50*time.Millisecond), time.Time{}
	defer tick.Stop()
	for done := false; !done; {
		now := <-tick.C
		fresh, over, err := story.feed(ctx, kept, known, now)
		if err != nil {
			return err
		}
		if fresh {
			r.Kick()
		}
		if over && now.Sub(looked) >= 250*time.Millisecond {
			looked = now
			if done, err = story.settled(ctx, kept); err != nil {
				return err
			}
		}
	}
	cancel()
	running.Wait()
	return kept.Close()
}
