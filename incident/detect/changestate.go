package detect

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// changeVersion is the first byte of an encoded Changes. It changes with the format, or with the meaning of what it holds.
const changeVersion = 1

// AppendBinary appends the state: less than 1,000 bytes, and exact.
func (c Changes) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, changeVersion, byte(c.n))
	b = binary.AppendVarint(b, c.last.Onset)
	for _, f := range []float64{c.typical, c.last.Before, c.last.After} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
	}
	for _, x := range c.xs[:c.n] {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	for _, p := range c.recent[changePast-min(c.n, changePast):] {
		b = binary.AppendVarint(b, p.t)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p.median))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p.spread))
	}
	return b, nil
}

// MarshalBinary returns the state.
func (c Changes) MarshalBinary() ([]byte, error) { return c.AppendBinary(nil) }

// UnmarshalBinary restores a state. It leaves c alone when it fails.
func (c *Changes) UnmarshalBinary(b []byte) error {
	if len(b) < 2 || b[0] != changeVersion {
		return errors.New("state of the change annotator is of another version: forget it")
	}
	r := changeReader{b: b[2:]}
	d := Changes{n: int(b[1])}
	if d.n > len(d.xs) {
		return fmt.Errorf("state of the change annotator claims %d points of at most %d: forget it", d.n, len(d.xs))
	}
	d.last.Onset = r.varint()
	d.typical, d.last.Before, d.last.After = r.float(), r.float(), r.float()
	for i := range d.xs[:d.n] {
		d.xs[i] = r.float()
	}
	for i := changePast - min(d.n, changePast); i < changePast; i++ {
		d.recent[i] = changePoint{t: r.varint(), median: r.float(), spread: r.float()}
	}
	if r.bad || len(r.b) > 0 {
		return errors.New("state of the change annotator is cut or damaged: forget it")
	}
	for _, x := range d.xs[max(0, d.n-changeRef):d.n] {
		d.before.add(x)
	}
	*c = d
	return nil
}

// MarshalText returns the state for JSON, in base64.
func (c Changes) MarshalText() ([]byte, error) {
	b, err := c.AppendBinary(nil)
	return base64.RawStdEncoding.AppendEncode(nil, b), err
}

// UnmarshalText restores a state that MarshalText returned.
func (c *Changes) UnmarshalText(text []byte) error {
	b, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil {
		return fmt.Errorf("state of the change annotator is damaged: forget it: %w", err)
	}
	return c.UnmarshalBinary(b)
}

// changeReader reads an encoded state. Past the end it reads zeros, and remembers.
type changeReader struct {
	b   []byte
	bad bool
}

func (r *changeReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// float reads a finite number.
func (r *changeReader) float() float64 {
	if len(r.b) < 8 {
		r.b, r.bad = nil, true
		return 0
	}
	f := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	r.bad = r.bad || math.IsNaN(f) || math.IsInf(f, 0)
	return f
}
