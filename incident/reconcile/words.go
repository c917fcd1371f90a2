package reconcile

import (
	"fmt"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// language is what a language needs beside its templates. The tables are never changed.
type language struct {
	months            [12]string
	day               string // of a date: day, month, year, hour, minute, zone
	clock             string // time layout of an instant on a day that is named already
	d, h, min, s      string // units
	every, everyOther string // a whole number of minutes; any other duration
	levels            [5]string
	outcomes          map[probes.Outcome]string
	reasons           map[probes.Reason]string
	rules             map[string]string
	titles            map[string]string // ends of the engine's titles; none: they are in this language
	solution          string
	with              string
	since             string
	instances         string // how many of how many
	blind, notYet     string
	judgements        map[string]string // by the rule; none: the table's own words
	matters           map[incident.Matter]string
	because, byChoice string
}

// lostRedundancy is how the engine's title ends where a redundant component is still served.
const lostRedundancy = " has lost redundancy"

var english = &language{
	months: [12]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	day:    "%d %s %d at %02d:%02d %s", clock: "15:04 MST",
	d: "d", h: "h", min: "min", s: "s", every: "every %d minutes", everyOther: "every %s",
	levels: [5]string{"", "1 Critical", "2 Urgent", "3 Moderate", "4 Low"},
	outcomes: map[probes.Outcome]string{
		probes.Unknown: "cannot be measured right now", probes.Up: "answers normally",
		probes.Degraded: "answers, but not as it should", probes.Down: "does not answer as it should",
	},
	reasons: map[probes.Reason]string{
		probes.Timeout: "no answer in time", probes.Refused: "connection refused", probes.Reset: "connection reset",
		probes.Unreachable: "host cannot be reached", probes.DNS: "the name does not resolve", probes.TLS: "no secure connection (TLS)",
		probes.BadCertificate: "the certificate is not valid", probes.Protocol: "unexpected protocol", probes.Status: "unexpected status",
		probes.Content: "unexpected content", probes.Auth: "log-on refused", probes.Functional: "the application reports an error",
		probes.Slow: "too slow", probes.Capacity: "a resource limit is passed", probes.Local: "fault on the agent's own host",
		probes.Blind: "the agent's own network is down", probes.Internal: "fault in the agent",
	},
	rules: map[string]string{
		"p1":             "the entire customer solution, or a redundant server application or functionality, is inaccessible",
		"p2":             "a non-redundant server application or functionality is inaccessible",
		"p2 performance": "sustained speed problems", "p3": "momentary outages", "p3 performance": "periodic speed problems",
		"p4": "an end-user problem, or a resource has passed its limit", "redundancy": "redundancy is lost; the function is still served",
	},
	matters: map[incident.Matter]string{
		incident.MatterInfrastructure: "infrastructure", incident.MatterFunctional: "functional", incident.MatterAgent: "the agent's own",
	},
	because:  "%s, because %s",
	solution: "the entire solution", since: "since", instances: "%d of %d instances answer",
	blind: "The agent's own network is down, so nothing can be measured right now.", notYet: "Nothing has been measured yet since the agent started.",
}

var danish = &language{
	months: [12]string{"januar", "februar", "marts", "april", "maj", "juni", "juli", "august", "september", "oktober", "november", "december"},
	day:    "%d. %s %d kl. %02d.%02d %s", clock: "kl. 15.04 MST",
	d: "d.", h: "t.", min: "min.", s: "sek.", every: "hvert %d. minut", everyOther: "hver %s",
	levels: [5]string{"", "1 Kritisk", "2 Haster", "3 Moderat", "4 Lav"},
	outcomes: map[probes.Outcome]string{
		probes.Unknown: "kan ikke måles lige nu", probes.Up: "svarer normalt",
		probes.Degraded: "svarer, men ikke som den skal", probes.Down: "svarer ikke, som den skal",
	},
	reasons: map[probes.Reason]string{
		probes.Timeout: "intet svar inden for tidsfristen", probes.Refused: "forbindelsen afvises", probes.Reset: "forbindelsen afbrydes",
		probes.Unreachable: "serveren kan ikke nås", probes.DNS: "navnet kan ikke slås op", probes.TLS: "ingen sikker forbindelse (TLS)",
		probes.BadCertificate: "certifikatet er ikke gyldigt", probes.Protocol: "uventet protokol", probes.Status: "uventet status",
		probes.Content: "uventet indhold", probes.Auth: "login afvises", probes.Functional: "applikationen melder en fejl",
		probes.Slow: "for langsom", probes.Capacity: "en ressourcegrænse er overskredet", probes.Local: "fejl på overvågningens egen maskine",
		probes.Blind: "overvågningens eget netværk er nede", probes.Internal: "fejl i overvågningen",
	},
	rules: map[string]string{
		"p1":             "hele kundens løsning eller en redundant serverapplikation eller funktionalitet er utilgængelig",
		"p2":             "en ikke-redundant serverapplikation eller funktionalitet er utilgængelig",
		"p2 performance": "vedvarende hastighedsproblemer", "p3": "kortvarige udfald", "p3 performance": "periodiske hastighedsproblemer",
		"p4": "et slutbrugerproblem, eller en ressourcegrænse er overskredet", "redundancy": "redundansen er tabt; funktionen virker fortsat",
	},
	judgements: map[string]string{
		"own-account":   "målingens egen konto eller identitet afvises, så der ikke vides noget om det målte: Kontoens ejer må bringe den i orden",
		"own-fault":     "overvågningens egen maskine, netværk eller program fejler, så der ikke vides noget om det målte",
		"not-known":     "overvågningen ikke kan se, hvordan det står til med det målte",
		"credential":    "applikationen svarer og afviser målingens login: Konti og rettigheder er opsætning, som driftscentret ikke tager sig af",
		"application":   "applikationen selv svarer, at forespørgslen er forkert: Dens funktioner og opsætning er ikke infrastruktur",
		"speed":         "alvorlige hastighedsproblemer, der opstår uventet, er infrastruktur",
		"limit":         "en overskredet ressourcegrænse er infrastruktur",
		"remote-log-in": "ingen kan logge på med Fjernskrivebord på serveren eller Azure Virtual Desktop, så længe der ikke svares",
		"no-answer":     "der ikke kom noget svar: En server eller klient, der slet ikke reagerer eller kan nås, er infrastruktur",
		"certificate":   "certifikatet afvises af enhver klient, der kontrollerer det, så serveren ikke kan nås",
		"remote-answer": "ingen kan logge på med Fjernskrivebord på serveren eller Azure Virtual Desktop, så længe der svares sådan",
		"wrong-answer":  "det, der svarer, er en fejl i serveren eller dens gateway eller noget andet end applikationen, som ikke kan nås",
		"momentary":     "det fejlede og svarede igen: Kortvarige udfald er infrastruktur",
	},
	matters: map[incident.Matter]string{
		incident.MatterInfrastructure: "infrastruktur", incident.MatterFunctional: "funktionelt", incident.MatterAgent: "overvågningens eget",
	},
	because: "%s, fordi %s", byChoice: "konfigurationen siger det for denne måling",
	titles: map[string]string{
		" is inaccessible": " er utilgængelig", lostRedundancy: " har mistet sin redundans", " has momentary outages": " har kortvarige udfald",
		" is slow": " er langsom", " has periodic speed problems": " har periodiske hastighedsproblemer",
		" passed a resource limit": " har overskredet en ressourcegrænse", " has a functional failure": " har en funktionel fejl",
		" is off": " er ude af brug",
	},
	solution: "hele løsningen", with: "sammen med", since: "siden", instances: "%d af %d instanser svarer",
	blind: "Overvågningens eget netværk er nede, så der kan ikke måles lige nu.", notYet: "Der er endnu ikke målt, siden overvågningen blev startet.",
}

func languageOf(code string) *language {
	if code == "da" {
		return danish
	}
	return english
}

// code returns the name of the language's folder of templates.
func (l *language) code() string {
	if l == danish {
		return "da"
	}
	return "en"
}

// date returns an instant as people write it, in their zone and with its name; "" for the zero time.
func (l *language) date(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	t = t.In(zone)
	name, _ := t.Zone()
	return fmt.Sprintf(l.day, t.Day(), l.months[t.Month()-1], t.Year(), t.Hour(), t.Minute(), name)
}

// span returns a duration in its two largest units.
func (l *language) span(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	if d >= 10*time.Minute {
		d = d.Round(time.Minute)
	}
	day := 24 * time.Hour
	parts := []struct {
		n    time.Duration
		unit string
	}{{d / day, l.d}, {d % day / time.Hour, l.h}, {d % time.Hour / time.Minute, l.min}, {d % time.Minute / time.Second, l.s}}
	for i, p := range parts {
		if p.n == 0 && i < len(parts)-1 {
			continue
		}
		text := fmt.Sprintf("%d %s", p.n, p.unit)
		if i < len(parts)-1 && parts[i+1].n > 0 {
			text += fmt.Sprintf(" %d %s", parts[i+1].n, parts[i+1].unit)
		}
		return text
	}
	return ""
}

// interval returns how often something is repeated.
func (l *language) interval(d time.Duration) string {
	if d >= 2*time.Minute && d < 2*time.Hour && d%time.Minute == 0 {
		return fmt.Sprintf(l.every, d/time.Minute)
	}
	return fmt.Sprintf(l.everyOther, l.span(d))
}

// Problem returns an incident's title in a language, en or da, as the customer's mails have it.
func Problem(code, title string) string { return languageOf(code).problem(title) }

// problem returns the incident's title in the language. A title that the language does not know stays as it is.
func (l *language) problem(title string) string {
	if l.titles == nil {
		return title
	}
	base, others, more := strings.Cut(title, " (with ")
	for end, own := range l.titles {
		subject, ok := strings.CutSuffix(base, end)
		if !ok {
			continue
		}
		if subject == "the entire customer solution" {
			subject = l.solution
		}
		if id, ok := strings.CutPrefix(subject, "the account of the probe "); ok {
			subject = "målingens konto, " + id + ","
		}
		if more {
			return subject + own + " (" + l.with + " " + others
		}
		return subject + own
	}
	return title
}

// judged returns whose matter an incident is, and why; "" where that is not known.
func (l *language) judged(j incident.Judgement) string {
	if j.Matter == "" {
		return ""
	}
	why := tidy(j.Why, maxText)
	switch own, ok := l.judgements[j.Rule]; {
	case j.Configured && l.byChoice != "":
		why = l.byChoice
	case !j.Configured && ok:
		why = own
	}
	return fmt.Sprintf(l.because, l.matters[j.Matter], why)
}

// rule returns the contract's words for the incident's priority.
func (l *language) rule(i incident.Incident) string {
	if strings.Contains(i.Title, lostRedundancy) {
		return l.rules["redundancy"]
	}
	p := strings.ToLower(i.Priority.String())
	if rule, ok := l.rules[p+" "+string(i.Class)]; ok {
		return rule
	}
	return l.rules[p]
}
