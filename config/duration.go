package config

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxDays bounds a duration, far from where the arithmetic would overflow.
const maxDays = 3660

var days = regexp.MustCompile(`^(\d{1,5})d(.*)$`)

// ParseDuration reads a duration as the configuration writes it, such as 30s, 1h30m, 21d or 1d12h. A day is 24 hours.
func ParseDuration(text string) (time.Duration, error) { return parseDuration(text) }

// parseDuration reads a duration as the configuration writes it: the forms of time.ParseDuration without a sign, and days in
// front of them, such as 30s, 1h30m, 21d, 1d12h. A day is 24 hours.
func parseDuration(text string) (time.Duration, error) {
	var whole time.Duration
	if m := days.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > maxDays {
			return 0, errors.New("is longer than ten years")
		}
		if whole = time.Duration(n) * 24 * time.Hour; m[2] == "" {
			return whole, nil
		}
		text = m[2]
	}
	if text == "" || text[0] == '-' || text[0] == '+' {
		return 0, errDuration
	}
	rest, err := time.ParseDuration(text)
	if err != nil {
		return 0, errDuration
	}
	if rest > maxDays*24*time.Hour || whole+rest > maxDays*24*time.Hour {
		return 0, errors.New("is longer than ten years")
	}
	return whole + rest, nil
}

var errDuration = errors.New("is not a duration")

// short writes a duration as the configuration does: 7d, 1h30m, 5m, 100ms.
func short(t time.Duration) string {
	const day = 24 * time.Hour
	if t >= day && t%day == 0 {
		return strconv.FormatInt(int64(t/day), 10) + "d"
	}
	text := t.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
