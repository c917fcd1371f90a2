package report_test

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/report"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// TestPercent states the rule of rounding: cut off, so that only what is complete is 100 %.
func TestPercent(t *testing.T) {
	for _, tt := range []struct {
		part, whole time.Duration
		want        string
	}{
		{99996, 100000, "99.996 %"},
		{999999, 1000000, "99.999 %"},
		{999999999, 1000000000, "99.999 %"},
		{1000000, 1000000, "100 %"},
		{995, 1000, "99.500 %"},
		{0, 1000, "0 %"},
		{1, 1000000, "< 0.001 %"},
		{1, 100000, "0.001 %"},
		{0, 0, "–"},
		{745*time.Hour - 1, 745 * time.Hour, "99.999 %"},
		{366*24*time.Hour - 1, 366 * 24 * time.Hour, "99.999 %"},
	} {
		if got := report.Percent("en", report.Share{Part: tt.part, Whole: tt.whole}); got != tt.want {
			t.Errorf("%d of %d: %q, want %q", tt.part, tt.whole, got, tt.want)
		}
	}
	if got := report.Percent("da", report.Share{Part: 99996, Whole: 100000}); got != "99,996 %" {
		t.Errorf("in Danish: %q", got)
	}
}

func TestLasting(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 1500 * time.Millisecond: "1.5 s", 59*time.Second + 980*time.Millisecond: "1 min", 61 * time.Second: "1 min 1 s", 25*time.Hour + time.Second: "1 d 1 h 1 s",
		-14 * time.Minute: "−14 min", 20 * time.Millisecond: "20.0 ms",
	} {
		if got := report.Lasting("en", report.Seconds(d)); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 s", 900 * time.Nanosecond: "0,90 µs", 1234 * time.Microsecond: "1,23 ms", 412 * time.Millisecond: "412 ms", 12345 * time.Millisecond: "12,3 s"} {
		if got := report.Short("da", report.Seconds(d)); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestMonth(t *testing.T) {
	zone := copenhagen(t)
	for month, hours := range map[string]float64{"2026-10": 745, "2026-03": 743, "2026-11": 720, "2028-02": 696} {
		from, to, err := report.Month(month, zone)
		if err != nil || to.Sub(from).Hours() != hours || from.In(zone).Format("15:04 2") != "00:00 1" {
			t.Errorf("%s: %s to %s, %v; want %g h", month, from, to, err, hours)
		}
	}
	beirut, err := time.LoadLocation("Asia/Beirut") // clocks go from 0:00 to 1:00 on 29 March 2026
	if err != nil {
		t.Fatal(err)
	}
	r := report.Compute(report.Input{
		Tenant: "acme", Zone: beirut, From: time.Date(2026, 3, 28, 0, 0, 0, 0, beirut), To: time.Date(2026, 3, 31, 0, 0, 0, 0, beirut), Made: octoberMade,
		Components: []report.InputComponent{{Name: "a"}},
	})
	if d := r.Parts[0].Days; len(d) != 3 || d[1].Date != "2026-03-29" || d[1].Length != report.Seconds(23*time.Hour) {
		t.Errorf("days in Beirut: %+v", d)
	}
	for _, bad := range []string{"", "2026", "2026-13", "november", "2026-11-01"} {
		if _, _, err := report.Month(bad, zone); err == nil {
			t.Errorf("%q is taken as a month", bad)
		}
	}
}

// everything is a report that says all that reports can say.
func everything(t *testing.T) *report.Report {
	in := october(t, octoberFrom.Add(time.Minute), octoberTo.Add(24*time.Hour)) // neither a month nor over
	hours, err := sla.ParseCalendar([]string{"Mon-Fri 08:00-16:00"}, in.Zone, "DK")
	if err != nil {
		t.Fatal(err)
	}
	in.Level.Supported, in.Supported, in.HoldEnds = hours, []string{"Mon-Fri 08:00-16:00"}, sla.EndsAtStatus
	old := &teller{}
	old.incident(incident.Availability, "backend", incident.P1, oct(30, 4, 0), oct(30, 5, 0))
	old.list[0].Incident.Outages, old.list[0].Incident.Resolution = nil, incident.Removed
	pending := old.incident(incident.Capacity, "backend", incident.P4, oct(31, 22, 0), time.Time{})
	pending.Notices = []incident.Notice{{ID: pending.Incident.ID + ".case notes.case.status.1", Incident: pending.Incident.ID, Notifier: report.CaseNotes, Kind: incident.NoticeStatus, Seq: 1}}
	pending.Timeline = append(pending.Timeline, incident.Event{Kind: incident.EventCaseOpened, At: oct(31, 22, 1), Priority: incident.P4}, incident.Event{Kind: incident.EventLowered, At: oct(31, 22, 5), Priority: incident.P3})
	in.Tales = append(in.Tales, old.list...)
	for n := range 30 { // so many that not all are drawn
		p := report.Probe{ID: "backend/" + string(rune('a'+n)), Component: "backend", Interval: time.Minute}
		in.Probes = append(in.Probes, p)
	}
	in.Measured = report.NewMeasured(in.Probes, in.From, octoberMade, in.Zone)
	for _, p := range in.Probes {
		hour := store.Rollup{Probe: p.ID, Hour: oct(3, 4, 0), Counts: [4]int64{0, 60}, Sum: time.Second, Min: 1, Max: time.Second}
		if p.Interval > 0 {
			for range 60 {
				hour.Latency.Add(time.Second / 60)
			}
		}
		in.Measured.AddHour(hour)
	}
	for n := range 100 { // so many gaps that not all are listed
		at := octoberFrom.Add(time.Duration(n) * 10 * time.Minute)
		feed(in.Measured, in.Probes[0], at, at.Add(time.Minute))
	}
	return report.Compute(in)
}

func TestEveryWordIsTranslated(t *testing.T) {
	empty := report.Compute(report.Input{Tenant: "acme", Zone: copenhagen(t), From: octoberFrom, To: octoberTo, Made: octoberMade})
	for _, r := range []*report.Report{everything(t), report.Compute(october(t, octoberFrom, octoberTo)), empty} {
		if lacking := report.Lacking(r); len(lacking) > 0 {
			t.Errorf("without a translation: %q", lacking)
		}
	}
}

// TestEveryKeyIsDocumented states that docs/report.md names every key of the JSON form.
func TestEveryKeyIsDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/report.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, m := range regexp.MustCompile(`"([a-z_0-9]+)":`).FindAllStringSubmatch(string(write(t, everything(t), report.JSON)), -1) {
		keys[m[1]] = true
	}
	for key := range keys {
		if !strings.Contains(string(docs), "`"+key+"`") {
			t.Errorf("docs/report.md does not name %s", key)
		}
	}
}

