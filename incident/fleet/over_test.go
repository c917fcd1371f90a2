package fleet

import (
	"testing"
	"time"
)

// asked returns what is known of faults at an instant.
func asked(all []Fault, at time.Time) (known []Fault) {
	for _, f := range all {
		if f.Opened.After(at) {
			continue
		}
		if f.Ended.After(at) {
			f.Ended = time.Time{}
		}
		known = append(known, f)
	}
	return known
}

// A tenant that never recovers keeps a fleet incident open, and what befalls those that did recover days later is another one.
func TestAStragglerSwallowsNoLaterOutage(t *testing.T) {
	tenants := tenantsIn(40, "weu", "neu")
	all := faults(30, "weu", "virtual-desktop", 0)
	for n := 1; n < len(all); n++ {
		all[n].Ended = start.Add(5 * time.Minute)
	}
	soon, next := start.Add(20*time.Minute), start.Add(72*time.Hour)
	again := fault("weu-2", "virtual-desktop", int(soon.Sub(start).Seconds()))
	again.Ended = soon.Add(5 * time.Minute)
	all = append(all, again)
	all = append(all, faults(30, "weu", "virtual-desktop", int(next.Sub(start).Seconds()))[1:]...)
	var is []Incident
	last := start
	for _, at := range []time.Time{start.Add(2 * time.Minute), start.Add(10 * time.Minute), soon.Add(2 * time.Minute), start.Add(time.Hour), next.Add(10 * time.Minute)} {
		is = Rules{}.Correlate(at, last, tenants, asked(all, at), is)
		last = at
	}
	if len(is) != 2 || !is[0].Open() || !is[1].Open() || is[0].Failing() != 1 || is[1].Failing() != 29 || len(is[0].member("weu-2").Incidents) != 2 {
		t.Errorf("%v: %+v", titles(is), is)
	}
	if got, want := is[0].Sentence(time.UTC, start), "30 tenants lost virtual-desktop in region weu at 09:42 UTC, 1 still fails: one cause"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// What is read only after it was decided that a fleet incident is over, and lasts, is no part of it.
func TestWhatOutlivesAFleetIncidentIsAnother(t *testing.T) {
	tenants := tenantsIn(60, "weu", "neu")
	all := faults(8, "weu", "virtual-desktop", 0)
	for n := range all {
		all[n].Ended = start.Add(10 * time.Minute)
	}
	is := Rules{}.Correlate(start.Add(2*time.Minute), start, tenants, asked(all, start.Add(2*time.Minute)), []Incident{})
	is = Rules{}.Correlate(start.Add(20*time.Minute), start.Add(9*time.Minute), tenants, all, is)
	if len(is) != 1 || is[0].Open() || is[0].Sentence(time.UTC, start) != "8 tenants lost virtual-desktop in region weu at 09:42 UTC, all recovered: one cause" {
		t.Fatalf("%+v", is)
	}
	all = append(all, faults(28, "weu", "virtual-desktop", 13*60)[8:]...) // confirmed before that was over, and written late
	is = Rules{}.Correlate(start.Add(20*time.Minute+5*time.Second), start.Add(20*time.Minute), tenants, all, is)
	if len(is) != 2 || len(is[0].Members) != 8 || is[0].Open() || !is[1].Open() || is[1].Failing() != 20 {
		t.Errorf("%v: %+v", titles(is), is)
	}
}
