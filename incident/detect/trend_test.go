package detect

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/probes"
)

// wave is 0 at four at night and 1 at four in the afternoon.
func wave(hours float64) float64 { return (1 - math.Cos((hours-4)/12*math.Pi)) / 2 }

// history returns the outlook after so many hours of a value by the hour since midnight, measured every ten minutes.
func history(k probes.NumberKind, hours int, value func(h float64) float64) string {
	midnight := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC) // a Monday
	var t Trend
	for i := range 6 * hours {
		t.add(midnight.Add(time.Duration(i)*10*time.Minute), value(float64(i)/6))
	}
	h := float64(hours)
	return t.outlook(&k, midnight.Add(time.Duration(hours)*time.Hour), value(h))
}

func TestForecast(t *testing.T) {
	percent := probes.NumberKind{Name: "sessions", Unit: "%", Full: 100}
	count := probes.NumberKind{Name: "sessions"}
	free := probes.NumberKind{Name: "free", Unit: "GB", Low: true}
	random := rand.New(rand.NewPCG(3, 4))
	noise := func(by float64) float64 { return by * (2*random.Float64() - 1) }
	for _, c := range []struct {
		name  string
		kind  probes.NumberKind
		hours int
		value func(h float64) float64
		want  string
	}{
		{"a straight line", percent, 7 * 24, func(h float64) float64 { return 40 + h/24*5 }, "the daily peaks of the last 7 days rise by 5 % a day: at this rate full in 5 days (Sat 5 Dec 2026)"},
		{"a line with noise", percent, 7 * 24, func(h float64) float64 { return 40 + h/24*5 + noise(6) }, "at this rate full in 5 days"},
		{"hours that are far off", percent, 7 * 24, func(h float64) float64 {
			if math.Mod(h, 31) < 1 {
				return 100
			}
			return 40 + h/24*5
		}, "rise by 5 % a day: at this rate full in 5 days"},
		{"an idle weekend", percent, 7*24 + 8, func(h float64) float64 {
			if h >= 5*24 && h < 7*24 {
				return 2
			}
			return 40 + h/24*5
		}, "rise by 5 % a day: at this rate full in 5 days"},
		{"no growth but an idle weekend", percent, 9 * 24, func(h float64) float64 {
			if h >= 5*24 && h < 7*24 {
				return 2
			}
			return 60 + noise(1)
		}, "no trend"},
		// 30 + 4 a day is 100 after 17.5 days; a median of two hours is a little less than the peak in them
		{"days with nights", percent, 7*24 + 10, func(h float64) float64 { return (30 + h/24*4) * wave(h) }, "rise by 3.9 % a day: at this rate full in 11 days"},
		{"the morning's slope is no trend", percent, 6*24 + 11, func(h float64) float64 { return 80 * wave(h) }, "no trend in the daily peaks of the last 6 days"},
		{"nor is the evening's", percent, 6*24 + 22, func(h float64) float64 { return 80 * wave(h) }, "no trend"},
		{"a first day that began in the evening", percent, 5*24 + 14, func(h float64) float64 { return 80 * wave(h+18) }, "no trend"},
		{"it falls", percent, 7 * 24, func(h float64) float64 { return 90 - h/24*5 }, "no trend in the daily peaks of the last 7 days"},
		{"noise alone", percent, 7 * 24, func(float64) float64 { return 50 + noise(20) }, ""},
		{"slow", percent, 7 * 24, func(h float64) float64 { return 40 + h/24*0.25 }, "rise by 0.25 % a day: at this rate not full within 90 days"},
		{"soon", percent, 7 * 24, func(h float64) float64 { return 8 + h/24*13 }, "rise by 13 % a day: at this rate full within a day"},
		{"full", percent, 7 * 24, func(float64) float64 { return 100 }, "nothing is left"},
		{"three days", percent, 3*24 + 2, func(h float64) float64 { return 40 + h/24*5 }, "no forecast yet: it needs 4 whole days of data and has 3"},
		{"a morning", percent, 9, func(h float64) float64 { return 40 + h }, "no forecast yet: it needs 4 whole days of data and has 9 h"},
		{"no known end", count, 7 * 24, func(h float64) float64 { return 400 + h/24*50 }, "rise by 50 a day, and where the end is, is not known"},
		{"a low one", free, 7 * 24, func(h float64) float64 { return 100 - h/24*10 }, "the daily lows of the last 7 days fall by 10 GB a day: at this rate at 0 GB in 3 days (Thu 3 Dec 2026)"},
		{"a low one by night", free, 7 * 24, func(h float64) float64 { return 100 - h/24*5 - 20*wave(h) }, "daily lows of the last 7 days fall by 5 GB a day: at this rate at 0 GB in 9 days"},
		{"a low one that grows", free, 7 * 24, func(h float64) float64 { return 10 + h }, "no trend in the daily lows"},
		{"beyond all bounds", percent, 7 * 24, func(h float64) float64 { return -math.MaxFloat64 * h }, "no trend"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := history(c.kind, c.hours, c.value)
			if !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			if c.want == "" && strings.Contains(got, "days (") {
				t.Errorf("noise is full %q", got)
			}
		})
	}
}

