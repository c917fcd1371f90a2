package detect

import (
	"encoding/binary"
	"errors"
	"math"
)

// The forms of what is saved; a blob of another form is not read, and is learnt anew.
const (
	baselineForm = 1
	latencyForm  = 1
)

// maxChanges is the room that the state of the change annotator takes, in bytes.
const maxChanges = 1200

// maxBaseline bounds a saved baseline, in bytes.
const maxBaseline = 25_000

var errForm = errors.New("is not in the form that this firstcall reads")

// encode appends the baseline to b. It takes at most maxBaseline bytes.
func (b *baseline) encode(out []byte) []byte {
	e := encoder{append(out, baselineForm)}
	e.u8(uint8(len(b.phases)))
	for _, name := range b.phases {
		e.text(name)
	}
	e.i64(int64(b.accepted))
	e.f32(b.level)
	e.i64(int64(b.hours))
	e.u8(uint8(len(b.days)))
	for i := range b.days {
		r := &b.days[i]
		e.i64(int64(r.date))
		e.flag(r.rest)
		e.u8(uint8(len(r.phases)))
		for k := range r.hours {
			h := &r.hours[k]
			e.u8(h.count)
			if h.count == 0 {
				continue
			}
			e.i16(h.level)
			e.u8(h.spread)
			e.u8(h.marks)
			e.u8(h.high)
			e.b = append(e.b, h.peaks[:]...)
			for p := range r.phases {
				e.i16(r.phases[p][k])
			}
		}
	}
	return e.b
}

// decode reads what encode wrote.
func (b *baseline) decode(data []byte) error {
	d := decoder{b: data}
	if d.u8() != baselineForm {
		return errForm
	}
	var n baseline
	for range min(d.u8(), maxPhases) {
		n.phases = append(n.phases, d.text())
	}
	n.accepted, n.level, n.hours = int32(d.i64()), d.f32(), int32(d.i64())
	for range min(d.u8(), keepDays) {
		r := day{date: int32(d.i64()), rest: d.flag(), phases: make([][24]int16, min(int(d.u8()), len(n.phases)))}
		for k := range r.hours {
			h := &r.hours[k]
			if h.count = d.u8(); h.count == 0 {
				continue
			}
			h.level, h.spread, h.marks, h.high = d.i16(), d.u8(), d.u8(), d.u8()
			copy(h.peaks[:], d.take(tests))
			for p := range r.phases {
				r.phases[p][k] = d.i16()
			}
		}
		if l := len(n.days); l > 0 && n.days[l-1].date >= r.date {
			d.bad = true
		}
		r.setBase()
		n.days = append(n.days, r)
	}
	if d.bad || len(d.b) > 0 {
		return errForm
	}
	*b = n
	return nil
}

// appendState appends what a latency remembers beside its baseline; nothing where that is nothing.
func (l *latency) appendState(b []byte) []byte {
	if l.hour.start == 0 && l.last == 0 {
		return b
	}
	e := encoder{append(b, latencyForm)}
	e.i64(l.hour.start)
	e.i64(l.last)
	for _, gap := range l.gaps {
		e.i64(gap)
	}
	e.i64(int64(l.slow))
	e.i64(int64(l.odd))
	e.f64(l.high)
	e.text(l.phase)
	e.u8(uint8(len(l.samples)))
	for _, x := range l.samples {
		e.i16(x)
	}
	for _, x := range l.peaks {
		e.f64(x)
	}
	bins := l.bins
	if bins > len(l.bin) { // it wraps around: only where it stands in the ring matters
		bins = len(l.bin) + bins%len(l.bin)
	}
	e.u8(uint8(bins))
	for _, x := range l.bin[:min(bins, len(l.bin))] {
		e.f32(x)
	}
	e.u8(uint8(l.win.n))
	for k := l.win.n; k > 0; k-- {
		e.i64(l.last - l.win.time(k))
		e.f32(l.win.newest(k))
	}
	a := &l.alarm
	e.flag(a.on)
	if a.on {
		e.u8(uint8(a.test))
		for _, x := range []int64{a.since, a.onset, a.again, int64(a.quiet), a.still, int64(a.active), int64(a.stretch), a.lasting, a.slow} {
			e.i64(x)
		}
	}
	e.u8(uint8(len(l.phases)))
	for i := range l.phases {
		p := &l.phases[i]
		e.u8(uint8(p.n))
		for k := p.n; k > 0; k-- {
			e.i16(p.ring[(p.next-k+midWindow)%midWindow])
		}
		e.u8(uint8(len(p.samples)))
		for _, x := range p.samples {
			e.i16(x)
		}
	}
	var room [maxChanges]byte
	changes, err := l.changes.AppendBinary(room[:0])
	if err != nil {
		changes = nil
	}
	e.i64(int64(len(changes)))
	return append(e.b, changes...)
}

