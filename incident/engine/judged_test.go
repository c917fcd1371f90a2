package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

func wrong() probes.Result {
	return probes.Result{Outcome: probes.Down, Reason: probes.Content, Detail: "the body does not hold Welcome", Duration: time.Millisecond}
}

func refusing() probes.Result {
	return probes.Result{Outcome: probes.Degraded, Reason: probes.Functional, Detail: "the query is wrong", Duration: time.Millisecond}
}

// judgeAs makes the probe of three()'s web judge otherwise.
func judgeAs(as map[probes.Reason]incident.Matter) func(*Setup) {
	return func(s *Setup) {
		s.Solution.Components[1].Instances[0].Probes[0].Kind = "http"
		s.Solution.Components[1].Instances[0].Probes[0].JudgeAs = as
	}
}

var (
	contentIsFunctional = judgeAs(map[probes.Reason]incident.Matter{probes.Content: incident.MatterFunctional})
	functionalIsOurs    = judgeAs(map[probes.Reason]incident.Matter{probes.Functional: incident.MatterInfrastructure})
	byTheTable          = judgeAs(nil)
)

// last returns the newest incident of a class.
func (w *world) last(t *testing.T, class incident.Class) incident.Incident {
	t.Helper()
	var found incident.Incident
	for _, i := range w.incidents {
		if i.Class == class && i.Opened.After(found.Opened) {
			found = i
		}
	}
	if found.ID == "" {
		t.Fatalf("no incident of class %s: %v", class, w.story())
	}
	return found
}

// Every incident says whose matter it is, and why.
func TestIncidentsSayWhoseMatterTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		bad    func() probes.Result
		set    func(*Setup)
		class  incident.Class
		judged string
	}{
		"no answer": {refused, byTheTable, incident.Availability, "judged infrastructure because no answer came"},
		"content":   {wrong, byTheTable, incident.Availability, "judged infrastructure because what answers is a fault"},
		"functional": {
			refusing, byTheTable, incident.Function, "judged functional because the application itself answers",
		},
		"content, by choice":                        {wrong, contentIsFunctional, incident.Function, "judged functional because the configuration says so for this probe"},
		"functional, by choice":                     {refusing, functionalIsOurs, incident.Availability, "judged infrastructure because the configuration says so for this probe"},
		"no answer, whatever is chosen for content": {hang, contentIsFunctional, incident.Availability, "judged infrastructure because no answer came"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, three()...)
			c.set(&w.setup)
			w.answer = during(2*minute, 12*minute, c.bad, "web")
			w.run(5 * minute)
			i := w.last(t, c.class)
			if len(w.incidents) != 1 || !strings.HasPrefix(i.Judged.String(), c.judged) || i.Class == incident.Function && !strings.Contains(i.Why, i.Judged.Why) {
				t.Errorf("%d incidents, %s: %s; %s", len(w.incidents), i.Class, i.Judged, i.Why)
			}
			if v := w.engine.View(w.now).Components[1].Instances[0].Probes[0]; v.Judged != i.Judged {
				t.Errorf("the probe is %s", v.Judged)
			}
			if w.restart().run(30 * minute); w.last(t, c.class).Judged != i.Judged || w.last(t, c.class).Resolution != incident.Recovered {
				t.Errorf("after a restart %+v", w.last(t, c.class))
			}
		})
	}
}

// A reload that judges an open failure otherwise ends its incident as judged anew, which is no recovery and no momentary outage, and
// the failure is counted anew as what it is now. A restart, and a reload that changes nothing of it, do neither.
func TestReloadJudgesAnew(t *testing.T) {
	t.Run("an outage becomes functional, and one again", func(t *testing.T) {
		w := newWorld(t, three()...)
		byTheTable(&w.setup)
		w.answer = during(2*minute, 40*minute, wrong, "web")
		w.run(4 * minute).restart().run(5 * minute).reload(byTheTable).run(6 * minute)
		w.tells(t, "opened P2 web")
		w.reload(contentIsFunctional)
		w.tells(t, "opened P2 web", "resolved P2 web")
		if i := w.last(t, incident.Availability); i.Resolution != incident.Rejudged || !i.Ended.Equal(w.now) {
			t.Errorf("%s at %s", i.Resolution, i.Ended)
		}
		if m := w.engine.s.Components["web"]; len(m.Short) > 0 || !m.DownSince.IsZero() {
			t.Errorf("it counts as a momentary outage: %+v", m)
		}
		w.run(8 * minute).restart().run(20 * minute)
		w.tells(t, "opened P2 web", "resolved P2 web", "opened - web-functional")
		w.reload(byTheTable).run(30 * minute)
		w.tells(t, "opened P2 web", "resolved P2 web", "opened - web-functional", "resolved - web-functional", "opened P2 web")
		if i := w.last(t, incident.Function); i.Resolution != incident.Rejudged {
			t.Error(i.Resolution)
		}
		w.run(120 * minute)
		w.tells(t, "opened P2 web", "resolved P2 web", "opened - web-functional", "resolved - web-functional", "opened P2 web", "resolved P2 web")
		if i := w.last(t, incident.Availability); i.Resolution != incident.Recovered {
			t.Error(i.Resolution)
		}
	})
	t.Run("while the agent is off", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = during(2*minute, 40*minute, wrong, "web")
		w.run(6 * minute)
		contentIsFunctional(&w.setup)
		w.off(3*minute, 0).run(20 * minute)
		w.tells(t, "opened P2 web", "resolved P2 web", "opened - web-functional")
	})
	t.Run("a functional failure becomes an outage", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = during(2*minute, 40*minute, refusing, "web")
		w.run(6 * minute).reload(functionalIsOurs).run(10 * minute)
		w.tells(t, "opened - web-functional", "resolved - web-functional", "opened P2 web")
	})
	t.Run("another component is still down", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = both(during(2*minute, 40*minute, wrong, "web"), during(2*minute, 40*minute, refused, "backend"))
		w.run(6 * minute).reload(contentIsFunctional).run(20 * minute)
		w.tells(t, "opened P2 backend", "joined P2 backend", "left P2 backend", "opened - web-functional")
		w.run(60 * minute)
		if i := w.last(t, incident.Availability); i.Resolution != incident.Recovered {
			t.Error(i.Resolution)
		}
	})
}

