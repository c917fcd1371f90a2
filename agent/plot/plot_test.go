package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/color"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var start = time.Date(2026, 10, 1, 22, 0, 0, 0, time.UTC) // midnight in Copenhagen

func copenhagen(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Copenhagen")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// month is one probe's month with all that may be in a picture: a daily rhythm, spikes, an outage, slow hours.
func month(zone *time.Location, n int, step time.Duration) Chart {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a picture is no secret
	c := Chart{Title: "web-client/http: time of the whole run", Zone: zone}
	for i := range n {
		at := start.Add(time.Duration(i) * step)
		hour := math.Mod(at.Sub(start).Hours(), 24)
		expected := time.Duration((100 + 40*math.Sin((hour-6)/24*2*math.Pi)) * 1e6)
		value := expected + time.Duration(random.NormFloat64()*6e6)
		switch day := at.Sub(start).Hours() / 24; {
		case day > 17.3 && day < 17.5:
			value *= 2
		case day > 24.1 && day < 24.2:
			value = 0
		case random.IntN(400) == 0:
			value = time.Duration(random.IntN(5000)) * time.Millisecond
		}
		c.Points = append(c.Points, Point{at, value})
		level := Level{At: at, Expected: expected, Limit: expected * 3 / 2}
		if at.Sub(start) < 14*24*time.Hour {
			level = Level{At: at}
		}
		c.Levels = append(c.Levels, level)
	}
	at := func(day float64) time.Time { return start.Add(time.Duration(day * 24 * float64(time.Hour))) }
	c.Verdicts = []Verdict{{
		Spans: []Span{{at(17.31), at(17.51), Degraded}, {at(24.1), at(24.2), Down}},
		Marks: []Mark{{at(17.32), "P2"}, {at(24.102), "P1"}, {at(24.3), "P3"}, {at(24.35), "P4"}},
	}}
	c.Changes = []time.Time{at(17.3)}
	return c
}

// scenes are the pictures that a person should look at: PLOT_DIR=/tmp/plots go test ./agent/plot writes them.
func scenes(t testing.TB) map[string]Chart {
	zone := copenhagen(t)
	whole := month(zone, 43_200, time.Minute)
	two := month(zone, 4320, 10*time.Minute)
	two.Verdicts[0].Name = "A"
	two.Verdicts = append(two.Verdicts, Verdict{Name: "B", Spans: []Span{{two.Verdicts[0].Spans[1].From, two.Verdicts[0].Spans[1].To, Down}}, Marks: []Mark{{two.Verdicts[0].Marks[1].At, "P2"}}})
	hour := month(zone, 90, time.Minute)
	hour.Verdicts, hour.Changes = nil, nil
	night := month(zone, 4320, 10*time.Minute)
	night.From, night.To = start.Add(23*24*time.Hour), start.Add(25*24*time.Hour+12*time.Hour) // the night on which summer time ends
	limit := month(zone, 1440, time.Minute)
	for i := range limit.Levels {
		limit.Levels[i] = Level{At: limit.Levels[i].At, Limit: 180 * time.Millisecond}
	}
	limit.Verdicts, limit.Changes = nil, nil
	return map[string]Chart{
		"month": whole, "two": two, "hour": hour, "night": night, "limit": limit,
		"empty":   {Title: "nothing", Zone: zone},
		"one":     {Title: "one run", Zone: zone, Points: []Point{{start, 123 * time.Millisecond}}},
		"failed":  {Title: "failed only", Zone: zone, Points: []Point{{start, 0}, {start.Add(time.Minute), 0}}},
		"long":    {Title: strings.Repeat("a title that is much too long ", 20), Zone: zone, Points: []Point{{start, 3 * time.Second}, {start.Add(time.Second), 30 * time.Microsecond}}},
		"bare":    {},
		"hostile": {Title: "</text><script>alert(1)</script>", Points: []Point{{start, math.MaxInt64}, {start.Add(24 * 365 * 50 * time.Hour), -5}}, Verdicts: []Verdict{{Name: "<b>"}}},
	}
}

func TestPictures(t *testing.T) {
	for name, c := range scenes(t) {
		for _, size := range [][2]int{{0, 0}, {600, 360}, {300, 200}} {
			if size[0] > 0 && name != "month" && os.Getenv("PLOT_DIR") == "" {
				continue // under the race detector a picture takes a second
			}
			c.Width, c.Height = size[0], size[1]
			picture, err := c.Render(PNG)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			decoded, err := png.Decode(bytes.NewReader(picture))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if b := decoded.Bounds(); size[0] > 0 && (b.Dx() != size[0] || b.Dy() != size[1]) {
				t.Errorf("%s is %v", name, b)
			}
			drawing, err := c.Render(SVG)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(drawing) > 1<<20 || len(picture) > 200<<10 {
				t.Errorf("%s: %d bytes of SVG, %d of PNG: too large for a mail", name, len(drawing), len(picture))
			}
			wellFormed(t, name, drawing)
			if dir := os.Getenv("PLOT_DIR"); dir != "" {
				base := filepath.Join(dir, name)
				if size[0] > 0 {
					base += "-" + map[int]string{600: "600", 300: "300"}[size[0]]
				}
				if err := errors.Join(os.WriteFile(base+".png", picture, 0o600), os.WriteFile(base+".svg", drawing, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func wellFormed(t *testing.T, name string, drawing []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(drawing)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%s: the SVG is not well-formed: %v", name, err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "script" {
			t.Fatalf("%s: the SVG has a script", name)
		}
	}
}

// TestExtremesStay states that thinning drops no peak, no failure and no lowest value.
func TestExtremesStay(t *testing.T) {
	c := Chart{}
	for i := range 43_200 {
		v := 100*time.Millisecond + time.Duration(i%977)*100*time.Microsecond
		switch i {
		case 20_000:
			v = 240 * time.Millisecond
		case 30_000:
			v = 10 * time.Millisecond
		case 35_000:
			v = 0
		case 36_000:
			v = 9 * time.Second
		}
		c.Points = append(c.Points, Point{start.Add(time.Duration(i) * time.Minute), v})
	}
	c.Width, c.Height, c.Zone = 1000, 420, time.UTC
	d := &drawing{Chart: c}
	d.measure()
	d.left, d.right, d.top, d.bottom = 60, 980, 40, 360
	dots, peaks, fails := d.thin()
	if len(dots) > mostDots+2*1000 {
		t.Errorf("%d dots", len(dots))
	}
	if len(peaks) != 1 || len(fails) != 1 || d.above != 1 {
		t.Errorf("peaks %v, failures %v", peaks, fails)
	}
	lowest, highest := false, false
	for _, dot := range dots {
		lowest = lowest || dot.Y == d.y(10*time.Millisecond)
		highest = highest || dot.Y == d.y(240*time.Millisecond)
	}
	if !lowest || !highest {
		t.Errorf("lowest %v, highest %v", lowest, highest)
	}
}

// TestGrey states that printed in grey, and by its colour too, down is darker than degraded, and that darker than nothing.
func TestGrey(t *testing.T) {
	grey := func(c color.Color) uint8 { return color.GrayModel.Convert(c).(color.Gray).Y }
	if d, s := grey(down), grey(degraded); d+60 > s || s > 200 {
		t.Errorf("down %d, degraded %d", d, s)
	}
	if d, s := grey(paleDown), grey(paleSlow); d+15 > s || s > 250 {
		t.Errorf("pale down %d, pale degraded %d", d, s)
	}
}

// TestAtOnce states that pictures may be drawn from several goroutines.
func TestAtOnce(t *testing.T) {
	c := month(copenhagen(t), 1000, 30*time.Minute)
	want, err := c.Render(SVG)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if got, err := c.Render(SVG); err != nil || !bytes.Equal(got, want) {
				t.Errorf("another picture (%v)", err)
			}
		})
	}
	all.Wait()
}

func TestRefusedPictures(t *testing.T) {
	for want, c := range map[string]Chart{"20 x 400": {Width: 20, Height: 400}, "9999": {Width: 9999, Height: 400}} {
		if _, err := c.Render(PNG); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := (Chart{}).Render("gif"); err == nil || !strings.Contains(err.Error(), "want png or svg") {
		t.Errorf("gif: %v", err)
	}
}

// TestTimeTicks states that on no time axis one label stands in another.
func TestTimeTicks(t *testing.T) {
	zone := copenhagen(t)
	for _, span := range []time.Duration{5 * time.Second, time.Minute, time.Hour, 25 * time.Hour, 5 * 24 * time.Hour, 31 * 24 * time.Hour, 400 * 24 * time.Hour, 30 * 365 * 24 * time.Hour} {
		d := &drawing{Chart: Chart{Zone: zone, Width: 1000, Height: 420}, left: 60, right: 980, from: start.Add(23*24*time.Hour + 7*time.Minute)}
		d.to = d.from.Add(span)
		ticks := d.timeTicks()
		if len(ticks) < 2 || len(ticks) > 20 {
			t.Errorf("%s: %d ticks", span, len(ticks))
		}
		for i := 1; i < len(ticks); i++ {
			if gap := d.x(ticks[i].at) - d.x(ticks[i-1].at); gap < 30 {
				t.Errorf("%s: %s follows %s within %d pixels", span, ticks[i].at, ticks[i-1].at, gap)
			}
		}
	}
}

func BenchmarkMonth(b *testing.B) {
	c := month(copenhagen(b), 43_200, time.Minute)
	for _, f := range []Format{PNG, SVG} {
		b.Run(string(f), func(b *testing.B) {
			for b.Loop() {
				if _, err := c.Render(f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
