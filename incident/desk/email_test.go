package desk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/smtp"
)

func TestEmailConfigurationFaults(t *testing.T) {
	good := desk.Email{To: field.Words{"soc@operations.example"}, Server: smtp.Server{
		SMTP: "smtp://smtp.example:587", From: "firstcall@operations.example", User: "firstcall", Password: secret.New("pw-hidden"),
	}}
	tests := []struct {
		name   string
		change func(*desk.Email)
		want   string
	}{
		{"good", func(*desk.Email) {}, ""},
		{"good, several with names", func(e *desk.Email) {
			e.To, e.CC = field.Words{"SOC <soc@operations.example>, night@operations.example"}, field.Words{"lead@operations.example"}
		}, ""},
		{"to", func(e *desk.Email) { e.To = field.Words{"soc"} }, "to: is no e-mail address"},
		{"a list", func(e *desk.Email) { e.To = field.Words{"soc@operations.example", "a@b.example, c@d.example"} }, ""},
		{"to, one of a list", func(e *desk.Email) { e.To = field.Words{"soc@operations.example", "night"} }, "to: is no e-mail address"},
		{"to, one of two", func(e *desk.Email) { e.To = field.Words{"soc@operations.example; night@operations.example"} }, "to: is no e-mail address"},
		{"to is blank", func(e *desk.Email) { e.To = field.Words{" "} }, "to: holds no address"},
		{"to injects", func(e *desk.Email) { e.To = field.Words{"soc@operations.example\r\nBcc: a@b.example"} }, "to: is no e-mail address"},
		{"to in other letters", func(e *desk.Email) { e.To = field.Words{"æ@operations.example"} }, "to: is no e-mail address in ASCII"},
		{"too many", func(e *desk.Email) { e.To = field.Words{strings.Repeat("a@b.example, ", 20) + "a@b.example"} }, "to: has 21 addresses"},
		{"cc", func(e *desk.Email) { e.CC = field.Words{"lead"} }, "cc: is no e-mail address"},
		{"what the notifier checks too", func(e *desk.Email) { e.SMTP = "smtp.example" }, "smtp: is no smtp or smtps address"},
		{"password in the clear", func(e *desk.Email) { e.STARTTLS = "off" }, "starttls: off would send the password"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := good
			test.change(&e)
			faults := fmt.Sprint(e.Validate())
			if test.want == "" && faults != "[]" || !strings.HasPrefix(faults, "["+test.want) || strings.Contains(faults, "hidden") {
				t.Errorf("faults %s, want %q", faults, test.want)
			}
		})
	}
}

// unheardMailDesk is an e-mail desk whose server nobody listens for.
func unheardMailDesk(t *testing.T) desk.Desk {
	t.Helper()
	e := &desk.Email{To: field.Words{"soc@operations.example"}, Server: smtp.Server{SMTP: "smtp://127.0.0.1:1", From: "firstcall@operations.example"}}
	d, err := e.Build(desk.Env{Name: "mailbox", Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEmailRefusesWhatIsNoCaseOfItsOwn(t *testing.T) {
	d, ctx := unheardMailDesk(t), t.Context()
	for _, ref := range []string{"", strings.Repeat("x", 61), "fc acme", "fc-acme\r\nBcc: a@b.example", "fc-æ"} {
		_, err := d.Open(ctx, desk.Fields{Key: ref})
		for what, err := range map[string]error{
			"open": err, "update": d.Update(ctx, ref, desk.Fields{}, nil), "resolve": d.Resolve(ctx, ref, desk.Fields{}, "over"),
			"withdraw": d.Withdraw(ctx, ref, "1"), "reopen": d.(desk.Reopener).Reopen(ctx, ref, desk.Fields{}, "again"),
		} {
			if err == nil || !strings.Contains(err.Error(), "a case key has 1 to 60 characters") || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%s of %q: %v", what, ref, err)
			}
		}
	}
	if err := d.Update(ctx, "fc-one", desk.Fields{Key: "fc-two"}, nil); err == nil || !strings.Contains(err.Error(), "no reference to the case") {
		t.Errorf("update of another case: %v", err)
	}
}

func TestEmailCannotBeSearched(t *testing.T) {
	d := unheardMailDesk(t)
	_, err := d.Find(t.Context(), "fc-one")
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("find: %v", err)
	}
	if _, err := d.Get(t.Context(), "fc-one"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("get: %v", err)
	}
	if all, err := d.Transitions(t.Context(), "fc-one", time.Time{}); err != nil || len(all) > 0 {
		t.Errorf("transitions: %v, %v", all, err)
	}
	if can := d.Capabilities(); can != (desk.Capabilities{DedupeOnCreate: true}) {
		t.Errorf("capabilities %+v", can)
	}
}

func TestEmailThatNobodyTakesIsCertain(t *testing.T) {
	d := unheardMailDesk(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, ctx := range map[string]context.Context{"nobody listens": t.Context(), "cancelled": ended} {
		_, err := d.Open(ctx, desk.Fields{Key: "fc-one", Title: "P1 acme: backend is inaccessible", Priority: incident.P1})
		if err == nil || errors.Is(err, desk.ErrUnknownOutcome) || !strings.HasPrefix(err.Error(), `desk "mailbox": open fc-one: `) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEmailDeskThatCannotBeBuilt(t *testing.T) {
	whole := desk.Email{To: field.Words{"soc@operations.example"}, Server: smtp.Server{SMTP: "smtp://127.0.0.1:1", From: "firstcall@operations.example"}}
	for want, change := range map[string]func(*desk.Email){
		"to holds no address":    func(e *desk.Email) { e.To = nil },
		"to is no":               func(e *desk.Email) { e.To = field.Words{"soc"} },
		"cc is no":               func(e *desk.Email) { e.CC = field.Words{"soc"} },
		"smtp is no":             func(e *desk.Email) { e.SMTP = "x" },
		"from is no":             func(e *desk.Email) { e.From = "x" },
		"ca_file cannot be read": func(e *desk.Email) { e.CAFile = "/does/not/exist.pem" },
	} {
		e := whole
		change(&e)
		if _, err := e.Build(desk.Env{Name: "mailbox"}); err == nil || !strings.HasPrefix(err.Error(), `desk "mailbox": `+want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
