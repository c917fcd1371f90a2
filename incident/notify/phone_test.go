package notify_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/notify/notifytest"
)

const (
	firstNumber  = "+4500000001"
	secondNumber = "+4500000002"
)

// twilioVia is the configuration of a Twilio at an address.
func twilioVia(address string) notify.Via {
	return notify.Via{
		Kind: "twilio", Account: notifytest.TwilioAccount, AuthToken: secret.New(notifytest.TwilioToken), From: "+45 70 00 00 00",
		APIURL: "http://" + address,
	}
}

// caller builds the notifier of a valid configuration.
func caller(t *testing.T, p *notify.Phone) notify.Notifier {
	t.Helper()
	if faults := append(p.Validate(), p.Via.Validate()...); len(faults) > 0 {
		t.Fatal(faults)
	}
	n, err := p.Build(notify.Env{Name: "phone", Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// onCall are people with telephones.
func onCall(numbers ...string) []incident.Contact {
	people := make([]incident.Contact, len(numbers))
	for i, n := range numbers {
		people[i] = incident.Contact{Name: "Engineer", Phone: n}
	}
	return people
}

// startTwilio serves a Twilio, which must be used as documented.
func startTwilio(t *testing.T) (*notifytest.Twilio, string) {
	tw := notifytest.NewTwilio()
	server := httptest.NewServer(tw)
	t.Cleanup(func() {
		server.Close()
		if wrong := tw.Wrong(); len(wrong) > 0 {
			t.Errorf("not as documented: %q", wrong)
		}
	})
	return tw, server.Listener.Addr().String()
}

var (
	letterByLetter = regexp.MustCompile(`\b(?:[A-Z0-9] (?:streg )?)+[A-Z0-9]\b`)
	markup         = regexp.MustCompile(`<[^>]*>`)
)

// heard returns what somebody who listens writes down.
func heard(twiml string) string {
	return letterByLetter.ReplaceAllStringFunc(markup.ReplaceAllString(twiml, " "), func(s string) string {
		return strings.ReplaceAll(strings.ReplaceAll(s, "streg", "-"), " ", "")
	})
}

func TestPhoneContractWithTwilio(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Rig {
		tw, address := startTwilio(t)
		at := func(t *testing.T, address string) notify.Notifier {
			return caller(t, &notify.Phone{Via: twilioVia(address), Language: "da"})
		}
		return notifytest.Rig{
			Notifier: at(t, address), Name: "phone", Secrets: []string{notifytest.TwilioToken}, To: onCall("+45 00 00 00 01"), At: at,
			Connections: 3, // one that asks for the call, and two that ask whether it was made
			Arrived: func() []notifytest.Arrival {
				var all []notifytest.Arrival
				for _, c := range tw.Calls() {
					all = append(all, notifytest.Arrival{Text: heard(c.TwiML)})
				}
				return all
			},
		}
	})
}

func opened(numbers ...string) notify.Message {
	return notify.Message{
		ID: "1", To: onCall(numbers...), Subject: "[FC-2026-000001] P1 ACME A/S: backend is inaccessible", Priority: incident.P1,
		Text: "Measured: backend is inaccessible <since> 10:42 & \"counting\". Case FC-2026-000001 is open.\n",
	}
}

func TestTwilioCalls(t *testing.T) {
	tests := []struct {
		name      string
		set       func(*notifytest.Twilio)
		numbers   []string
		proof     string // regular expression; "": an error
		want      string // in the error
		permanent bool
		calls     int
	}{
		{"answered", func(*notifytest.Twilio) {}, []string{firstNumber, secondNumber}, `^\+4500000001: answered after [01] s, 18 s long \(Twilio call CA[0-9a-f]{32}\)$`, "", false, 1},
		{"busy, then answered", func(tw *notifytest.Twilio) { tw.Ends(firstNumber, "busy") }, []string{firstNumber, secondNumber}, `^\+4500000001: busy; \+4500000002: answered after`, "", false, 2},
		{"one number twice is called once", func(tw *notifytest.Twilio) { tw.Ends(firstNumber, "busy") }, []string{firstNumber, "+45 (00) 00-00 01"}, "", "nobody answered: +4500000001: busy: see", false, 1},
		{"nobody", func(tw *notifytest.Twilio) { tw.Ends(firstNumber, "no-answer"); tw.Ends(secondNumber, "failed") }, []string{firstNumber, secondNumber}, "", "nobody answered: +4500000001: no answer; +4500000002: failed: see", false, 2},
		{"an invalid number does not keep from the next", func(*notifytest.Twilio) {}, []string{"12345", secondNumber}, `^12345: Twilio answered 400, error 21211: .*12345, is not valid; \+4500000002: answered`, "", false, 1},
		{"an invalid number alone", func(*notifytest.Twilio) {}, []string{"12345"}, "", "error 21211: The phone number you are attempting to call, 12345, is not valid: correct the number", true, 0},
		{"a lost reply", func(tw *notifytest.Twilio) { tw.LoseReplies(1) }, []string{firstNumber}, `^\+4500000001: answered`, "", false, 1},
		{"a lost reply, and listed late", func(tw *notifytest.Twilio) { tw.LoseReplies(1); tw.Lag(1) }, []string{firstNumber}, `^\+4500000001: answered`, "", false, 1},
		{"a lost reply, and not listed", func(tw *notifytest.Twilio) { tw.LoseReplies(1); tw.Lag(9) }, []string{firstNumber, secondNumber}, "", "no such call is listed: check that this host may reach Twilio", false, 1},
		{"too many requests", func(tw *notifytest.Twilio) { tw.Limit(1) }, []string{firstNumber, secondNumber}, "", "Twilio answered 429, error 20429: Too Many Requests: it asks for less", false, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tw, address := startTwilio(t)
			test.set(tw)
			proof, err := caller(t, &notify.Phone{Via: twilioVia(address)}).Send(t.Context(), opened(test.numbers...))
			switch {
			case test.proof == "" && (err == nil || !strings.Contains(err.Error(), test.want) || notify.Permanent(err) != test.permanent):
				t.Errorf("error %v, permanent %v, want %q", err, notify.Permanent(err), test.want)
			case test.proof != "" && (err != nil || !regexp.MustCompile(test.proof).MatchString(proof)):
				t.Errorf("proof %q, %v, want %s", proof, err, test.proof)
			}
			if got := len(tw.Calls()); got != test.calls {
				t.Errorf("%d calls, want %d", got, test.calls)
			}
		})
	}
}

func TestTwilioRefusesTheCredentials(t *testing.T) {
	_, address := startTwilio(t)
	wrong := twilioVia(address)
	wrong.AuthToken = secret.New("wr0ng-t0ken-0123456789")
	_, err := caller(t, &notify.Phone{Via: wrong}).Send(t.Context(), opened(firstNumber, secondNumber))
	if err == nil || !notify.Permanent(err) || !strings.Contains(err.Error(), "20003: Authenticate: check via.account") || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("error %v", err)
	}
}

