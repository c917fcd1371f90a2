// Package replay judges what was recorded by a configuration: the very engine that an agent runs, in the time of the record, with
// no desk and no notices. It says which cases would have been opened, when, at which priority and why.
package replay

import (
	"context"
	"fmt"
	"time"

	"github.com/firstcall-agent/firstcall/agent/history"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/probes"
)

// Options say what to replay. Configs and Source are required.
type Options struct {
	Configs  []*config.Config // each judges the same record by itself
	Source   history.Source
	From, To time.Time
	// Series is the probe whose readings are kept, for a plot; "": none are kept.
	Series string
	// Recorded says whether the record can hold results of a probe at all; nil: of every probe. Witnesses that it cannot hold are
	// left out: sight is taken for granted then.
	Recorded func(probe string) bool
	// Progress is told now and then how many results were judged, and when the newest of them was taken; nil: nobody is.
	Progress func(results int, newest time.Time)
}

// Run replays and returns a report for each configuration, in their order. It holds no more of the record than the readings
// that are asked for. An empty record is an error.
func Run(ctx context.Context, o Options) ([]*Report, error) {
	runners := make([]*runner, len(o.Configs))
	for i, c := range o.Configs {
		runners[i] = newRunner(c, o)
	}
	n := 0
	err := o.Source.Each(ctx, o.From, o.To, func(r probes.Result) error {
		if n++; n%1024 == 0 {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if o.Progress != nil {
				o.Progress(n, r.Start)
			}
		}
		for _, one := range runners {
			if err := one.observe(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("%s has no results in that time: look at the time asked for, and at the names of the probes", o.Source)
	}
	reports := make([]*Report, len(runners))
	for i, one := range runners {
		reports[i] = one.finish()
	}
	return reports, nil
}
