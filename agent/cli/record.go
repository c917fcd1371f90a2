package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/history"
	"github.com/firstcall-agent/firstcall/agent/replay"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// recordFlags say where results of the past are.
type recordFlags struct {
	store, csv                       string
	url, query, success, label, step string
	tokenFile, user, passFile, ca    string
}

func (f *recordFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.store, "store.url", "", "`ADDRESS` of an agent's store, instead of store.url: sqlite:PATH, or postgres://USER@HOST/DATABASE?tenant=ID")
	flags.StringVar(&f.csv, "csv", "", "`FILE` of comma-separated values: time,latency_ms (empty: failed); may be gzipped")
	flags.StringVar(&f.url, "prometheus.url", "", "`ADDRESS` of a Prometheus: http://host:9090")
	flags.StringVar(&f.query, "prometheus.query", "", "`QUERY` of the latency in seconds: one series")
	flags.StringVar(&f.success, "prometheus.success-query", "", "`QUERY` of 1 and 0, where 0 is a failed run, such as probe_success")
	flags.StringVar(&f.label, "prometheus.label", "", "`LABEL` whose value is the id of the probe, where there are several series")
	flags.StringVar(&f.step, "prometheus.step", "1m", "`DURATION` between two points: as often as it was measured")
	flags.StringVar(&f.tokenFile, "prometheus.bearer-token-file", "", "`FILE` with a bearer token")
	flags.StringVar(&f.user, "prometheus.user", "", "`NAME` for basic authentication")
	flags.StringVar(&f.passFile, "prometheus.password-file", "", "`FILE` with its password")
	flags.StringVar(&f.ca, "prometheus.ca-file", "", "PEM `FILE` with the authorities to trust, instead of the system's")
	_ = cmd.MarkFlagFilename("csv")
}

// outside reports whether the record is not an agent's store.
func (f *recordFlags) outside() bool { return f.csv != "" || f.prometheus() }

func (f *recordFlags) prometheus() bool { return f.url != "" || f.query != "" }

// own makes the record an agent's store. Witnesses that it has no results of are left out.
func (f *recordFlags) own(ctx context.Context, o *replay.Options) error {
	address := f.store
	if address == "" {
		address = o.Configs[0].StoreURL()
	}
	s, err := store.OpenReadOnly(ctx, address)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it was only read
	var names []string
	for _, c := range o.Configs {
		for _, id := range ids(c.AllProbes()) {
			if slices.Contains(names, id) {
				continue
			}
			found, err := s.Results(ctx, id, o.From, o.To, 1)
			if err != nil {
				return err
			}
			if len(found) > 0 {
				names = append(names, id)
			}
		}
	}
	o.Source = history.Store{URL: address, Probes: names}
	o.Recorded = func(probe string) bool { return slices.Contains(names, probe) }
	if len(names) == 0 {
		return usage("%s has no results of the configured probes in that time: is it the store of this configuration?", address)
	}
	return nil
}

// names returns the probes that a file names; nil: it names none.
func (f *recordFlags) names(ctx context.Context) ([]string, error) {
	set := 0
	for _, given := range []bool{f.csv != "", f.prometheus(), f.store != ""} {
		if given {
			set++
		}
	}
	switch {
	case set > 1:
		return nil, usage("--csv, --prometheus.url and --store.url are different records: give one of them")
	case f.prometheus() && (f.url == "" || f.query == ""):
		return nil, usage("--prometheus.url and --prometheus.query go together: where to ask, and for what")
	case f.csv == "":
		return nil, nil
	}
	return history.CSV{File: f.csv}.Probes(ctx)
}

// read returns the record. Where it is of one probe, its results are of the probe with that id.
func (f *recordFlags) read(c *config.Config, name, id string, names []string) (history.Source, error) {
	if f.csv != "" {
		switch {
		case names == nil:
			return history.CSV{File: f.csv, Probe: id}, nil
		case c.File == "": // made up: the file's own name for it is what was given, if any
			return history.As(history.CSV{File: f.csv, Probe: name}, id), nil
		}
		return history.CSV{File: f.csv, Probe: id}, nil
	}
	step, err := config.ParseDuration(f.step)
	if err != nil || step < time.Second {
		return nil, usage("--prometheus.step: %q is not a duration of a second or more: want 30s, 1m or the like", printable(f.step))
	}
	p := history.Prometheus{URL: f.url, Query: f.query, Success: f.success, Label: f.label, Probe: id, Step: step, User: f.user, CAFile: f.ca}
	if p.Bearer, err = secretFile("--prometheus.bearer-token-file", f.tokenFile); err != nil {
		return nil, err
	}
	if p.Pass, err = secretFile("--prometheus.password-file", f.passFile); err != nil {
		return nil, err
	}
	return p, nil
}

// secretFile reads a secret; not set where no file is named.
func secretFile(flag, name string) (secret.Value, error) {
	if name == "" {
		return secret.Value{}, nil
	}
	text, err := readBounded(name, tokenLimit)
	if err != nil {
		return secret.Value{}, usage("%s: %w", flag, err)
	}
	if strings.TrimSpace(string(text)) == "" {
		return secret.Value{}, usage("%s: %s is empty: it must hold the token or password and nothing else", flag, name)
	}
	return secret.New(strings.TrimSpace(string(text))), nil
}