// accounted makes the probe of three()'s rdp one with an account.
func accounted(s *Setup) { s.Solution.Components[2].Instances[0].Probes[0].Account = true }

func fact(r probes.Result, why string) func() probes.Result {
	r.Facts = []probes.Fact{{Name: probes.FactAccount, Value: why}}
	return func() probes.Result { return r }
}

func lockedOut(why string) func() probes.Result {
	return fact(probes.Result{Outcome: probes.Unknown, Reason: probes.Auth, Detail: why, Duration: time.Millisecond}, why)
}

// accountKey is how the story calls the incident of the account of rdp/tcp, whose id is not fit for a key as it is.
const accountKey = "rdp-tcp-account-20-543af23deb02"

// The owner of a refused account is told once, whatever the target does meanwhile, until a run that reaches it shows that the account
// works. No case is opened.
func TestRefusedAccounts(t *testing.T) {
	const off = "the monitoring account is refused: it is locked out"
	held := fact(up(), "log-on is off: it is locked out") // up by what is measured without the account
	then := func(all ...func(string, time.Time) probes.Result) func(string, time.Time) probes.Result {
		return func(id string, at time.Time) probes.Result {
			for _, f := range all {
				if r := f(id, at); r.Outcome != probes.Up || len(r.Facts) > 0 {
					return r
				}
			}
			return up()
		}
	}
	refusedThenHeld := then(during(2*minute, 2*minute+11*time.Second, lockedOut(off), "rdp"), during(2*minute, 30*minute, held, "rdp"))
	for name, c := range map[string]struct {
		answer func(string, time.Time) probes.Result
		want   []string
	}{
		"refused, then held, then reset": {refusedThenHeld, []string{"opened - " + accountKey, "resolved - " + accountKey}},
		"the target is down meanwhile": {
			then(during(10*minute, 20*minute, refused, "rdp"), refusedThenHeld),
			[]string{"opened - " + accountKey, "opened P2 rdp", "resolved P2 rdp", "resolved - " + accountKey},
		},
		"the agent cannot tell meanwhile": {
			then(during(10*minute, 20*minute, local, "rdp"), refusedThenHeld), []string{"opened - " + accountKey, "resolved - " + accountKey},
		},
		"the account is said to be refused by the application": {
			during(2*minute, 30*minute, fact(probes.Result{Outcome: probes.Degraded, Reason: probes.Auth, Detail: off, Duration: time.Millisecond}, off), "rdp"),
			[]string{"opened - " + accountKey, "resolved - " + accountKey},
		},
		"another probe has no account": {during(2*minute, 30*minute, lockedOut(off), "web"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, three()...)
			accounted(&w.setup)
			w.answer = c.answer
			w.run(8*minute).restart().run(15*minute).reload(accounted).run(25*minute).off(2*minute, 0).run(40 * minute)
			w.tells(t, c.want...)
			if len(c.want) == 0 {
				return
			}
			i := w.last(t, incident.Account)
			if i.Root != "rdp/tcp" || i.Priority != incident.NoPriority || !i.ReactionDue.IsZero() || i.Judged.Rule != "own-account" || i.Started.Before(t0.Add(2*minute)) || i.Started.After(t0.Add(3*minute)) {
				t.Errorf("%+v", i)
			}
		})
	}
}

func TestAccountInTheView(t *testing.T) {
	w := newWorld(t, three()...)
	accounted(&w.setup)
	w.answer = during(2*minute, 30*minute, lockedOut("locked out"), "rdp")
	view := func() *AccountView { return w.engine.View(w.now).Components[2].Instances[0].Probes[0].Account }
	if w.run(minute); view() == nil || view().Off || w.engine.View(w.now).Components[0].Instances[0].Probes[0].Account != nil {
		t.Errorf("%+v", view())
	}
	if w.run(5 * minute); !view().Off || view().Why != "locked out" || view().Since.Before(t0.Add(2*minute)) {
		t.Errorf("%+v", view())
	}
	// A probe that has none any more, or is gone, has none that is off.
	w.reload(func(s *Setup) { s.Solution.Components[2].Instances[0].Probes[0].Account = false })
	if i := w.last(t, incident.Account); i.Open() || i.Resolution != incident.Removed {
		t.Errorf("%+v", i)
	}
}
