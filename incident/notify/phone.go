package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/notify/speech"
)

func init() {
	Register(Kind{
		Name: "phone",
		Doc:  "Telephone calls that say what is wrong, by Twilio or over a SIP trunk.",
		New:  func() Builder { return &Phone{} },
	})
}

// Bounds on a round of calls.
const (
	maxNumbers   = 8 // of one message; further ones are not called
	maxRing      = 2 * time.Minute
	maxRecording = 4 << 20                                    // bytes of a file
	longestTalk  = speech.Longest * time.Second / speech.Rate // what a call may take once it is answered
	perNumber    = 5 * time.Second                            // to take a call back, and to hang up
)

// Phone is the configuration of telephone calls. The numbers are those of the message's recipients.
type Phone struct {
	Via       Via           `yaml:"via" required:"true" doc:"How calls are made."`
	Language  string        `yaml:"language" default:"en" enum:"da,en" doc:"Language of the voice."`
	Recording string        `yaml:"recording_file" doc:"Sound file that is played instead of speech, with via.kind sip: WAV, 8000 Hz, mono, mu-law or 16-bit PCM; or raw mu-law."`
	Repeat    int           `yaml:"repeat" default:"2" doc:"How often the message is said in a call."`
	Ring      time.Duration `yaml:"ring" default:"40s" doc:"How long a number rings before the next one is called."`
	Attempts  int           `yaml:"attempts" default:"3" doc:"Rounds of calls until somebody answers, before a message is given up."`
	Pause     time.Duration `yaml:"pause" default:"2m" doc:"Pause between two rounds."`
	Timeout   time.Duration `yaml:"timeout" default:"10s" doc:"Longest wait for a sign of the trunk, or an answer of Twilio."`
}

// number is a telephone number without what people write between its digits (ITU-T E.164).
var (
	number    = regexp.MustCompile(`^\+?[0-9]{3,15}$`)
	unwritten = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", "\u00a0", "")
)

// PhoneNumber returns a telephone number as it is dialled: a + or not, and 3 to 15 digits. Spaces, dashes and parentheses are
// left out.
func PhoneNumber(text string) (string, error) {
	dialled := unwritten.Replace(text)
	if !number.MatchString(dialled) {
		return "", errors.New("is no telephone number")
	}
	return dialled, nil
}

// Validate reports every fault of the configuration but those of Via, which reports its own.
func (p *Phone) Validate() field.Errors {
	var faults field.Errors
	if p.Recording != "" && p.Via.Kind == viaTwilio {
		faults.Add("recording_file", "can be played with via.kind sip only: Twilio speaks by itself")
	}
	if p.Repeat < 0 || p.Repeat > 5 {
		faults.Add("repeat", "must be between 1 and 5")
	}
	if p.Ring < 0 || p.Ring > maxRing || p.Ring > 0 && p.Ring < 5*time.Second {
		faults.Add("ring", "must be between 5s and %s", maxRing)
	}
	if p.Attempts < 0 || p.Attempts > 20 {
		faults.Add("attempts", "must be between 1 and 20")
	}
	if p.Pause < 0 || p.Pause > time.Hour || p.Pause > 0 && p.Pause < 10*time.Second {
		faults.Add("pause", "must be between 10s and 1h")
	}
	if p.Timeout < 0 || p.Timeout > time.Minute {
		faults.Add("timeout", "must be at most 1m")
	}
	return faults
}

// complete returns the configuration with the defaults of what is zero.
func (p Phone) complete() Phone {
	if p.Repeat == 0 {
		p.Repeat = 2
	}
	if p.Ring == 0 {
		p.Ring = 40 * time.Second
	}
	if p.Attempts == 0 {
		p.Attempts = 3
	}
	if p.Pause == 0 {
		p.Pause = 2 * time.Minute
	}
	if p.Timeout == 0 {
		p.Timeout = 10 * time.Second
	}
	return p
}

// Build returns the notifier.
func (p *Phone) Build(env Env) (Notifier, error) {
	config := p.complete()
	speaker := speech.Speaker{Language: p.Language}
	if p.Recording != "" {
		var err error
		if speaker.Recording, err = recording(p.Recording); err != nil {
			return nil, fmt.Errorf("notifier %q: recording_file %s %w", env.Name, p.Recording, err)
		}
	}
	caller, err := p.Via.build(config, speaker)
	if err != nil {
		return nil, fmt.Errorf("notifier %q: via: %w", env.Name, err)
	}
	return &phone{config: config, name: env.Name, caller: caller}, nil
}

