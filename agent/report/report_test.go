package report_test

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/agent/report"
	"github.com/firstcall-agent/firstcall/incident"
)

var update = flag.Bool("update", false, "write what the report says into the golden files")

func seconds(d time.Duration) report.Seconds { return report.Seconds(d) }

// TestGoldenMonth compares the month's figures with those that were computed by hand.
func TestGoldenMonth(t *testing.T) {
	r := report.Compute(october(t, octoberFrom, octoberTo))
	const h, m, s = time.Hour, time.Minute, time.Second
	if r.Period != seconds(745*h) || r.SoFar {
		t.Errorf("the month has %s, so far %t", time.Duration(r.Period), r.SoFar)
	}
	for _, want := range []struct {
		name                                string
		maintenance, unmeasured, gross, net time.Duration
		outages                             int
		incidents                           []string
	}{
		// Maintenance: four Sundays of 4 h, 16 h.
		// Not measured: the agent stopped for 3 h and was blind for 10 min, each less the 6 s that the last run before spoke (66 s from
		// 09:59:00 is 10:00:06): 2:59:54 + 0:09:54 = 3:09:48. None of it is in maintenance.
		// Gross: FC-2 2 h, FC-3 2 min, FC-6 30 min: 2:32. Net: less the union of FC-2's holds, 50 min: 1:42.
		{"backend", 16 * h, 3*h + 9*m + 48*s, 2*h + 32*m, 1*h + 42*m, 3, []string{"FC-2", "FC-3", "FC-6"}},
		// Gross: FC-1 45 min in the month, FC-4 10 min before the window, FC-5 5 min and FC-6 27 min in one piece, FC-8 1:30, FC-10 1 h:
		// 3:57, in 5 outages. Net: less FC-10's hold from 22:30 to the end of the month, 30 min: 3:27.
		{"web-client", 16 * h, 3*h + 9*m + 48*s, 3*h + 57*m, 3*h + 27*m, 5, []string{"FC-1", "FC-4", "FC-5", "FC-6", "FC-8", "FC-10"}},
		// By cron every 5 min a run speaks for 330 s: from 09:55 to 10:00:30, so 2:59:30 are missing, and from 03:55 to 04:00:30, 9:30.
		{"remote-desktop", 0, 3*h + 9*m, 3 * h, 3 * h, 1, []string{"FC-7"}},
	} {
		i := slices.IndexFunc(r.Parts, func(c report.Component) bool { return c.Name == want.name })
		c := r.Parts[i]
		judged := 745*h - want.maintenance - want.unmeasured
		got := []time.Duration{time.Duration(c.Maintenance), time.Duration(c.Unmeasured), time.Duration(c.Gross), time.Duration(c.Net), time.Duration(c.Judged), time.Duration(c.Held)}
		if diff := cmp.Diff([]time.Duration{want.maintenance, want.unmeasured, want.gross, want.net, judged, want.gross - want.net}, got); diff != "" || c.Outages != want.outages {
			t.Errorf("%s: %d outages (-want +got)\n%s", want.name, c.Outages, diff)
		}
		if diff := cmp.Diff(want.incidents, numbers(r, c.Incidents)); diff != "" {
			t.Errorf("%s: incidents\n%s", want.name, diff)
		}
		near(t, want.name+" gross", c.GrossShare.Ratio(), 1-float64(want.gross)/float64(judged))
		near(t, want.name+" net", c.NetShare.Ratio(), 1-float64(want.net)/float64(judged))
		near(t, want.name+" at least", c.AtLeast.Ratio(), 1-float64(want.gross+want.unmeasured)/float64(745*h-want.maintenance))
		if len(c.Days) != 31 || c.Days[24].Length != seconds(25*h) || c.Days[0].Length != seconds(24*h) {
			t.Errorf("%s has %d days, the 25th of %s", want.name, len(c.Days), time.Duration(c.Days[24].Length))
		}
	}
	// backend, with a calculator: judged 745 h - 16 h - 3:09:48 = 725:50:12 = 2,613,012 s; gross 9,120 s: 1 - 0.0034902... = 99.650 %.
	near(t, "backend in numbers", r.Parts[0].GrossShare.Ratio(), 1-9120.0/2613012)
}

