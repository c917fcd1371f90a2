package history

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	maxRows     = 2_000_000
	maxText     = 1 << 30 // bytes of a file, unpacked
	maxBadLines = 10      // that are told one by one
)

// CSV is a file of comma-separated values, gzipped or not. Its first line names the columns, in any order:
//
//	time        RFC 3339, or Unix seconds or milliseconds; also called t or timestamp: the start of the run
//	latency_ms  or rtt_ms, or seconds: how long it took; empty: the run failed
//	probe       the probe's id; optional
//	outcome     up, degraded, down or unknown, or 1 and 0; optional
//	reason      why it failed, one of probes.Reasons; optional
//	NAME_ms     how long a phase took: dns_ms, connect_ms, tls_ms, first_byte_ms, transfer_ms, x224_ms; optional
//
// Other columns are left alone. Lines may stand in any order. A file with a bad line is refused whole.
type CSV struct {
	File  string
	Probe string // id of every result where the file has no column of that name; with both, only its lines are read
}

// String returns the file's name.
func (c CSV) String() string { return c.File }

// Each implements Source. It reads the whole file, at most 2,000,000 lines of some 40 bytes each in memory, before it calls fn.
func (c CSV) Each(ctx context.Context, from, to time.Time, fn func(probes.Result) error) error {
	f, err := c.open()
	if err != nil {
		return errors.Join(err, f.close())
	}
	t, err := f.read(ctx, c.Probe)
	if err := errors.Join(err, f.close()); err != nil {
		return err
	}
	for _, row := range t.rows {
		r := t.result(row)
		if !from.IsZero() && r.Start.Before(from) || !to.IsZero() && !r.Start.Before(to) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

// Probes returns the names in the file's column of probes, sorted; none when it has no such column.
func (c CSV) Probes(ctx context.Context) ([]string, error) {
	f, err := c.open()
	if err != nil || f.columns.probe < 0 {
		return nil, errors.Join(err, f.close())
	}
	t, err := f.read(ctx, "")
	if err := errors.Join(err, f.close()); err != nil {
		return nil, err
	}
	slices.Sort(t.names)
	return t.names, nil
}

// table is a file in memory, by the end of its results.
type table struct {
	file    string
	columns columns
	rows    []row
	names   []string // of probes
	byName  map[string]int32
	reasons []probes.Reason
	spans   []time.Duration // of phases, so many a row
	bad     int
	faults  []string
}

// row is a result in few bytes.
type row struct {
	start, took   int64
	probe, number int32
	outcome       probes.Outcome
	reason        uint8 // index into table.reasons
}

// opened is a file of which the header is read.
type opened struct {
	name    string
	file    *os.File
	limited *io.LimitedReader
	lines   *csv.Reader
	columns columns
}

// close closes the file; one that could not be opened, too.
func (o *opened) close() error {
	if o == nil || o.file == nil {
		return nil
	}
	return o.file.Close()
}

func (c CSV) open() (*opened, error) {
	o := &opened{name: c.File}
	var err error
	if o.file, err = os.Open(c.File); err != nil {
		return o, fmt.Errorf("%w: name a file of comma-separated values", err)
	}
	text, err := unpacked(o.file)
	if err != nil {
		return o, fmt.Errorf("%s: %w", c.File, err)
	}
	o.limited = &io.LimitedReader{R: text, N: maxText}
	o.lines = csv.NewReader(o.limited)
	o.lines.ReuseRecord = true
	header, err := o.lines.Read()
	if err != nil {
		return o, fmt.Errorf("%s has no header: its first line must name the columns, such as time,latency_ms (%w)", c.File, err)
	}
	if o.columns, err = newColumns(header); err != nil {
		return o, fmt.Errorf("%s:1: %w", c.File, err)
	}
	return o, nil
}

// read reads all lines, or those of one probe.
func (o *opened) read(ctx context.Context, only string) (*table, error) {
	t := &table{file: o.name, columns: o.columns, byName: map[string]int32{}, reasons: append([]probes.Reason{probes.None}, probes.Reasons...)}
	if err := t.fill(ctx, o.lines, only); err != nil {
		return nil, err
	}
	if o.limited.N <= 0 {
		return nil, fmt.Errorf("%s is longer than 1 GiB: split it, and replay one part at a time", o.name)
	}
	if t.bad > 0 {
		if more := t.bad - len(t.faults); more > 0 {
			t.faults = append(t.faults, fmt.Sprintf("and %d more lines", more))
		}
		return nil, fmt.Errorf("%d bad lines; mend them or take them out:\n  %s", t.bad, strings.Join(t.faults, "\n  "))
	}
	slices.SortStableFunc(t.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.start+a.took, b.start+b.took), cmp.Compare(a.start, b.start))
	})
	return t, nil
}

