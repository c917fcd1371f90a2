package demo

import (
	"context"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// output gathers what the demo writes, with the time of each write, and calls seen after it.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	seen func(text string)
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	if o.seen != nil {
		o.seen(o.text.String())
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// leavesNothing checks, when the test ends, that no goroutine and no temporary file is left.
func leavesNothing(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, dir)
	}
	t.Cleanup(func() {
		goleak.VerifyNone(t, before)
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("the demo leaves %v behind (%v)", left, err)
		}
	})
}

func TestStory(t *testing.T) {
	leavesNothing(t)
	began := time.Now()
	var toCase time.Duration
	out := &output{}
	out.seen = func(text string) {
		if toCase == 0 && strings.Contains(text, "case-opened") {
			toCase = time.Since(began)
		}
	}
	if err := Run(t.Context(), Options{Out: out, Listen: "127.0.0.1:0", Once: true, Version: "v1.2.3", hurry: true}); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if toCase == 0 || toCase > 30*time.Second {
		t.Errorf("the first case came after %s, want at most 30s", toCase)
	}
	if !strings.HasPrefix(text, "status page: http://127.0.0.1:") {
		t.Errorf("the status page's address must come first")
	}
	inOrder(t, text, "STORY the Web Client's application pool stops", "CASE  P2 opened: web-client is inaccessible", "CASE  P2 case-opened: case FC-",
		"STORY an engineer", "CASE  P2 acknowledged by Ada (SOC)", "STORY now everything hangs", "CASE  P1 raised: P2 to P1: the entire customer solution",
		"STORY the case must wait", "CASE  P1 held by Ada (SOC): waiting", "STORY the customer agreed", "CASE  P1 resumed by Ada (SOC)",
		"STORY the host was restarted", " resolved: measured good again", " case-resolved: case FC-", "STORY the end of the story\n")
	inOrder(t, text, "MAIL  to it@demo.example: [FC-", "P2 Demo A/S: web-client is inaccessible", "| Case number: FC-", "| Commencement of Break/Fix: ",
		"Raised to P1 Demo A/S", "Waits for you: P1", "Work goes on: P1", "Resolved: ", "| The fault is rectified")
	number := regexp.MustCompile(`case-opened: case (FC-[0-9-]+) `).FindStringSubmatch(text)[1]
	inOrder(t, text, "["+number+"] P2", "["+number+"] Raised to P1", "["+number+"] Resolved: ") // raised in place
	for _, noise := range []string{"notice-sent", "case-updated", "P2 measured", "P1 measured", "\x1b"} {
		if strings.Contains(text, noise) {
			t.Errorf("the output has %q in it", noise)
		}
	}
	for line := range strings.Lines(text) {
		if len([]rune(strings.TrimRight(line, "\n"))) > usualWidth {
			t.Errorf("longer than %d characters: %s", usualWidth, line)
		}
	}
}

// inOrder wants every one of parts in text, in that order.
func inOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("the story lacks %q, or has it too early:\n%s", part, text)
		}
		rest = after
	}
}

func TestEndsWhenAsked(t *testing.T) {
	for name, when := range map[string]string{
		"before it began": "", "with the page just up": "status page: ", "while a case is opened": " opened: ",
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var asked time.Time
			ask := sync.OnceFunc(func() { asked = time.Now(); cancel() })
			out := &output{}
			out.seen = func(text string) {
				if strings.Contains(text, when) {
					ask()
				}
			}
			if when == "" {
				ask()
			}
			if err := Run(ctx, Options{Out: out, Listen: "127.0.0.1:0", hurry: true}); err != nil {
				t.Errorf("its usual end is no error: %v", err)
			}
			if took := time.Since(asked); took > 5*time.Second {
				t.Errorf("it ended %s after it was asked to, want at most 5s", took)
			}
		})
	}
}

func TestAddressTaken(t *testing.T) {
	leavesNothing(t)
	out := &output{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	err = Run(t.Context(), Options{Out: out, Listen: l.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("the error must name the address: %v", err)
	}
}
