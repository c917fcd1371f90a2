//go:build servers && linux

package agent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// asked is a Prometheus that is asked for single values.
type asked struct {
	t *testing.T
	*servers.Prometheus
}

// value returns the value of a query with one answer; false while there is none.
func (p asked) value(query string) (float64, bool) {
	p.t.Helper()
	code, body := get(p.t, p.URL+"/api/v1/query?query="+url.QueryEscape(query))
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusOK {
		p.t.Fatalf("%s: %d %s", query, code, body)
	}
	if len(answer.Data.Result) != 1 {
		return 0, false
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil
}

// until waits for a query to have an answer: a comparison has one when it holds.
func (p asked) until(query string) {
	p.t.Helper()
	waitFor(p.t, query, func() bool { _, ok := p.value(query); return ok })
}

// TestPrometheusSeesWhatIsNotDelivered has a real Prometheus scrape a running agent whose desk and notifier fail, and ask for what is
// not delivered, until both answer again.
func TestPrometheusSeesWhatIsNotDelivered(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	desk, chat := servers.StartWebhook(t, servers.WebhookOptions{}), newTarget(t)
	desk.Down()
	chat.broken.Store(true)
	s := newSite(t, backend, client)
	s.write(t, backend, client, fmt.Sprintf(`desks:
  - { name: soc, kind: webhook, url: %q, find_url: %q, timeout: 2s }
  - { name: builtin, kind: builtin }
notices:
  - { name: chat, kind: chat, url: %q }
`, desk.URL(), desk.FindURL(), "generic+"+chat.URL+"/"))
	a, stop := s.start(t, false)
	at, err := url.Parse(a.URL())
	if err != nil {
		t.Fatal(err)
	}
	p := asked{t, servers.StartPrometheus(t, servers.PrometheusOptions{Scrape: at.Host})}
	p.until(`firstcall_case_pending_seconds{desk="soc"} == 0 and firstcall_case_failures{desk="soc"} == 0`)
	p.until(`firstcall_notice_pending_seconds{notifier="chat"} == 0`)
	if _, ok := p.value(`firstcall_case_reaction_margin_seconds`); ok {
		t.Error("a margin while nothing is open")
	}

	client.broken.Store(true)
	p.until(`firstcall_case_pending_seconds{desk="soc"} > 4`)
	p.until(`firstcall_case_failures{desk="soc"} >= 2`)
	p.until(`firstcall_notice_pending_seconds{notifier="chat"} > 4`)
	p.until(`sum by (desk) (increase(firstcall_cases_total{desk="soc", result!="ok"}[1m])) > 0`)
	p.until(`min(firstcall_case_reaction_margin_seconds) < 3600 and min(firstcall_case_reaction_margin_seconds) > 0`)
	if v, ok := p.value(`firstcall_case_pending_seconds{desk="builtin"}`); !ok || v != 0 {
		t.Errorf("the desk that answers: %v, %v", v, ok)
	}
	document(p)

	desk.Up()
	chat.broken.Store(false)
	p.until(`firstcall_case_pending_seconds{desk="soc"} == 0 and firstcall_case_failures{desk="soc"} == 0`)
	p.until(`firstcall_notice_pending_seconds{notifier="chat"} == 0`)
	p.until(`max_over_time(firstcall_case_pending_seconds{desk="soc"}[5m]) > 4`)
	stop()
}

// document asks every expression of the alerts and examples in the manual: Prometheus understands each of them.
func document(p asked) {
	p.t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		p.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		expression := ""
		if _, rest, ok := strings.Cut(line, "expr: '"); ok {
			expression, _, _ = strings.Cut(rest, "'")
		} else if strings.HasPrefix(line, "| `") && strings.Contains(line, "PromQL") {
			_, rest, _ := strings.Cut(line, "PromQL `")
			expression, _, _ = strings.Cut(rest, "`")
		}
		if expression == "" {
			continue
		}
		n++
		if code, body := get(p.t, p.URL+"/api/v1/query?query="+url.QueryEscape(expression)); code != http.StatusOK {
			p.t.Errorf("%s: %d %s", expression, code, body)
		}
	}
	if n < 12 {
		p.t.Errorf("the manual has %d expressions", n)
	}
}
