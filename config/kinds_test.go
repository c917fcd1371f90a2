package config

import (
	"context"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/probes"
)

// The kinds of these tests: "test" has a key of every type, "hint" only ever explains, "pool" has numbers, "named" has a key called name,
// "fragile" panics when it is asked to validate itself, and cases at "fielded" have fields.
func init() {
	probes.Register(probes.Kind{Name: "test", New: func() probes.Probe { return &testProbe{} }, Phases: []string{"dns", "connect"}})
	probes.Register(probes.Kind{Name: "hint", New: func() probes.Probe { return &hintProbe{} }, Evidence: true})
	probes.Register(probes.Kind{Name: "pool", New: func() probes.Probe { return &poolProbe{} }, Phases: []string{"dns"}, Numbers: []probes.NumberKind{
		{Name: "sessions", Unit: "%", Full: 100}, {Name: "free", Unit: "GB", Low: true}, {Name: "disks"},
	}})
	probes.Register(probes.Kind{Name: "named", New: func() probes.Probe { return &namedProbe{} }})
	probes.Register(probes.Kind{Name: "fragile", New: func() probes.Probe { return &fragileProbe{} }})
	desk.Register(desk.Kind{Name: "test", New: func() desk.Builder { return &testDesk{} }})
	desk.Register(desk.Kind{Name: "fielded", New: func() desk.Builder { return &testDesk{} }, Fields: true})
	notify.Register(notify.Kind{Name: "test", New: func() notify.Builder { return &testNotifier{} }})
}

// poolProbe has numbers, and a key of its own for the limit of one.
type poolProbe struct {
	silent
	FreeAbove int `yaml:"free_above" default:"5"`
}

func (*poolProbe) Validate() field.Errors { return nil }

func (p *poolProbe) OwnLimit(number string) (float64, string) {
	if number != "free" {
		return 0, ""
	}
	return float64(p.FreeAbove), "free_above"
}

type silent struct{}

func (silent) Probe(context.Context) probes.Result { return probes.Result{} }

type transport struct {
	CAFile string `yaml:"ca_file"`
	Proxy  string `yaml:"proxy"`
}

type testProbe struct {
	silent
	transport

	Address  string                  `yaml:"address" required:"true" doc:"Host and port."`
	Password secret.Value            `yaml:"password"`
	Headers  map[string]secret.Value `yaml:"headers"`
	Tags     map[string]string       `yaml:"tags"`
	Text     string                  `yaml:"text" inline:"<{"`
	Status   []int                   `yaml:"status"`
	Codes    []uint8                 `yaml:"codes" default:"1,2"`
	Words    Supported               `yaml:"words" default:"all"`
	Depth    string                  `yaml:"depth" default:"tls" enum:"tcp,x224,tls"`
	Count    int                     `yaml:"count" default:"3"`
	Size     int64                   `yaml:"size"`
	Ratio    float64                 `yaml:"ratio" default:"0.5"`
	Fast     bool                    `yaml:"fast"`
	Maybe    *bool                   `yaml:"maybe"`
	Within   time.Duration           `yaml:"within" default:"21d"`
	Level    incident.Priority       `yaml:"level" default:"p3"`
	Expect   testExpect              `yaml:"expect"`
	Extra    *testExpect             `yaml:"extra"`
	Steps    []testStep              `yaml:"steps"`
	ByName   map[string]testStep     `yaml:"by_name"`
}

func (p *testProbe) Validate() field.Errors {
	var errs field.Errors
	if p.Address == "bad" {
		errs.AddHint("address", "write a good one", "is bad")
	}
	if p.Address == "tell" {
		errs.Add("tags.token", "holds %s and %s", p.Password.Reveal(), p.Proxy)
	}
	if p.Count > 10 {
		errs.Add("", "asks for too much")
	}
	if p.Password.Reveal() == "tiny-one" {
		errs.Add("password", "is guessed easily")
	}
	for i, s := range p.Status {
		if s > 999 {
			errs.Add("status["+string(rune('0'+i))+"]", "is no status")
		}
	}
	return errs
}

type testExpect struct {
	Body  string `yaml:"body"`
	Count int    `yaml:"count" default:"7"`
}

func (e *testExpect) Validate() field.Errors {
	var errs field.Errors
	if e.Body == "worse" {
		errs.Add("body", "is worse")
	}
	return errs
}

type testStep struct {
	Run   string       `yaml:"run" required:"true" doc:"What to run."`
	Token secret.Value `yaml:"token" required:"true"`
}

type hintProbe struct {
	silent
	Host string `yaml:"host"`
}

func (*hintProbe) Validate() field.Errors { return nil }

type namedProbe struct {
	silent
	Name string `yaml:"name" required:"true" doc:"Name that is asked for."`
}

func (*namedProbe) Validate() field.Errors { return nil }

type fragileProbe struct {
	silent
	URL *string `yaml:"url"`
}

func (p *fragileProbe) Validate() field.Errors { return field.Errors{{Path: *p.URL}} }

type testDesk struct {
	URL   secret.Value `yaml:"url" required:"true"`
	Group string       `yaml:"group"`
}

func (*testDesk) Validate() field.Errors            { return nil }
func (*testDesk) Build(desk.Env) (desk.Desk, error) { return nil, nil }

type testNotifier struct {
	Room string `yaml:"room"`
}

func (*testNotifier) Validate() field.Errors                    { return nil }
func (*testNotifier) Build(notify.Env) (notify.Notifier, error) { return nil, nil }
