package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// attachDesk is a fake desk that takes files.
type attachDesk struct {
	*fakeDesk
	life  *death
	files map[string][]string // by ref, as they came
	calls int
}

func (d *attachDesk) Attach(ctx context.Context, ref string, _ desk.Fields, f desk.File) (err error) {
	dead := d.life.step(func() {
		err = d.with(ctx, "attach", ref, func(*fakeCase) {
			d.calls++
			if !slices.Contains(d.files[ref], f.Name) {
				d.files[ref] = append(d.files[ref], f.Name)
			}
		})
	})
	return cmp.Or(dead, err)
}

// attaching is a world with an attaching desk and an incident whose evidence is gathered three seconds after it opened.
func attaching(t *testing.T, can desk.Capabilities) (*world, *attachDesk, incident.Incident) {
	w := newWorld(t)
	w.soc.can = can
	d := &attachDesk{fakeDesk: w.soc, files: map[string][]string{}}
	w.o.Desks[0].Desk = d
	return w, d, w.outage("backend", incident.P1)
}

func (w *world) gathered(id string) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.evidence = append(w.store.evidence, incident.Evidence{Incident: id, At: time.Now(), Text: "hop 10.9.9.9 is the last", Files: []incident.EvidenceFile{
		{Name: "path.txt", Type: "text/plain", Content: []byte("10.9.9.9")}, {Name: "screenshot.png", Type: "image/png", Content: []byte("png")},
	}})
	w.store.append([]incident.Event{{Incident: id, At: time.Now(), Kind: incident.EventEvidence, Actor: incident.ActorAgent, Text: "hop 10.9.9.9 is the last\nand more"}})
}

func (w *world) told(id string, kind incident.EventKind, part string) (n int) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, e := range w.store.events {
		if e.Incident == id && e.Kind == kind && strings.Contains(e.Text, part) {
			n++
		}
	}
	return n
}

// noted counts the notes of a case that hold a text, internal and public ones.
func (d *fakeDesk) noted(part string) (internal, public int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.cases {
		for _, n := range c.notes {
			if strings.Contains(n.Text, part) && n.Public {
				public++
			} else if strings.Contains(n.Text, part) {
				internal++
			}
		}
	}
	return internal, public
}

// The evidence is an internal note of the case, and its files are attached to it, each once.
func TestAttach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d, i := attaching(t, desk.Capabilities{Find: true, ReadBack: true, Transitions: true, MailsCustomer: true, InternalFiles: true})
		w.run()
		w.wait(3 * time.Second)
		w.gathered(i.ID)
		w.wait(time.Minute)
		if internal, public := d.noted("10.9.9.9"); internal != 1 || public != 0 {
			t.Errorf("%d internal and %d public notes of the evidence, want one internal", internal, public)
		}
		if got := fmt.Sprint(d.files); got != "map[1:[path.txt screenshot.png]]" || d.calls != 2 {
			t.Errorf("%d calls, files %s", d.calls, got)
		}
		if n := w.told(i.ID, incident.EventCaseUpdated, "path.txt, screenshot.png"); n != 1 {
			t.Errorf("the timeline tells %d times that the files are there", n)
		}
		for _, m := range append(w.customer.sent, w.oncall.sent...) {
			if strings.Contains(m.Text+m.HTML, "10.9.9.9") {
				t.Errorf("a mail holds evidence: %s", m.Text)
			}
		}
		w.stop()
	})
}

// The case is opened after the evidence was gathered: its body, which the customer may read, is silent about it, and a note is not.
func TestAttachLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d, i := attaching(t, desk.Capabilities{Find: true, ReadBack: true})
		d.faults = func(action string, n int) fault {
			if action == "open" && n < 3 {
				return refuse
			}
			return fine
		}
		w.gathered(i.ID)
		w.run()
		w.wait(time.Minute)
		if len(d.cases) != 1 || strings.Contains(d.cases[0].body, "10.9.9.9") {
			t.Fatalf("%d cases: %+v", len(d.cases), d.cases)
		}
		if internal, public := d.noted("10.9.9.9"); internal != 1 || public != 0 {
			t.Errorf("%d internal and %d public notes of the evidence, want one internal", internal, public)
		}
		w.stop()
	})
}

// The desk does not take files: cases go on in the usual time, attempts are bounded, and the timeline hears of it once.
func TestAttachFails(t *testing.T) {
	for name, f := range map[string]fault{"refused": refuse, "hangs": hang, "unknown": fail} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, d, i := attaching(t, desk.Capabilities{Find: true, ReadBack: true, Transitions: true})
				d.faults = func(action string, _ int) fault {
					if action == "attach" {
						return f
					}
					return fine
				}
				w.gathered(i.ID)
				w.run()
				w.wait(10 * time.Second) // a file is on its way, or has just failed
				second := w.outage("web-client", incident.P2)
				w.wait(3 * time.Second)
				if len(d.cases) != 2 {
					t.Errorf("%d cases while a file hangs, want 2", len(d.cases))
				}
				w.wait(time.Hour)
				d.mu.Lock()
				tries := d.counts["attach"]
				d.mu.Unlock()
				if tries != attachTries {
					t.Errorf("%d attempts, want %d", tries, attachTries)
				}
				if n := w.told(i.ID, incident.EventCaseFailed, "path.txt"); n != 1 {
					t.Errorf("told %d times", n)
				}
				if len(w.life.Status().DeskErrors) != 0 {
					t.Errorf("the desk counts as failing: %v", w.life.Status().DeskErrors)
				}
				w.recover(i)
				w.recover(second)
				w.wait(time.Minute)
				w.settled(i.ID)
				w.stop()
			})
		})
	}
}

// A desk that shows the customer its files gets none, and one that takes none is not asked.
func TestAttachNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d, i := attaching(t, desk.Capabilities{Find: true, ReadBack: true, MailsCustomer: true})
		w.gathered(i.ID)
		w.run()
		w.wait(time.Minute)
		if d.calls != 0 {
			t.Errorf("%d files were shown to the customer", d.calls)
		}
		w.stop()
	})
}

// Killed behind any write, the agent ends with every file at the case, each once.
func TestAttachKilled(t *testing.T) {
	for after := 1; after < 16; after++ {
		synctest.Test(t, func(t *testing.T) {
			w := newCrashing(t, desk.Capabilities{Find: true, ReadBack: true}, after, false)
			d := &attachDesk{fakeDesk: w.soc, life: w.life, files: map[string][]string{}}
			w.o.Desks = []Desk{{Name: "desk0", Desk: struct {
				mortalDesk
				fileTaker
			}{mortalDesk{w.soc, w.life}, d}}}
			i := w.outage("backend", incident.P1)
			w.gathered(i.ID)
			w.start()
			w.wait(2 * time.Minute)
			if got := fmt.Sprint(d.files); got != "map[1:[path.txt screenshot.png]]" {
				t.Errorf("killed behind write %d: files %s", after, got)
			}
			if internal, _ := w.soc.noted("10.9.9.9"); internal == 0 || internal > 2 {
				t.Errorf("killed behind write %d: %d notes", after, internal)
			}
			w.stop()
		})
	}
}

// fileTaker is the part of a desk that takes files.
type fileTaker interface {
	Attach(ctx context.Context, ref string, f desk.Fields, file desk.File) error
}
