package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// The format of raw results, in the log and in blocks. A body is the byte format, the start of its first result (varint, Unix
// nanoseconds) and records, one a result:
//
//	probe   uvarint, its id; in the log only
//	start   varint, nanoseconds since the body's
//	length  uvarint, of what follows
//	payload flags, duration, and what the flags announce
//
// A payload is copied from the log into its block as it is. An up result, of which there are by far the most, has 15 to 40
// bytes: its facts and its certificate are not kept.
const format = 1

const (
	outcomeMask = 0b11
	flagRecheck = 1 << (iota + 1)
	flagLagging
	flagText    // reason and detail
	flagPhases  // their number, and of each its name's code and its duration
	flagExtra   // facts and certificate, as JSON
	flagNumbers // the last bit
)

// Numbers follow everything else: a firstcall that does not know them reads the rest. Each has its name (as phases have, by
// numberNames), the bits of its value (8 bytes, little endian) and what it is of.

// phaseNames are stored as their index; any other name as 0 and itself. Only ever append.
var phaseNames = [...]string{
	"", probes.PhaseDNS, probes.PhaseConnect, probes.PhaseTLS, probes.PhaseX224, probes.PhaseFirstByte, probes.PhaseTransfer, probes.PhaseRTT,
	probes.PhaseGateway, probes.PhaseNTLM, probes.PhaseEntra, probes.PhaseLogon,
	probes.PhaseDOM, probes.PhasePaint, probes.PhaseVisible,
}

// numberNames are stored as their index; any other name as 0 and itself. Only ever append.
var numberNames = [...]string{"", probes.CertificateDays, probes.ClockSkew}

// extra is what only results that are not up keep.
type extra struct {
	Facts       []probes.Fact       `json:"facts,omitempty"`
	Certificate *probes.Certificate `json:"certificate,omitempty"`
}

// storable refuses what cannot be stored: a result without a probe, or with an impossible start or outcome.
func storable(r probes.Result) error {
	const first, last = 1970, 2200
	if year := r.Start.UTC().Year(); r.Probe == "" || year < first || year > last || r.Outcome > probes.Down {
		return fmt.Errorf("a result of probe %q with start %s and outcome %d cannot be stored", r.Probe, r.Start, r.Outcome)
	}
	return nil
}

// appendHead begins a body.
func appendHead(b []byte, base int64) []byte {
	return binary.AppendVarint(append(b, format), base)
}

// appendRecord adds a record; probe is 0 in a block.
func appendRecord(b []byte, base, probe, start int64, payload []byte) []byte {
	if probe != 0 {
		b = binary.AppendUvarint(b, uint64(probe))
	}
	b = binary.AppendVarint(b, start-base)
	b = binary.AppendUvarint(b, uint64(len(payload)))
	return append(b, payload...)
}

