package reconcile

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/firstcall-agent/firstcall/incident/desk"
)

const (
	firstBackoff = time.Second
	maxBackoff   = 15 * time.Second
)

// backoff returns how long after the start of the failed attempt the next one may begin: 1, 2, 4, 8, 15, 15 ... seconds, each
// shortened by up to a half so that many rows do not come back in step. It counts from the start, so that an attempt that hung
// until its deadline has served most of its wait already.
func backoff(failures int, jitter float64) time.Duration {
	d := maxBackoff
	if shift := failures - 1; shift < 4 {
		d = min(firstBackoff<<max(shift, 0), maxBackoff)
	}
	return d - time.Duration(jitter*float64(d)/2)
}

// soon reports whether at lies ahead, and no further than it can have been set ahead. Further off, the clock was set back since,
// and what waits for it must not wait for as long as the clock was set back.
func soon(now, at time.Time, most time.Duration) bool {
	return now.Before(at) && at.Sub(now) <= most
}

// unknown reports whether a write that returned err may have happened all the same.
func unknown(err error) bool {
	return errors.Is(err, desk.ErrUnknownOutcome) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// sameError reports whether two error texts say the same, whatever numbers (times, ports, request ids) stand in them.
func sameError(a, b string) bool { return normalised(a) == normalised(b) }

func normalised(text string) string {
	words := strings.Fields(strings.ToLower(text))
	for i, w := range words {
		if strings.ContainsFunc(w, unicode.IsDigit) {
			words[i] = "#"
		}
	}
	return strings.Join(words, " ")
}

// Bounds on remote text that is kept.
const (
	maxText  = 600
	maxActor = 80
)

// tidy makes remote text fit to be kept and shown: one line, no control characters, valid UTF-8, at most limit bytes.
func tidy(text string, limit int) string {
	var b strings.Builder
	space := false
	for _, r := range text {
		if unicode.IsSpace(r) {
			space = b.Len() > 0
			continue
		}
		if !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
		if b.Len() > limit {
			return strings.TrimSpace(whole(b.String()[:limit-len("...")])) + "..."
		}
	}
	return b.String()
}

// whole drops the piece of a rune at the end of a text that was cut.
func whole(text string) string {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRuneInString(last) {
				return text[:len(text)-n]
			}
			return text
		}
	}
	return text
}
