package probes

import (
	"math"
	"slices"
	"strconv"
)

// MaxNumbers bounds the numbers of a result, and of a kind.
const MaxNumbers = 8

// CertificateDays is the name of the days left of the certificate that ends a target's chain first; negative once it expired.
const CertificateDays = "certificate_days"

// Number is a measured quantity of a result, in the unit that its kind declares for the name.
type Number struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`        // finite
	Of    string  `json:"of,omitempty"` // what it is of, where that is not plain; printable, at most MaxName bytes
}

// NumberKind declares a number that the results of a kind may have. Its name is also the key under which limits sets a limit.
type NumberKind struct {
	Name string // snake_case
	Doc  string // one sentence for the reference page
	Unit string // as people read it: days, sessions; % for a share, of 0 to 100; "" for a plain count
	Low  bool   // it is bad when it falls; a limit is then the value at or below which the resource is short

	// Full is the value at which the resource is exhausted, to which the detector forecasts. 0 means 0 for a Low one and is not
	// known for any other; NaN is not known for both.
	Full float64

	// Countdown is set for days that pass by themselves, one a day, to a date that is known: no trend is looked for.
	Countdown bool
}

// certificateDays is the number of every kind that sees a certificate.
var certificateDays = NumberKind{
	Name: CertificateDays, Doc: "Days left of the certificate that ends the chain first.", Unit: "days", Low: true, Countdown: true,
}

// Passed reports whether value has reached a limit, or lies beyond it.
func (k NumberKind) Passed(value, limit float64) bool {
	if k.Low {
		return value <= limit
	}
	return value >= limit
}

// Exhausted returns the value at which the resource is exhausted, and whether that is known.
func (k NumberKind) Exhausted() (float64, bool) {
	return k.Full, !math.IsNaN(k.Full) && (k.Low || k.Full != 0)
}

// Format writes a value with its unit for people, with one decimal where it has any.
func (k NumberKind) Format(value float64) string {
	text := strconv.FormatFloat(math.Round(value*10)/10+0, 'f', -1, 64)
	if math.Abs(value) >= 1e15 {
		text = strconv.FormatFloat(value, 'g', 4, 64)
	}
	if k.Unit == "" {
		return text
	}
	return text + " " + k.Unit
}

// proper reports whether the numbers are few, named, and no name is there twice or is a phase's.
func (k Kind) proper() bool {
	for i, n := range k.Numbers {
		same := func(o NumberKind) bool { return o.Name == n.Name }
		if n.Name == "" || n.Name == PhaseTotal || slices.Contains(k.Phases, n.Name) || slices.ContainsFunc(k.Numbers[:i], same) {
			return false
		}
	}
	return len(k.Numbers) <= MaxNumbers
}

// Number returns the declared number of that name.
func (k Kind) Number(name string) (NumberKind, bool) {
	i := slices.IndexFunc(k.Numbers, func(n NumberKind) bool { return n.Name == name })
	if i < 0 {
		return NumberKind{}, false
	}
	return k.Numbers[i], true
}

// Number returns the named number of the result, and whether it has it.
func (r Result) Number(name string) (Number, bool) {
	for _, n := range r.Numbers {
		if n.Name == name {
			return n, true
		}
	}
	return Number{}, false
}

// Limiter is a Probe that has a key of its own for the limit of a number.
type Limiter interface {
	// OwnLimit returns the limit of the named number and the key that sets it; 0 when it is turned off, "" when there is no such key.
	OwnLimit(number string) (limit float64, key string)
}

// number returns the value noted so far under name; 0 when there is none.
func (r *Recorder) number(name string) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, _ := r.result.Number(name)
	return n.Value
}

// Number notes a measured quantity; the name must be one that the kind declares. A name that is already there gets the new
// value. Infinities, and what exceeds MaxNumbers, are left out.
func (r *Recorder) Number(name string, value float64) { r.NumberOf(name, value, "") }

// NumberOf is Number for a quantity of which it is not plain what it is of.
func (r *Recorder) NumberOf(name string, value float64, of string) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	n := Number{Name: name, Value: value, Of: Printable(r.hide(of), MaxName)}
	if i := slices.IndexFunc(r.result.Numbers, func(n Number) bool { return n.Name == name }); i >= 0 {
		r.result.Numbers[i] = n
		return
	}
	if len(r.result.Numbers) < MaxNumbers {
		r.result.Numbers = append(r.result.Numbers, n)
	}
}