// appendPayload adds what is stored of a result but its probe and its start.
func appendPayload(b []byte, r probes.Result) ([]byte, error) {
	flags, at := byte(r.Outcome), len(b)
	b = binary.AppendVarint(append(b, 0), int64(r.Duration))
	if r.Recheck {
		flags |= flagRecheck
	}
	if r.Lagging {
		flags |= flagLagging
	}
	if r.Reason != "" || r.Detail != "" {
		flags |= flagText
		b = appendText(appendText(b, string(r.Reason)), r.Detail)
	}
	if len(r.Phases) > 0 {
		flags |= flagPhases
		b = binary.AppendUvarint(b, uint64(len(r.Phases)))
		for _, p := range r.Phases {
			b = binary.AppendVarint(appendName(b, phaseNames[:], p.Name), int64(p.Duration))
		}
	}
	if r.Outcome != probes.Up && (len(r.Facts) > 0 || r.Certificate != nil) {
		flags |= flagExtra
		text, err := json.Marshal(extra{r.Facts, r.Certificate})
		if err != nil {
			return nil, err
		}
		b = appendText(b, string(text))
	}
	if len(r.Numbers) > 0 {
		flags |= flagNumbers
		b = binary.AppendUvarint(b, uint64(len(r.Numbers)))
		for _, n := range r.Numbers {
			b = binary.LittleEndian.AppendUint64(appendName(b, numberNames[:], n.Name), math.Float64bits(n.Value))
			b = appendText(b, n.Of)
		}
	}
	b[at] = flags
	return b, nil
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendName(b []byte, names []string, name string) []byte {
	for code, known := range names {
		if code > 0 && known == name {
			return append(b, byte(code))
		}
	}
	return appendText(append(b, 0), name)
}

var errBody = errors.New("stored results cannot be read")

// reader takes a body apart. After the first fault every method returns zero values, and err is set.
type reader struct {
	rest []byte
	base int64
	err  error
}

func newReader(body []byte) *reader {
	r := &reader{rest: body}
	if len(body) == 0 || body[0] != format {
		r.err = errBody
		return r
	}
	r.rest = body[1:]
	r.base = r.varint()
	return r
}

// more reports whether there is another record.
func (r *reader) more() bool { return r.err == nil && len(r.rest) > 0 }

// record returns the next record; its payload is part of the body.
func (r *reader) record(inLog bool) (probe, start int64, payload []byte) {
	if inLog {
		probe = int64(r.uvarint() & math.MaxInt64)
	}
	start = r.base + r.varint()
	return probe, start, r.bytes()
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.err != nil || n <= 0 {
		r.err = errBody
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if r.err != nil || n <= 0 {
		r.err = errBody
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) byte() byte {
	if r.err != nil || len(r.rest) == 0 {
		r.err = errBody
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.err != nil || n > uint64(len(r.rest)) {
		r.err = errBody
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// summary returns what a roll-up needs of a payload.
func summary(payload []byte) (o probes.Outcome, lagging bool, d time.Duration, err error) {
	r := &reader{rest: payload}
	flags := r.byte()
	d = time.Duration(r.varint())
	return probes.Outcome(flags & outcomeMask), flags&flagLagging != 0, d, r.err
}

// decode returns the result of a payload.
func decode(probe string, start int64, payload []byte) (probes.Result, error) {
	r := &reader{rest: payload}
	flags := r.byte()
	result := probes.Result{
		Probe: probe, Start: time.Unix(0, start).UTC(), Duration: time.Duration(r.varint()),
		Outcome: probes.Outcome(flags & outcomeMask), Recheck: flags&flagRecheck != 0, Lagging: flags&flagLagging != 0,
	}
	if flags&flagText != 0 {
		result.Reason, result.Detail = probes.Reason(r.bytes()), string(r.bytes())
	}
	if flags&flagPhases != 0 {
		n := r.uvarint()
		for i := uint64(0); i < n && r.err == nil; i++ {
			result.Phases = append(result.Phases, r.phase())
		}
	}
	if flags&flagExtra != 0 {
		var e extra
		if text := r.bytes(); r.err == nil && json.Unmarshal(text, &e) != nil {
			r.err = errBody
		}
		result.Facts, result.Certificate = e.Facts, e.Certificate
	}
	if flags&flagNumbers != 0 {
		n := r.uvarint()
		for i := uint64(0); i < n && r.err == nil; i++ {
			result.Numbers = append(result.Numbers, r.number())
		}
	}
	return result, r.err
}

func (r *reader) name(names []string) string {
	switch code := r.byte(); {
	case code == 0:
		return string(r.bytes())
	case int(code) < len(names):
		return names[code]
	}
	r.err = errBody
	return ""
}

func (r *reader) phase() probes.Phase {
	return probes.Phase{Name: r.name(phaseNames[:]), Duration: time.Duration(r.varint())}
}

// number refuses what no probe measures and JSON cannot say: infinities and what is no number.
func (r *reader) number() probes.Number {
	name := r.name(numberNames[:])
	if r.err != nil || len(r.rest) < 8 {
		r.err = errBody
		return probes.Number{}
	}
	value := math.Float64frombits(binary.LittleEndian.Uint64(r.rest))
	r.rest = r.rest[8:]
	if math.IsNaN(value) || math.IsInf(value, 0) {
		r.err = errBody
	}
	return probes.Number{Name: name, Value: value, Of: string(r.bytes())}
}