// Maintenance that people ordered counts, but not against an outage that had begun before it was ordered.
func TestOrderedMaintenance(t *testing.T) {
	in := october(t, octoberFrom, octoberTo)
	at := func(hour, minute int) time.Time { return oct(2, hour, minute) }
	i := incident.Incident{
		ID: "i", Class: incident.Availability, Components: []string{"backend"}, Highest: incident.P2, Started: at(10, 0), Opened: at(10, 1), Ended: at(13, 0), Closed: at(13, 1),
		Outages: []incident.ComponentOutage{{Component: "backend", From: at(10, 0), To: at(10, 30)}, {Component: "backend", From: at(12, 0), To: at(13, 0)}},
	}
	in.Tales, in.Windows = []report.Tale{{Incident: i}}, nil
	order := func(from, until, ended time.Time, components ...string) incident.Order {
		return incident.Order{Kind: incident.OrderMaintenance, Components: components, From: from, Until: until, Ended: ended, Actor: "Ada", Reason: "patching"}
	}
	in.Orders = []incident.Order{
		order(at(9, 55), at(11, 0), at(10, 20), "backend"), // ended by hand
		order(at(12, 30), at(14, 0), time.Time{}),
		order(at(10, 20), at(10, 30), time.Time{}, "web-client"),
		{Kind: incident.OrderSilence, From: at(0, 0), Until: at(23, 0)},
	}
	r := report.Compute(in)
	// Downtime: 10:20 to 10:30, and all of 12:00 to 13:00: 1:10. Maintenance: 9:55 to 10:20, and 13:00 to 14:00, where nothing was down: 1:25.
	if c := r.Parts[0]; c.Name != "backend" || time.Duration(c.Gross) != 70*time.Minute || time.Duration(c.Maintenance) != 85*time.Minute {
		t.Errorf("%s: down %s, maintained %s", c.Name, time.Duration(c.Gross), time.Duration(c.Maintenance))
	}
	if text := string(write(t, r, report.Markdown)); strings.Count(text, "Maintenance that Ada ordered from ") != 3 || !strings.Contains(text, "(backend; patching) counts like a window") {
		t.Error("the report does not name what was ordered")
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-12 {
		t.Errorf("%s: %.12f, want %.12f", what, got, want)
	}
}

// numbers returns the case numbers of incidents.
func numbers(r *report.Report, ids []string) []string {
	list := []string{}
	for _, id := range ids {
		i := slices.IndexFunc(r.Incidents, func(i report.Incident) bool { return i.ID == id })
		list = append(list, r.Incidents[i].Number)
	}
	return list
}

func TestGoldenReactions(t *testing.T) {
	r := report.Compute(october(t, octoberFrom, octoberTo))
	const h, m, s = time.Hour, time.Minute, time.Second
	type line struct {
		Number, Reaction   string
		Margin, Gross, Net time.Duration
	}
	var got []line
	for _, i := range r.Incidents {
		got = append(got, line{i.Number, i.Reaction, time.Duration(i.Margin), time.Duration(i.Gross), time.Duration(i.Net)})
	}
	// Each was opened a minute after it began; the limits are 15 min and 1 h.
	if diff := cmp.Diff([]line{
		{"FC-1", "met", 51 * m, 75 * m, 75 * m},           // due 22:31, taken 21:40
		{"FC-2", "met", 6*m + 30*s, 2 * h, 70 * m},        // due 08:16, taken 08:09:30; 50 min on hold
		{"FC-3", "over", 0, 2 * m, 2 * m},                 // due 03:16, closed 03:03
		{"FC-4", "over", 0, 40 * m, 40 * m},               // due 20:51, closed 20:31
		{"FC-5", "over", 0, 5 * m, 5 * m},                 // due 13:01, absorbed 12:05
		{"FC-6", "met", 14 * m, 30 * m, 30 * m},           // due 12:18, taken 12:04
		{"FC-7", "missed", -2 * h, 3 * h, 3 * h},          // due 07:01, nobody until it was closed at 09:01
		{"FC-8", "missed", -14 * m, 90 * m, 90 * m},       // due 01:31, taken 01:45
		{"FC-9", "met", 30 * m, 4 * h, 4 * h},             // due 09:01, taken 08:31
		{"FC-10", "missed", -(6*h + 59*m), 8 * h, 30 * m}, // due 23:01, nobody by 06:00; on hold from 22:30 on
	}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// FC-1 counts in September.
	least := func(d time.Duration) *report.Seconds { v := seconds(d); return &v }
	if diff := cmp.Diff([]report.Reaction{
		{Priority: 1, Limit: seconds(15 * m), Incidents: 3, Met: 2, Over: 1, Least: least(6*m + 30*s)},
		{Priority: 2, Limit: seconds(h), Incidents: 6, Met: 1, Missed: 3, Over: 2, Least: least(-(6*h + 59*m))},
		{Priority: 3, Limit: seconds(3 * h)},
		{Priority: 4, Limit: seconds(12 * h)},
	}, r.Reactions); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	a := r.Alarms
	if a.Opened != 9 || a.Cases != 9 || !slices.Equal(numbers(r, a.False), []string{"FC-3"}) || !slices.Equal(numbers(r, a.Momentary), []string{"FC-3"}) ||
		!slices.Equal(numbers(r, a.Accepted), []string{"FC-9"}) || !slices.Equal(numbers(r, a.Absorbed), []string{"FC-5"}) || len(a.Lowered) != 0 || len(r.Functional) != 1 {
		t.Errorf("alarms %+v, functional %v", a, r.Functional)
	}
	// FC-1: due 22:01:10 and 22:31:10, both in the month and sent. FC-2: 08:31:10, 09:01:10 and 09:31:10, on time, 4 min late where 3 are
	// allowed, missing. FC-3 ended before the first was due. The other incidents have no notices to the customer by mail; the first mail
	// of FC-1 was in September.
	if diff := cmp.Diff([]report.Mails{{Channel: "mail", Due: 5, OnTime: 3, Late: 1, Missing: 1, Latest: seconds(4 * m), First: 2, Closing: 3}}, r.Mails); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestGoldenLatencyAndCoverage(t *testing.T) {
	r := report.Compute(october(t, octoberFrom, octoberTo))
	const h, m, s = time.Hour, time.Minute, time.Second
	find := func(probe string) report.Latency {
		return r.Latency[slices.IndexFunc(r.Latency, func(l report.Latency) bool { return l.Probe == probe })]
	}
	// Runs of the web client: 745 h x 60, less 180 while the agent was stopped, 10 blind, and those that were down: 45 + 40 + 32 + 90 + 60.
	web := find("web-client/http")
	if web.Runs != 745*60-180-10-267 || web.Source != "runs and roll-ups" || web.Missing != 0 || web.Error != 1.0/32 || web.Least != seconds(10*time.Millisecond) || web.Most != seconds(600*time.Millisecond) {
		t.Errorf("web client: %+v", web)
	}
	// Each hour has 10, 20 ... 600 ms once, less the runs above. Up to 300 ms there are 745 x 30 - 90 - 10 - 150 = 22,100 of 44,243 runs,
	// so that the median, of rank 22,122, is 310 ms. Up to 570 ms there are 745 x 57 - 171 - 10 - 255 = 42,029, and rank 42,031 is 580 ms;
	// up to 590 ms 745 x 59 - 177 - 10 - 263 = 43,505, and rank 43,801 is 600 ms. All within 1/32.
	for _, p := range []struct {
		got  *report.Seconds
		want float64
	}{{web.P50, .31}, {web.P95, .58}, {web.P99, .6}} {
		if got := time.Duration(*p.got).Seconds(); math.Abs(got-p.want) > p.want/32 {
			t.Errorf("percentile %.4f s, want %.4f s", got, p.want)
		}
	}
	// backend/app01/http has no histogram before 4 October: 30 September 22:00Z to 4 October 00:00Z are 74 h. The rest is exact. Of 745 hours
	// those have a run that was answered: less three while the agent was stopped and one, 09:00Z on the 5th, in which it was down throughout; 08:00Z
	// too: 740. In the 671 h that are known are 671 x 60 - 190 - 152 = 39,918 runs; up to 300 ms 19,940, rank 19,959 is 310 ms; up to 570 ms
	// 37,920, rank 37,923 is 580 ms.
	app01 := find("backend/app01/http")
	if app01.Missing != 74 || app01.Hours != 740 || app01.Source != "runs" || app01.Error != 0 {
		t.Errorf("app01: %+v", app01)
	}
	if *app01.P50 != seconds(310*time.Millisecond) || *app01.P95 != seconds(580*time.Millisecond) || *app01.P99 != seconds(600*time.Millisecond) {
		t.Errorf("app01: percentiles %s %s %s", time.Duration(*app01.P50), time.Duration(*app01.P95), time.Duration(*app01.P99))
	}

	c := r.Coverage
	if c.Stopped != seconds(2*h+59*m+54*s) || c.Blind != seconds(9*m+54*s) || c.Measured != seconds(745*h-3*h-9*m-48*s) || len(c.Troubles) != 1 {
		t.Errorf("coverage: stopped %s, blind %s, measured %s, %d troubles", time.Duration(c.Stopped), time.Duration(c.Blind), time.Duration(c.Measured), len(c.Troubles))
	}
	if diff := cmp.Diff([]report.Gap{
		{Span: report.Span{From: oct(17, 10, 0).Add(6 * s), To: oct(17, 13, 0)}, Kind: "stopped"},
		{Span: report.Span{From: oct(18, 4, 0).Add(6 * s), To: oct(18, 4, 10)}, Kind: "blind"},
	}, c.Gaps); diff != "" {
		t.Errorf("gaps (-want +got)\n%s", diff)
	}
	rdp := c.Probes[3]
	if rdp.Expected != 745*12 || rdp.Runs != 745*12-36 || rdp.Unknown != 2 || rdp.ByHour != 74 {
		t.Errorf("remote desktop: %+v", rdp)
	}
}

// plot is a drawing, which is large and not of this package.
var plot = regexp.MustCompile(`(?s)<svg.*?</svg>`)

// TestGoldenForms compares the report's forms with the files in testdata.
func TestGoldenForms(t *testing.T) {
	r := report.Compute(october(t, octoberFrom, octoberTo))
	for _, form := range []struct {
		file, language string
		format         report.Format
	}{
		{"october.html", "en", report.HTML},
		{"oktober.html", "da", report.HTML},
		{"october.md", "en", report.Markdown},
		{"oktober.md", "da", report.Markdown},
		{"october.csv", "en", report.CSV},
		{"october.json", "en", report.JSON},
	} {
		r.Language = form.language
		golden(t, form.file, plot.ReplaceAll(write(t, r, form.format), []byte("<svg></svg>")))
	}
	empty := report.Input{Agent: "v1.0.0", Tenant: "acme", Zone: copenhagen(t), From: octoberFrom, To: octoberTo, Made: octoberMade}
	golden(t, "empty.md", write(t, report.Compute(empty), report.Markdown))
	golden(t, "empty.html", write(t, report.Compute(empty), report.HTML))
}

func write(t *testing.T, r *report.Report, f report.Format) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := r.Write(&out, f); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", name, diff)
	}
}