func TestTwilioIsToldWhatToSay(t *testing.T) {
	tw, address := startTwilio(t)
	via := twilioVia(address)
	via.AuthToken, via.APIKey, via.APISecret, via.SendDigits = secret.Value{}, notifytest.TwilioKey, secret.New(notifytest.TwilioSecret), "ww1"
	m := opened(firstNumber)
	m.Text += strings.Repeat("<&'\"", 1000)
	if _, err := caller(t, &notify.Phone{Via: via, Repeat: 3, Ring: 25 * time.Second}).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	c := tw.Calls()[0]
	if c.Timeout != "25" || c.SendDigits != "ww1" || strings.Count(c.TwiML, `<Say language="en-GB">`) != 3 {
		t.Errorf("call %+v", c)
	}
	for _, want := range []string{"Priority 1 ACME A S: backend is inaccessible", "since 10 42", "Case number F C dash 2 0 2 6 dash 0 0 0 0 0 1"} {
		if !strings.Contains(c.TwiML, want) {
			t.Errorf("%q is not said: %s", want, c.TwiML)
		}
	}
}

func TestACallThatNeverEndsIsReportedWhenTheTimeIsUp(t *testing.T) {
	tw, address := startTwilio(t)
	tw.Ends(firstNumber, "ringing")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := caller(t, &notify.Phone{Via: twilioVia(address)}).Send(ctx, opened(firstNumber, secondNumber))
	if !errors.Is(err, context.DeadlineExceeded) || notify.Permanent(err) || !strings.Contains(err.Error(), "it was ringing when last seen") {
		t.Errorf("error %v", err)
	}
	if got := len(tw.Calls()); got != 1 {
		t.Errorf("%d calls", got)
	}
}

