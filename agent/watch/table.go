package watch

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// Table prints a scene: the sentence, the components with their instances, and the incidents. It reports whether all is well: the
// agent judges, every component is up, and no incident of the service desk's is open.
func (s *Scene) Table(w io.Writer) (well bool, err error) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "%s: %s\n\nCOMPONENT\tINSTANCE\tOUTCOME\tLATENCY\tDETAIL\n", clean(s.Tenant), clean(s.Headline.Sentence))
	well = s.Health.Alive && !s.Blind && len(s.Components) > 0
	for _, c := range s.Components {
		well = well && c.Outcome == probes.Up
		for n, i := range c.Instances {
			latency := "-"
			if p := timed(c.Instances[n : n+1]); p != nil && p.Last != nil && p.Last.Outcome != probes.Down && p.Last.Outcome != probes.Unknown {
				latency = millis(p.Last.Duration)
			}
			why := clean(explainInstance(i))
			if why == "" {
				why = "-"
			}
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", clean(c.Name), clean(i.Name), word(i.Outcome), latency, why)
		}
	}
	if err := t.Flush(); err != nil {
		return false, err
	}
	for n, i := range s.Incidents {
		well = well && i.Priority == incident.NoPriority
		if n == 0 {
			_, _ = fmt.Fprintf(t, "\nINCIDENT\tSINCE\tTITLE\tCASE\n")
		}
		line := caseLine(s, i.ID)
		if line == "" {
			line = "-"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", rank(i), i.Started.In(s.Read.Location()).Format("2006-01-02 15:04:05"), clean(i.Title), clean(line))
	}
	return well, t.Flush()
}