// TestForecastOfASeldomProbe states that one value a day is enough.
func TestForecastOfASeldomProbe(t *testing.T) {
	var trend Trend
	k := probes.NumberKind{Unit: "%", Full: 100}
	for i := range 7 {
		trend.add(t0.AddDate(0, 0, i), 40+5*float64(i))
	}
	if got := trend.outlook(&k, t0.AddDate(0, 0, 6), 70); !strings.Contains(got, "rise by 5 % a day: at this rate full in 6 days") {
		t.Error(got)
	}
}

// TestForecastAtAnyHour states that the hour at which one asks makes no trend of a wave, and hides none.
func TestForecastAtAnyHour(t *testing.T) {
	k := probes.NumberKind{Unit: "%", Full: 100}
	for hour := range 24 {
		if got := history(k, 6*24+hour, func(h float64) float64 { return 70 * wave(h) }); !strings.HasPrefix(got, "no trend") {
			t.Errorf("at %d: %s", hour, got)
		}
		got := history(k, 6*24+hour, func(h float64) float64 { return 10 + 3*h/24 + 50*wave(h) })
		if !strings.Contains(got, "rise by 3 % a day: at this rate full in ") || strings.Contains(got, "in 5 days") || strings.Contains(got, "in 9 days") {
			t.Errorf("at %d: %s", hour, got)
		}
	}
}

// TestNoiseIsNoTrend states that chance makes a forecast seldom: in no more than one of fifteen weeks of pure noise, and one that
// says soon in far fewer.
func TestNoiseIsNoTrend(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	k := probes.NumberKind{Unit: "%", Full: 100}
	trends, soon := 0, 0
	for range 300 {
		got := history(k, 7*24, func(h float64) float64 { return 40 + 30*wave(h) + 5*(2*random.Float64()-1) })
		if !strings.HasPrefix(got, "no trend") {
			trends++
		}
		if strings.Contains(got, "days (") || strings.Contains(got, "within a day") {
			soon++
		}
	}
	if trends > 20 || soon > 9 {
		t.Errorf("of 300 weeks of noise %d have a trend, %d end soon", trends, soon)
	}
}

func TestCountdown(t *testing.T) {
	for days, want := range map[float64]string{
		22:     "it ends on Tue 15 Dec 2026, in 22 days",
		0.5:    "it ends on Mon 23 Nov 2026, in 12 h",
		-2:     "it ended on Sat 21 Nov 2026",
		1e300:  "it ends in more than a hundred years",
		-1e300: "it ended more than a hundred years ago",
	} {
		if got := countdown(t0, days); got != want {
			t.Errorf("%v: %q, want %q", days, got, want)
		}
	}
}

// TestFirstDayMustBeWhole states that a day of which the busy hours may be missing is no day.
func TestFirstDayMustBeWhole(t *testing.T) {
	var slots []Slot
	for n := range 3*slotsADay - 1 {
		slots = append(slots, Slot{n, float32(n)})
	}
	if days := extremes(slots, false); len(days) != 2 || days[0] != (extreme{0, 34}) || days[1] != (extreme{-1, 22}) {
		t.Errorf("of nearly three days: %v", days)
	}
	if days := extremes(slots[:3], false); len(days) != 1 {
		t.Errorf("of a morning: %v", days)
	}
}

// TestTrendRoundTrip states that a Trend restored at any value is the same as one that never ended, also where values are thinned
// out, and that those that are kept are spread over the whole of their two hours.
func TestTrendRoundTrip(t *testing.T) {
	var whole, again Trend
	for i := range 2000 {
		at := t0.Add(time.Duration(i) * 10 * time.Second)
		whole.add(at, float64(i%97))
		data, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		again = Trend{}
		if err := json.Unmarshal(data, &again); err != nil {
			t.Fatal(err)
		}
		again.add(at, float64(i%97))
		if diff := cmp.Diff(whole, again); diff != "" {
			t.Fatalf("at %d (-want +got):\n%s", i, diff)
		}
		if len(whole.Values) >= 2*slotValues {
			t.Fatalf("%d values at %d", len(whole.Values), i)
		}
	}
	var rising Trend
	for i := range 720 {
		rising.add(t0.Add(time.Duration(i)*10*time.Second), float64(i))
	}
	if got := median(rising.Values); got < 330 || got > 390 {
		t.Errorf("the median of 0 to 719 is %v", got)
	}
}
