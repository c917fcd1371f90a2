package notify

import (
	"errors"
	"fmt"
	"slices"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// Permanent reports whether err says that the same message cannot be sent until somebody changes something: an address or a
// credential that is refused, a certificate that is not trusted. Every other error may pass by itself. A notice stays due in
// either case; after a permanent error it may be tried less often.
func Permanent(err error) bool {
	f, ok := errors.AsType[interface {
		error
		Permanent() bool
	}](err)
	return ok && f.Permanent()
}

// failure is an error of a notifier: its text is bounded, on one line and free of secrets.
type failure struct {
	text      string
	permanent bool
	is        []error // what errors.Is finds
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() []error { return f.is }

// Permanent is what the function of that name reports.
func (f *failure) Permanent() bool { return f.permanent }

// maxError bounds the text of an error, maxExcerpt a foreign text in it.
const (
	maxError   = 600
	maxExcerpt = 200
)

// fail returns a failure of the notifier that is each of the given errors (nil ones are left out).
func fail(notifier string, permanent bool, is []error, secrets []secret.Value, format string, args ...any) error {
	text := fmt.Sprintf("notifier %q: ", notifier) + fmt.Sprintf(format, args...)
	is = slices.DeleteFunc(is, func(err error) bool { return err == nil })
	return &failure{text: secret.Plain(secret.Hide(text, secrets), maxError), permanent: permanent, is: is}
}