// TestExampleIsReal states that the example in docs/report.md is of the golden month.
func TestExampleIsReal(t *testing.T) {
	docs, err := os.ReadFile("../../docs/report.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```markdown\n(.*?)```").FindSubmatch(docs)
	if example == nil {
		t.Fatal("docs/report.md has no example")
	}
	real := string(write(t, report.Compute(october(t, octoberFrom, octoberTo)), report.Markdown))
	for line := range strings.Lines(string(example[1])) {
		if !strings.Contains(real, line) {
			t.Errorf("not in the report: %s", line)
		}
	}
}

func TestCSV(t *testing.T) {
	r := everything(t)
	rows, err := csv.NewReader(strings.NewReader(string(write(t, r, report.CSV)))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{
		{"table", "row", "figure", "value", "unit"},
		{"report", "", "period_seconds", "2707140", "s"},
		{"report", "", "method.reaction_limits.p1", "900", "s"},
		{"components", "web-client", "outages", "5", ""},
		{"incidents", "fc-acme-backend-20261005T080000.000Z", "reaction", "met", ""},
		{"incidents.downtime", "fc-acme-backend-20261005T080000.000Z/1", "component", "backend", ""},
	} {
		if !slices.ContainsFunc(rows, func(row []string) bool { return slices.Equal(row, want) }) {
			t.Errorf("no row %q", want)
		}
	}
	in := october(t, octoberFrom, octoberTo)
	in.Tales[1].Cases[0].AcknowledgedBy = "=HYPERLINK(1)"
	if text := string(write(t, report.Compute(in), report.CSV)); !strings.Contains(text, ",reacted_by,'=HYPERLINK(1),") || !strings.Contains(text, ",reaction_margin_seconds,-7200,s") {
		t.Error("a name is a formula, or a number is none")
	}
	var back map[string]any
	if err := json.Unmarshal(write(t, r, report.JSON), &back); err != nil || back["schema"] != float64(report.Schema) || back["so_far"] != true {
		t.Errorf("JSON: %v, %v", err, back["so_far"])
	}
}

// What targets, desks and people wrote cannot become part of the page.
func TestHTMLEscapes(t *testing.T) {
	in := october(t, octoberFrom, octoberTo)
	in.Name, in.Agent = "<script>alert(1)</script>", "v1 & <b>"
	in.Tales[1].Cases[0].Number, in.Tales[1].Cases[0].AcknowledgedBy = "<img src=x>", "| `ada`\n# no"
	page := string(write(t, report.Compute(in), report.HTML))
	for _, bad := range []string{"<script", "<img", "<b>\"", "v1 & <b>"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, outside := range regexp.MustCompile(`(src|href)="[^#][^"]*"|url\(|@import`).FindAllString(page, -1) {
		t.Errorf("the page refers to %s", outside)
	}
	text := string(write(t, report.Compute(in), report.Markdown))
	if strings.Contains(text, "<img") || strings.Contains(text, "\n# no") || !strings.Contains(text, "\\| \\`ada\\` # no") {
		t.Error("the table of incidents is broken by a name")
	}
}

func TestSoFar(t *testing.T) {
	in := october(t, octoberFrom, octoberTo)
	in.Made = oct(15, 0, 0)
	r := report.Compute(in)
	if !r.SoFar || !r.Until.Equal(in.Made) || r.Period != report.Seconds(in.Made.Sub(octoberFrom)) {
		t.Errorf("so far %t, until %s", r.SoFar, r.Until)
	}
	if text := string(write(t, r, report.Markdown)); !strings.Contains(text, "**So far: the period is not over") {
		t.Error("the report does not say that it is so far")
	}
	in.Made = octoberFrom.Add(-time.Hour)
	if r := report.Compute(in); r.Period != 0 || r.Parts[0].NetShare.Known() {
		t.Errorf("of the future: %+v", r.Parts[0])
	}
}
