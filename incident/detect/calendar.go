package detect

import "time"

// Calendar says which hours of which days are alike. The zero value is UTC with Saturdays and Sundays as days of rest.
type Calendar struct {
	Zone    *time.Location         // the tenant's; nil: UTC
	Holiday func(t time.Time) bool // whether the local day of t is a day of rest although it is no weekend; nil: none is
}

// slot is one hour of local time. On the night that gains an hour two slots have the same day and hour, on the night that loses
// one there is one slot less.
type slot struct {
	day        int32 // days since 1970-01-01 of the local date
	hour       int   // 0 to 23, local
	rest       bool  // a weekend or a holiday
	weekday    time.Weekday
	start, end int64 // Unix seconds
}

// at returns the slot that holds t, in Unix seconds.
func (c Calendar) at(t int64) slot {
	zone := c.Zone
	if zone == nil {
		zone = time.UTC
	}
	local := time.Unix(t, 0).In(zone)
	into := int64(local.Minute()*60 + local.Second())
	year, month, day := local.Date()
	s := slot{
		day:  int32(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 86400),
		hour: local.Hour(), weekday: local.Weekday(), start: t - into, end: t - into + 3600,
	}
	s.rest = s.weekday == time.Saturday || s.weekday == time.Sunday || c.Holiday != nil && c.Holiday(local)
	return s
}

// index counts hours as the tenant's clock shows them.
func (s slot) index() int32 { return s.day*24 + int32(s.hour) }
