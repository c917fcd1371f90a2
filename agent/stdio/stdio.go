// Package stdio judges series of latencies that come as JSON lines, with the agent's own detector: for scoring it, and for use from
// another program.
package stdio

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/probes"
)

// settings are the defaults of the configuration, but for the quick re-probes, which a recorded series does not have: three
// failures confirm.
var settings = detect.Settings{
	Rechecks: 2, RecheckWithin: 4 * time.Second, Recover: 3, LimitWindow: 5 * time.Minute, LimitPoints: 5, SlowRatio: 1.18, SlowBy: 2 * time.Millisecond,
}

// maxLine bounds a line, in bytes.
const maxLine = 64 << 10

// point is a line of the input.
type point struct {
	Series    string   `json:"series"`
	T         int64    `json:"t"`          // Unix seconds
	LatencyMS *float64 `json:"latency_ms"` // nil: the probe failed
}

// Serve answers every line of in on out, before it reads the next, until in ends. With a directory it keeps what is learnt there.
// A line that is no point is an error that names it.
func Serve(ctx context.Context, in io.Reader, out io.Writer, directory string) error {
	k, err := open(directory)
	if err != nil {
		return err
	}
	lines := bufio.NewReaderSize(in, maxLine)
	w := bufio.NewWriter(out)
	all := map[string]*detect.Detector{}
	var answer []byte
	for n := 1; ctx.Err() == nil; n++ {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return errors.Join(fmt.Errorf("line %d of the input cannot be read: %w", n, err), k.close(all))
		}
		p, err := parse(line)
		if err != nil {
			return errors.Join(fmt.Errorf("line %d of the input is %w", n, err), k.close(all))
		}
		d := all[p.Series]
		if d == nil {
			if d, err = k.take(p.Series); err != nil {
				return errors.Join(err, k.close(all))
			}
			all[p.Series] = d
		}
		observe(d, p)
		if err := k.note(p, d); err != nil {
			return errors.Join(err, k.close(all))
		}
		answer = reply(answer[:0], p.T, d)
		if _, err := w.Write(answer); err != nil {
			return errors.Join(err, k.close(all))
		}
		if lines.Buffered() == 0 {
			if err := w.Flush(); err != nil {
				return errors.Join(err, k.close(all))
			}
		}
	}
	return errors.Join(w.Flush(), k.close(all), context.Cause(ctx))
}

var errNoPoint = errors.New(`no point: want {"series":"id","t":unix seconds,"latency_ms":12.3}`)

func parse(line []byte) (p point, err error) {
	if err := json.Unmarshal(line, &p); err != nil || p.Series == "" || p.T <= 0 {
		return p, errNoPoint
	}
	return p, nil
}

func observe(d *detect.Detector, p point) {
	r := probes.Result{Start: time.Unix(p.T, 0).UTC(), Outcome: probes.Down, Reason: probes.Timeout, Detail: "no answer"}
	if p.LatencyMS != nil {
		r.Outcome, r.Reason, r.Detail = probes.Up, probes.None, ""
		r.Duration = time.Duration(*p.LatencyMS * float64(time.Millisecond))
	}
	d.Observe(r)
}

// reply appends the answer to a point.
func reply(b []byte, t int64, d *detect.Detector) []byte {
	r := d.Reading()
	b = append(strconv.AppendInt(append(b, `{"t":`...), t, 10), `,"state":"`...)
	b = append(append(b, r.State...), `","score":`...)
	b = strconv.AppendFloat(b, score(d, r), 'g', 4, 64)
	if !r.Change.IsZero() {
		b = strconv.AppendInt(append(b, `,"cp_t":`...), r.Change.Unix(), 10)
	}
	return append(b, '}', '\n')
}

// score says how bad it is, from 0 to 1: an outage is 1, a suspected one and a latency that is twice what is asked for 0.5.
func score(d *detect.Detector, r detect.Reading) float64 {
	switch {
	case r.State == detect.StateDown:
		return 1
	case d.Suspect():
		return .5
	}
	if f := d.Finding(incident.Regression); f != nil && f.Latency != nil && f.Latency.Limit > 1 {
		return min(.9, max(0, .5*(f.Latency.Ratio-1)/(f.Latency.Limit-1)))
	}
	return 0
}