// restore takes up a baseline and a state as they were saved. What cannot be read is learnt anew.
func (l *latency) restore(saved, state []byte) {
	calendar, ratio, by := l.calendar, l.slowRatio, l.slowBy
	if len(saved) > 0 && l.base.decode(saved) != nil {
		l.base = baseline{}
	}
	for range l.base.phases {
		l.phases = append(l.phases, phase{samples: make([]int16, 0, phaseSamples)})
	}
	if len(state) > 0 && !l.decode(state) {
		base := l.base
		*l = latency{calendar: calendar, slowRatio: ratio, slowBy: by}
		l.base = base
		for range l.base.phases {
			l.phases = append(l.phases, phase{samples: make([]int16, 0, phaseSamples)})
		}
	}
	if l.hour.start != 0 {
		l.learn()
	}
}

// decode reads what state wrote.
func (l *latency) decode(state []byte) bool {
	d := decoder{b: state}
	if d.u8() != latencyForm {
		return false
	}
	if start := d.i64(); start != 0 {
		l.hour = l.calendar.at(start)
	}
	l.last = d.i64()
	for i := range l.gaps {
		l.gaps[i] = max(d.i64(), 0)
	}
	l.slow, l.odd, l.high, l.phase = int(d.i64()), int(d.i64()), d.f64(), d.text()
	for range min(d.u8(), mostSamples) {
		l.samples = append(l.samples, d.i16())
	}
	for i := range l.peaks {
		l.peaks[i] = d.f64()
	}
	l.bins = int(d.u8())
	for i := range min(l.bins, len(l.bin)) {
		l.bin[i] = d.f32()
	}
	for range min(d.u8(), longWindow) {
		t := l.last - d.i64()
		l.win.push(t, d.f32())
	}
	if a := &l.alarm; d.flag() {
		a.on, a.test = true, min(int(d.u8()), slowCreep)
		a.since, a.onset, a.again, a.quiet, a.still, a.active, a.stretch = d.i64(), d.i64(), d.i64(), int(d.i64()), d.i64(), int(d.i64()), int(d.i64())
		a.lasting, a.slow = d.i64(), d.i64()
	}
	for i := range min(int(d.u8()), maxPhases) {
		p := &phase{} // one that the baseline was not yet saved with is left out
		if i < len(l.phases) {
			p = &l.phases[i]
		}
		for range min(d.u8(), midWindow) {
			p.ring[p.next] = d.i16()
			p.next, p.n = (p.next+1)%midWindow, p.n+1
		}
		for range min(d.u8(), phaseSamples) {
			p.samples = append(p.samples, d.i16())
		}
	}
	if l.changes.UnmarshalBinary(d.take(int(d.i64()))) != nil {
		l.changes = Changes{} // nothing is judged by it
	}
	return !d.bad && len(d.b) == 0
}

// encoder appends numbers, little endian.
type encoder struct{ b []byte }

func (e *encoder) u8(x uint8)    { e.b = append(e.b, x) }
func (e *encoder) i16(x int16)   { e.b = binary.LittleEndian.AppendUint16(e.b, uint16(x)) }
func (e *encoder) i64(x int64)   { e.b = binary.AppendVarint(e.b, x) }
func (e *encoder) f32(x float32) { e.b = binary.LittleEndian.AppendUint32(e.b, math.Float32bits(x)) }

func (e *encoder) f64(x float64) { e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(x)) }

func (e *encoder) text(s string) {
	e.u8(uint8(min(len(s), 255)))
	e.b = append(e.b, s[:min(len(s), 255)]...)
}

func (e *encoder) flag(x bool) {
	if x {
		e.u8(1)
	} else {
		e.u8(0)
	}
}

// decoder reads them; once bad, it returns zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	x := d.b[:n]
	d.b = d.b[n:]
	return x
}

func (d *decoder) u8() uint8 {
	if x := d.take(1); x != nil {
		return x[0]
	}
	return 0
}

func (d *decoder) i16() int16 {
	if x := d.take(2); x != nil {
		return int16(binary.LittleEndian.Uint16(x))
	}
	return 0
}

func (d *decoder) i64() int64 {
	x, n := binary.Varint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) f32() float32 {
	if x := d.take(4); x != nil {
		return math.Float32frombits(binary.LittleEndian.Uint32(x))
	}
	return 0
}

func (d *decoder) f64() float64 {
	if x := d.take(8); x != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(x))
	}
	return 0
}

func (d *decoder) text() string { return string(d.take(int(d.u8()))) }
func (d *decoder) flag() bool   { return d.u8() != 0 }