func recording(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.New("cannot be read: " + plainPath(err))
	}
	if !info.Mode().IsRegular() || info.Size() > maxRecording {
		return nil, fmt.Errorf("is no file of at most %d MB", maxRecording>>20)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.New("cannot be read: " + plainPath(err))
	}
	return speech.Recording(file)
}

// plainPath returns an error of the file system without its path.
func plainPath(err error) string {
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		return failed.Err.Error()
	}
	return err.Error()
}

// phone implements Paced: it calls one number after the other and stops at the first that answers.
//
// Answered is not acknowledged: a mailbox answers too. So an answered call is a message that was sent, and no more; whether
// somebody takes the case is seen at the desk, and the warnings before a reaction time is over call again.
type phone struct {
	config Phone
	name   string
	caller caller
}

// caller is a way to call one number.
type caller interface {
	// prepare makes of a message what is said; it never fails.
	prepare(ctx context.Context, words string) script
	// call makes one attempt at one number and returns when nothing of it is left.
	call(ctx context.Context, number string, s script) called
	// secrets are what no error may hold.
	secrets() []secret.Value
}

// script is what is said in each call of a message.
type script struct {
	text  string
	audio []byte // of a caller that speaks itself
	note  string // on the voice, for the proof; "": nothing to be said
}

// called is what became of a call.
type called struct {
	answered  bool
	text      string // a clause, such as "busy" or "answered after 6 s, heard 18 of 18 s"
	last      bool   // no other number will fare better: the way itself does not work
	permanent bool   // nor will it later, until somebody changes something
	advice    string // what to do about it; "": nothing
	err       error  // the context's, or nil
}

// Pace returns how long a round may take: every number rings in vain but the last, which hears it all.
func (p *phone) Pace() Pace {
	c := p.config
	return Pace{
		Timeout:  maxNumbers*(c.Ring+c.Timeout+perNumber) + longestTalk,
		Attempts: c.Attempts, Pause: c.Pause, UntilTold: true,
	}
}

// Send calls the message's numbers one after the other until one answers. The proof says what happened at each. Nobody
// answering is an error that says it, too.
func (p *phone) Send(ctx context.Context, m Message) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", p.fail(false, []error{err}, "nobody was called: %v: it will be tried again", err)
	}
	numbers, err := p.numbers(m)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, p.Pace().Timeout)
	defer cancel()
	s := p.caller.prepare(ctx, speech.Words(p.config.Language, m.Subject, m.Text, m.Priority))
	var story []string
	permanent := true
	advice := "see that somebody on call can be reached, and check the numbers"
	for _, n := range numbers {
		c := p.caller.call(ctx, n, s)
		story = append(story, n+": "+c.text)
		if c.answered {
			if s.note != "" {
				story = append(story, s.note)
			}
			return secret.Plain(secret.Hide(strings.Join(story, "; "), p.caller.secrets()), maxError), nil
		}
		permanent = permanent && c.permanent
		if c.advice != "" {
			advice = c.advice
		}
		if err := ctx.Err(); err != nil {
			return "", p.fail(false, []error{err}, "nobody answered: %s: %v: it may be tried again", strings.Join(story, "; "), err)
		}
		if c.last {
			return "", p.fail(c.permanent, []error{c.err}, "nobody was reached: %s: %s", strings.Join(story, "; "), advice)
		}
	}
	return "", p.fail(permanent, nil, "nobody answered: %s: %s", strings.Join(story, "; "), advice)
}

// numbers returns whom to call, each once.
func (p *phone) numbers(m Message) ([]string, error) {
	var all []string
	seen := map[string]bool{}
	for _, c := range m.To {
		n, err := PhoneNumber(c.Phone)
		if err != nil {
			return nil, p.fail(true, nil, "the telephone number %q of %q cannot be used: correct it in to or in the contacts", secret.Plain(c.Phone, 40), secret.Plain(c.Name, 80))
		}
		if !seen[n] && len(all) < maxNumbers {
			seen[n] = true
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return nil, p.fail(true, nil, "it has nobody to call: set to to telephone numbers, or give the contacts a phone")
	}
	return all, nil
}

func (p *phone) fail(permanent bool, is []error, format string, args ...any) error {
	return fail(p.name, permanent, is, p.caller.secrets(), format, args...)
}
