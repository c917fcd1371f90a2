package probes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	avd "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/desktopvirtualization/armdesktopvirtualization/v2"
)

// planGrace is how long after the start of a plan's ramp-up its hosts may take to start.
const planGrace = 30 * time.Minute

// windowsZones maps the time zones of scaling plans, which have Windows' names, to those of the IANA data base (CLDR's
// windowsZones, territory 001). A plan in another zone is taken to let hosts rest at any hour.
var windowsZones = map[string]string{
	"UTC":                            "UTC",
	"GMT Standard Time":              "Europe/London",
	"Greenwich Standard Time":        "Atlantic/Reykjavik",
	"W. Europe Standard Time":        "Europe/Berlin",
	"Romance Standard Time":          "Europe/Paris",
	"Central Europe Standard Time":   "Europe/Budapest",
	"Central European Standard Time": "Europe/Warsaw",
	"FLE Standard Time":              "Europe/Kiev",
	"GTB Standard Time":              "Europe/Bucharest",
	"Turkey Standard Time":           "Europe/Istanbul",
	"Israel Standard Time":           "Asia/Jerusalem",
	"Arabian Standard Time":          "Asia/Dubai",
	"India Standard Time":            "Asia/Calcutta",
	"Singapore Standard Time":        "Asia/Singapore",
	"China Standard Time":            "Asia/Shanghai",
	"Tokyo Standard Time":            "Asia/Tokyo",
	"AUS Eastern Standard Time":      "Australia/Sydney",
	"New Zealand Standard Time":      "Pacific/Auckland",
	"Eastern Standard Time":          "America/New_York",
	"Central Standard Time":          "America/Chicago",
	"Mountain Standard Time":         "America/Denver",
	"Pacific Standard Time":          "America/Los_Angeles",
}

// planOf returns what the scaling plans mean for the pool with this resource id at now, and a sentence about the first that is
// enabled for it.
func planOf(plans []*avd.ScalingPlan, pool string, now time.Time) (planState, string) {
	state, text := planNone, ""
	for _, plan := range plans {
		if plan == nil || plan.Properties == nil || !enabledFor(plan.Properties, pool) {
			continue
		}
		if state == planNone {
			state, text = planRests, "scaling plan "+Printable(value(plan.Name), 60)
		}
		if since, due := dueSince(plan.Properties, now); due {
			return planDue, fmt.Sprintf("the scaling plan %s wants hosts running since %s", Printable(value(plan.Name), 60), since.Format("15:04 MST"))
		}
	}
	return state, text
}

func enabledFor(plan *avd.ScalingPlanProperties, pool string) bool {
	return slices.ContainsFunc(plan.HostPoolReferences, func(r *avd.ScalingHostPoolReference) bool {
		return r != nil && value(r.ScalingPlanEnabled) && strings.EqualFold(value(r.HostPoolArmPath), pool)
	})
}

// dueSince reports whether a schedule of the plan keeps a share of hosts running at now: from its ramp-up, with planGrace, to
// its ramp-down.
func dueSince(plan *avd.ScalingPlanProperties, now time.Time) (since time.Time, due bool) {
	zone, err := time.LoadLocation(windowsZones[value(plan.TimeZone)])
	if err != nil || windowsZones[value(plan.TimeZone)] == "" {
		return time.Time{}, false
	}
	local := now.In(zone)
	for _, s := range plan.Schedules {
		if s == nil || value(s.RampUpMinimumHostsPct) < 1 || !onDay(s.DaysOfWeek, local.Weekday()) {
			continue
		}
		up, okUp := at(s.RampUpStartTime, local)
		down, okDown := at(s.RampDownStartTime, local)
		if okUp && okDown && up.Before(down) && !local.Before(up.Add(planGrace)) && local.Before(down) {
			return up, true
		}
	}
	return time.Time{}, false
}

func onDay(days []*avd.ScalingScheduleDaysOfWeekItem, day time.Weekday) bool {
	return slices.ContainsFunc(days, func(d *avd.ScalingScheduleDaysOfWeekItem) bool { return d != nil && string(*d) == day.String() })
}

// at returns the instant of the day of local at which a clock shows t.
func at(t *avd.Time, local time.Time) (time.Time, bool) {
	if t == nil || t.Hour == nil || t.Minute == nil {
		return time.Time{}, false
	}
	year, month, day := local.Date()
	return time.Date(year, month, day, int(*t.Hour), int(*t.Minute), 0, 0, local.Location()), true
}

// value returns what p points to, or the zero value: every field of an answer may be missing.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