func TestPhoneNeedsNumbers(t *testing.T) {
	n := caller(t, &notify.Phone{Via: twilioVia("127.0.0.1:1")})
	for name, to := range map[string][]incident.Contact{"nobody": nil, "no number": {{Name: "Ann", Email: "ann@acme.example"}}, "no digits": onCall("call me")} {
		if _, err := n.Send(t.Context(), notify.Message{Subject: "x", To: to}); err == nil || !notify.Permanent(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPhoneNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"+45 00 00 00 01": firstNumber, "(555) 010-0123": "5550100123", "112": "112", "+4500000001": firstNumber,
		"": "", "12": "", "+": "", "0045x": "", "+45000000010000000": "", "++45123456": "", "12;transport=tcp": "", "1@evil": "",
	} {
		got, err := notify.PhoneNumber(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestPhonePace(t *testing.T) {
	paced, ok := caller(t, &notify.Phone{Via: twilioVia("127.0.0.1:1")}).(notify.Paced)
	if !ok {
		t.Fatal("it has no pace")
	}
	p := paced.Pace()
	if p.Attempts != 3 || p.Pause != 2*time.Minute || !p.UntilTold || p.Timeout < 8*40*time.Second || p.Timeout > 15*time.Minute {
		t.Errorf("pace %+v", p)
	}
}

func TestPhoneConfigurationFaults(t *testing.T) {
	twilio, sip := twilioVia("127.0.0.1:1"), notify.Via{Kind: "sip", Trunk: "sip:trunk.example", User: "firstcall", Password: secret.New("pw-hidden")}
	tests := []struct {
		name   string
		via    notify.Via
		change func(*notify.Phone)
		want   string
	}{
		{"good twilio", twilio, func(*notify.Phone) {}, ""},
		{"good sip", sip, func(*notify.Phone) {}, ""},
		{"good sip with everything", sip, func(p *notify.Phone) {
			p.Via.Trunk, p.Via.Proxy, p.Via.PublicAddress, p.Via.LocalPort, p.Via.MediaPorts, p.Via.From = "sips:trunk.example:5071", "sip:[2001:db8::1]:5060;transport=tcp", "203.0.113.5", 5060, "40000-40019", "+45 70 00 00 00"
			p.Recording, p.Repeat, p.Ring, p.Attempts, p.Pause, p.Timeout = "call.wav", 1, 20*time.Second, 5, time.Minute, 5*time.Second
		}, ""},
		{"recording", twilio, func(p *notify.Phone) { p.Recording = "x.wav" }, "recording_file: can be played"},
		{"repeat", sip, func(p *notify.Phone) { p.Repeat = 9 }, "repeat: must"},
		{"ring", sip, func(p *notify.Phone) { p.Ring = time.Second }, "ring: must"},
		{"attempts", sip, func(p *notify.Phone) { p.Attempts = 99 }, "attempts: must"},
		{"pause", sip, func(p *notify.Phone) { p.Pause = time.Second }, "pause: must"},
		{"timeout", sip, func(p *notify.Phone) { p.Timeout = time.Hour }, "timeout: must"},
		{"from", twilio, func(p *notify.Phone) { p.Via.From = "" }, "from: is missing"},
		{"account", twilio, func(p *notify.Phone) { p.Via.Account = "AC1" }, "account: is missing or is no"},
		{"no token", twilio, func(p *notify.Phone) { p.Via.AuthToken = secret.Value{} }, "auth_token: is wanted"},
		{"token and key", twilio, func(p *notify.Phone) { p.Via.APIKey = notifytest.TwilioKey }, "auth_token: is wanted"},
		{"key alone", twilio, func(p *notify.Phone) { p.Via.AuthToken, p.Via.APIKey = secret.Value{}, notifytest.TwilioKey }, "api_key: is no"},
		{"digits", twilio, func(p *notify.Phone) { p.Via.SendDigits = "1<Say>" }, "send_digits: must"},
		{"address", twilio, func(p *notify.Phone) { p.Via.APIURL = "ftp://x" }, "api_url: is no address"},
		{"clear", twilio, func(p *notify.Phone) { p.Via.APIURL = "http://twilio.example" }, "api_url: would send"},
		{"twilio with a trunk", twilio, func(p *notify.Phone) { p.Via.Trunk = "sip:x" }, "trunk: is no key of kind twilio"},
		{"sip with an account", sip, func(p *notify.Phone) { p.Via.Account = notifytest.TwilioAccount }, "account: is no key of kind sip"},
		{"no trunk", sip, func(p *notify.Phone) { p.Via.Trunk = "" }, "trunk: is missing"},
		{"trunk", sip, func(p *notify.Phone) { p.Via.Trunk = "trunk.example" }, "trunk: is no sip"},
		{"trunk with a user", sip, func(p *notify.Phone) { p.Via.Trunk = "sip:a@trunk.example" }, "trunk: holds a user"},
		{"trunk with a header", sip, func(p *notify.Phone) { p.Via.Trunk = "sip:trunk.example\r\nX" }, "trunk: names no host"},
		{"proxy", sip, func(p *notify.Phone) { p.Via.Proxy = "sip:x;transport=ws" }, "proxy: has a parameter"},
		{"user", sip, func(p *notify.Phone) { p.Via.User = "a\r\nb" }, "user: is no user"},
		{"password alone", sip, func(p *notify.Phone) { p.Via.User = "" }, "user: is missing"},
		{"caller", sip, func(p *notify.Phone) { p.Via.From = "\"x\"" }, "from: is neither"},
		{"public address", sip, func(p *notify.Phone) { p.Via.PublicAddress = "host" }, "public_address: is no"},
		{"port", sip, func(p *notify.Phone) { p.Via.LocalPort = 70000 }, "local_port: must"},
		{"ports", sip, func(p *notify.Phone) { p.Via.MediaPorts = "5000" }, "media_ports: is no range"},
		{"few ports", sip, func(p *notify.Phone) { p.Via.MediaPorts = "5000-5000" }, "media_ports: is no range of two"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := notify.Phone{Via: test.via}
			test.change(&p)
			faults := fmt.Sprint(append(p.Validate(), p.Via.Validate()...))
			if test.want == "" && faults != "[]" || !strings.HasPrefix(faults, "["+test.want) || strings.Contains(faults, "hidden") {
				t.Errorf("faults %s, want %q", faults, test.want)
			}
		})
	}
}

func TestPhoneIsNotBuiltWithFilesThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.wav")
	if err := os.WriteFile(bad, []byte("RIFFxxxxWAVE"), 0o600); err != nil {
		t.Fatal(err)
	}
	sip := notify.Via{Kind: "sip", Trunk: "sip:trunk.example"}
	for want, p := range map[string]notify.Phone{
		"has no sound in it":              {Via: sip, Recording: bad},
		"cannot be read: no such file":    {Via: sip, Recording: filepath.Join(dir, "none.wav")},
		"is no file of at most 4 MB":      {Via: sip, Recording: dir},
		"ca_file cannot be read: no such": {Via: notify.Via{Kind: "sip", Trunk: "sip:trunk.example", CAFile: filepath.Join(dir, "none.pem")}},
		"holds no certificate in PEM":     {Via: notify.Via{Kind: "sip", Trunk: "sip:trunk.example", CAFile: bad}},
	} {
		if _, err := p.Build(notify.Env{Name: "phone"}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `notifier "phone"`) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// A trunk over TCP that fails, whatever it says, is one that did not make the call.
func TestPhoneOutlivesHostileTrunks(t *testing.T) {
	at := func(t *testing.T, address string) notify.Notifier {
		return caller(t, &notify.Phone{Via: notify.Via{
			Kind: "sip", Trunk: "sip:" + address + ";transport=tcp", User: "firstcall", Password: secret.New("sip-pass-word"),
		}, Recording: recordingFile(t)})
	}
	say := func(text string, endless bool) notifytest.Hostile {
		return notifytest.Hostile{Endless: endless, Serve: func(c net.Conn) {
			if endless {
				notifytest.Forever(c, text)
				return
			}
			_, _ = c.Write([]byte(text))
			notifytest.Silent(c)
		}}
	}
	notifytest.RunHostile(t, func(*testing.T) notifytest.Rig {
		// A second connection calls off, where the first one broke in mid-attempt.
		return notifytest.Rig{Name: "phone", Secrets: []string{"sip-pass-word"}, To: onCall(firstNumber), At: at, Connections: 2, Hostile: map[string]notifytest.Hostile{
			"answers for ever":         say("SIP/2.0 100 Trying\r\nVia: SIP/2.0/TCP x;branch=z9hG4bKx\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n", true),
			"announces a huge body":    say("SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP x;branch=z9hG4bKx\r\nCSeq: 1 INVITE\r\nContent-Length: 4294967295\r\n\r\n", false),
			"asks instead":             say("OPTIONS sip:firstcall SIP/2.0\r\nContent-Length: 0\r\n\r\n", false),
			"asks for ever":            say("OPTIONS sip:firstcall SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bKx\r\nFrom: <sip:x>;tag=1\r\nTo: <sip:y>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", true),
			"hangs up what is no call": say("BYE sip:firstcall SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bKx\r\nFrom: <sip:x>;tag=1\r\nTo: <sip:y>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n", false),
		}}
	})
}

// recordingFile returns a second of sound.
func recordingFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "call.ulaw")
	if err := os.WriteFile(path, make([]byte, 8000), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
