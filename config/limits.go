package config

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// Quantity is a limit as it is written: a duration for a phase, a number for a number of the kind, 90% for one in percent.
type Quantity string

// UnmarshalText takes anything: what a limit must be follows from its key, see decoder.limits.
func (q *Quantity) UnmarshalText(text []byte) error {
	*q = Quantity(text)
	return nil
}

// limits sorts the limits of a probe into those of phases and those of numbers, and adds what a key of the kind's own sets.
func (d *decoder) limits(p *Probe, path string) {
	kind, ok := probes.Lookup(p.Kind)
	if !ok {
		return
	}
	names := append(slices.Clone(kind.Phases), probes.PhaseTotal)
	for _, n := range kind.Numbers {
		names = append(names, n.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(p.Written)) {
		at := join(path+".limits", key)
		number, isNumber := kind.Number(key)
		switch {
		case isNumber:
			d.limitOfNumber(p, number, at)
		case slices.Contains(names, key):
			d.limitOfPhase(p, key, at)
		case len(kind.Numbers) == 0:
			d.check(false, at, d.suggest(key, names), "%s has no phase %s", p.Kind, quote(key))
		default:
			d.check(false, at, d.suggest(key, names), "%s has no phase and no number %s", p.Kind, quote(key))
		}
	}
	for _, n := range kind.Numbers {
		d.ownLimit(p, n.Name, path)
	}
}

func (d *decoder) limitOfPhase(p *Probe, phase, at string) {
	written := string(p.Written[phase])
	limit, err := parseDuration(written)
	switch {
	case !d.clean(at):
		return
	case err != nil:
		hint := durationHint
		if decimal.MatchString(written) {
			hint = "write the unit: " + d.redact(strings.TrimLeft(written, "+-")) + "s"
		}
		d.fault(at, hint, "%s %s", d.redact(quote(written)), err)
		return
	}
	d.check(limit > 0, at, "", "must be longer than 0")
	d.check(limit <= p.Timeout, at, "", "%s is longer than the timeout of %s: it could never be passed", short(limit), short(p.Timeout))
	if d.clean(at) {
		if p.Limits == nil {
			p.Limits = map[string]time.Duration{}
		}
		p.Limits[phase] = limit
	}
}

// limitOfNumber reads a number in the unit of the kind. A share may be written with its sign.
func (d *decoder) limitOfNumber(p *Probe, n probes.NumberKind, at string) {
	written := string(p.Written[n.Name])
	text, share := strings.CutSuffix(written, "%")
	limit, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	example := "21"
	if n.Unit == "%" {
		example = "90%"
	} else if n.Unit != "" {
		example += " (" + n.Unit + ")"
	}
	switch {
	case !d.clean(at):
		return
	case err != nil || math.IsNaN(limit) || math.IsInf(limit, 0):
		d.fault(at, "write for example "+example, "%s is not a number", d.redact(quote(written)))
		return
	case share && n.Unit != "%":
		d.fault(at, "write for example "+example, "%s is not counted in percent", n.Name)
		return
	}
	d.check(limit > 0, at, "", "must be more than 0")
	full, known := n.Exhausted()
	d.check(n.Low || !known || limit <= full, at, "", "%s is more than %s, where it is full: it could never be passed", n.Format(limit), n.Format(full))
	if d.clean(at) {
		p.threshold(n.Name, limit)
	}
}

// ownLimit takes over the limit that a key of the kind's own sets, unless limits has it.
func (d *decoder) ownLimit(p *Probe, number, path string) {
	own, ok := p.Probe.(probes.Limiter)
	if !ok {
		return
	}
	limit, key := own.OwnLimit(number)
	if _, given := p.Written[number]; given {
		d.check(key == "" || !d.given(join(path, key)), join(path, key), "keep one of them", "%s and %s are both given: they mean the same", key, "limits."+number)
		return
	}
	if limit > 0 && d.clean(join(path, key)) {
		p.threshold(number, limit)
	}
}

func (p *Probe) threshold(number string, limit float64) {
	if p.Thresholds == nil {
		p.Thresholds = map[string]float64{}
	}
	p.Thresholds[number] = limit
}