// unpacked returns the text of a file, without gzip and without a byte-order mark.
func unpacked(f io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(f, 64<<10)
	if magic, _ := b.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("it looks like gzip and is none: %w", err)
		}
		b = bufio.NewReaderSize(z, 64<<10)
	}
	if mark, _ := b.Peek(3); string(mark) == "\ufeff" {
		_, _ = b.Discard(3)
	}
	return b, nil
}

// fill reads all lines; bad ones are counted.
func (t *table) fill(ctx context.Context, r *csv.Reader, only string) error {
	for n := 0; ; n++ {
		fields, err := r.Read()
		var parse *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &parse):
			t.fault(parse.Line, parse.Err)
		case err != nil:
			return fmt.Errorf("%s breaks off: %w", t.file, err)
		default:
			if err := t.add(fields, only); err != nil {
				line, _ := r.FieldPos(0)
				t.fault(line, err)
			}
		}
		if len(t.rows) > maxRows {
			return fmt.Errorf("%s has more than %d lines: split it, and replay one part at a time", t.file, maxRows)
		}
		if n%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func (t *table) fault(line int, err error) {
	t.bad++
	if len(t.faults) < maxBadLines {
		t.faults = append(t.faults, fmt.Sprintf("%s:%d: %s", t.file, line, secret.Plain(err.Error(), 200)))
	}
}

// add takes one line in.
func (t *table) add(fields []string, only string) error {
	c := t.columns
	name := only
	if c.probe >= 0 {
		if name = strings.TrimSpace(fields[c.probe]); name == "" {
			return errors.New("probe is empty")
		}
		if only != "" && name != only {
			return nil
		}
	}
	at, err := parseTime(fields[c.time])
	if err != nil {
		return err
	}
	took, ok, err := parseSpan(fields[c.latency], c.unit)
	if err != nil {
		return fmt.Errorf("%s: %w", c.latencyName, err)
	}
	one := row{start: at.UnixNano(), took: int64(took), number: int32(len(t.rows)), outcome: probes.Down}
	if ok {
		one.outcome = probes.Up
	}
	if c.outcome >= 0 {
		if one.outcome, err = parseOutcome(fields[c.outcome], one.outcome); err != nil {
			return err
		}
		if !ok && (one.outcome == probes.Up || one.outcome == probes.Degraded) {
			return fmt.Errorf("%s is empty although the outcome is %s", c.latencyName, one.outcome)
		}
	}
	if c.reason >= 0 {
		reason := slices.Index(t.reasons, probes.Reason(strings.TrimSpace(fields[c.reason])))
		if reason < 0 {
			return fmt.Errorf("there is no reason %q: want one of %v", fields[c.reason], probes.Reasons)
		}
		one.reason = uint8(reason)
	}
	for _, p := range c.phases {
		span, ok, err := parseSpan(fields[p.at], time.Millisecond)
		if err != nil {
			return fmt.Errorf("%s_ms: %w", p.name, err)
		}
		if !ok {
			span = -1
		}
		t.spans = append(t.spans, span)
	}
	index, known := t.byName[name]
	if !known {
		index = int32(len(t.names))
		name = strings.Clone(name) // it is part of the line, which is used again
		t.names, t.byName[name] = append(t.names, name), index
	}
	one.probe = index
	t.rows = append(t.rows, one)
	return nil
}

// result returns a row as what a probe would have reported.
func (t *table) result(one row) probes.Result {
	r := probes.Result{
		Probe: t.names[one.probe], Start: time.Unix(0, one.start).UTC(), Duration: time.Duration(one.took),
		Outcome: one.outcome, Reason: t.reasons[one.reason],
	}
	if one.outcome == probes.Down {
		failed(&r, r.Reason)
	}
	for i, p := range t.columns.phases {
		if span := t.spans[int(one.number)*len(t.columns.phases)+i]; span >= 0 {
			r.Phases = append(r.Phases, probes.Phase{Name: p.name, Duration: span})
		}
	}
	return r
}

// column is one that holds a phase.
type column struct {
	name string
	at   int
}

// columns are where the columns are; -1: there is none.
type columns struct {
	time, latency, probe, outcome, reason int
	latencyName                           string
	unit                                  time.Duration // of the latency
	phases                                []column
}

func newColumns(header []string) (columns, error) {
	at := map[string]int{}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := at[name]; twice && name != "" {
			return columns{}, fmt.Errorf("there are two columns %q", secret.Plain(name, 40))
		}
		at[name] = i
	}
	find := func(names ...string) (int, string) {
		for _, name := range names {
			if i, ok := at[name]; ok {
				return i, name
			}
		}
		return -1, ""
	}
	c := columns{unit: time.Millisecond}
	c.time, _ = find("time", "timestamp", "t")
	c.latency, c.latencyName = find("latency_ms", "seconds", "rtt_ms")
	c.probe, _ = find("probe")
	c.outcome, _ = find("outcome")
	c.reason, _ = find("reason")
	given := secret.Plain(strings.Join(header, ","), 200)
	switch {
	case c.time < 0:
		return c, fmt.Errorf("there is no column time in %q: the first line must name the columns, such as time,latency_ms", given)
	case c.latency < 0:
		return c, fmt.Errorf("there is no column latency_ms, rtt_ms or seconds in %q", given)
	}
	if c.latencyName == "seconds" {
		c.unit = time.Second
	}
	for _, name := range []string{probes.PhaseDNS, probes.PhaseConnect, probes.PhaseTLS, probes.PhaseX224, probes.PhaseFirstByte, probes.PhaseTransfer, probes.PhaseRTT} {
		if i, ok := at[name+"_ms"]; ok && i != c.latency {
			c.phases = append(c.phases, column{name, i})
		}
	}
	return c, nil
}

// parseTime reads RFC 3339, Unix seconds, or Unix milliseconds.
func parseTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		seconds, bad := parseNumber(text)
		if bad != nil {
			return at, fmt.Errorf("%q is not a time: want RFC 3339, or Unix seconds or milliseconds", text)
		}
		const firstMillis = 1e11 // as seconds, the year 5138
		if math.Abs(seconds) >= firstMillis {
			seconds /= 1000
		}
		whole, part := math.Modf(seconds)
		at = time.Unix(int64(whole), int64(math.Round(part*1e6))*1000)
	}
	if year := at.UTC().Year(); year < 1970 || year >= 2200 {
		return at, fmt.Errorf("%q lies in the year %d", text, year)
	}
	return at, nil
}

// parseSpan reads a latency; not ok: there is none.
func parseSpan(text string, unit time.Duration) (d time.Duration, ok bool, err error) {
	if text = strings.TrimSpace(text); text == "" || strings.EqualFold(text, "nan") {
		return 0, false, nil
	}
	n, err := parseNumber(text)
	if err != nil {
		return 0, false, fmt.Errorf("%q is not a number", text)
	}
	const longest = 24 * time.Hour
	if n < 0 || n*float64(unit) > float64(longest) {
		return 0, false, fmt.Errorf("%q is not between 0 and a day", text)
	}
	return time.Duration(math.Round(n * float64(unit))), true, nil
}

func parseOutcome(text string, otherwise probes.Outcome) (probes.Outcome, error) {
	switch text = strings.ToLower(strings.TrimSpace(text)); text {
	case "":
		return otherwise, nil
	case "1":
		return probes.Up, nil
	case "0":
		return probes.Down, nil
	}
	var o probes.Outcome
	err := o.UnmarshalText([]byte(text))
	return o, err
}
