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
	p.until(`max(firstcall_case_pending_seconds{desk="soc"}) == 0 and max(firstcall_case_failures{desk="soc"}) == 0`)
	p.until(`firstcall_notice_pending_seconds{notifier="chat"} == 0`)
	if _, ok := p.value(`firstcall_case_reaction_margin_seconds`); ok {
		t.Error("a margin while nothing is open")
	}

	client.broken.Store(true)
	p.until(`firstcall_case_pending_seconds{desk="soc",priority="P2"} > 4`)
	p.until(`firstcall_case_failures{desk="soc"} >= 2`)
	p.until(`firstcall_notice_pending_seconds{notifier="chat"} > 4`)
	p.until(`sum by (desk) (increase(firstcall_cases_total{desk="soc", result!="ok"}[1m])) > 0`)
	p.until(`min(firstcall_case_reaction_margin_seconds) < 3600 and min(firstcall_case_reaction_margin_seconds) > 0`)
	if v, ok := p.value(`max(firstcall_case_pending_seconds{desk="builtin"})`); !ok || v != 0 {
		t.Errorf("the desk that answers: %v, %v", v, ok)
	}
	document(p)

	desk.Up()
	chat.broken.Store(false)
	p.until(`max(firstcall_case_pending_seconds{desk="soc"}) == 0 and max(firstcall_case_failures{desk="soc"}) == 0`)
	p.until(`firstcall_notice_pending_seconds{notifier="chat"} == 0`)
	p.until(`max_over_time(firstcall_case_pending_seconds{desk="soc",priority="P2"}[5m]) > 4`)
	stop()
}

// document asks every example in the manual: Prometheus understands each of them.
func document(p asked) {
	p.t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		p.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		_, rest, ok := strings.Cut(line, "PromQL `")
		if !ok {
			continue
		}
		n++
		expression, _, _ := strings.Cut(rest, "`")
		if code, body := get(p.t, p.URL+"/api/v1/query?query="+url.QueryEscape(expression)); code != http.StatusOK {
			p.t.Errorf("%s: %d %s", expression, code, body)
		}
	}
	if n < 4 {
		p.t.Errorf("the manual has %d expressions", n)
	}
}

// TestPrometheusAnswersTheDashboards has a real Prometheus, with native histograms and without, scrape an agent with an outage and a
// desk that fails, and asks it every query of the dashboards: none is refused, and each has an answer that has one to give here.
func TestPrometheusAnswersTheDashboards(t *testing.T) {
	t.Parallel()
	backend, client, watchdog := newTarget(t), newTarget(t), newTarget(t)
	desk := servers.StartWebhook(t, servers.WebhookOptions{})
	desk.Down()
	s := newSite(t, backend, client)
	s.write(t, backend, client, fmt.Sprintf(`desks: [{ name: soc, kind: webhook, url: %q, find_url: %q, timeout: 2s }]
notices: [{ name: chat, kind: chat, url: %q }]
heartbeat: { url: %q, every: 1s }
`, desk.URL(), desk.FindURL(), "generic+"+watchdog.URL+"/", watchdog.URL))
	a, stop := s.start(t, false)
	at, err := url.Parse(a.URL())
	if err != nil {
		t.Fatal(err)
	}
	options := servers.PrometheusOptions{Scrape: at.Host, Rules: "../charts/firstcall/rules/firstcall.yaml"}
	classic := asked{t, servers.StartPrometheus(t, options)}
	options.Flags = []string{"--enable-feature=native-histograms"}
	native := asked{t, servers.StartPrometheus(t, options)}

	client.broken.Store(true)
	for _, p := range []asked{classic, native} {
		p.until(`firstcall:agent{tenant="acme"}`)
		p.until(`firstcall_case_untaken{priority="P2"} == 1`)
		p.until(`firstcall_component_state{component="web-client"} == 4 and on () firstcall_component_state{component="backend"} == 0`)
		p.until(`max(firstcall_case_pending_seconds{desk="soc",priority="P2"}) > 2 and max(firstcall_case_pending_seconds{priority!="P2"}) == 0`)
		p.until(`firstcall_ready == 1 and firstcall_heartbeat_failing == 0`)
		for _, expression := range dashboards(t) {
			if mayBeEmpty(expression) {
				p.count(expression)
				continue
			}
			waitFor(t, "answer to "+expression, func() bool { return p.count(expression) > 0 })
		}
	}
	stop()
}

// mayBeEmpty reports whether a query has no answer to give here: the targets have no certificate, resource, account, or learnt latency.
func mayBeEmpty(expression string) bool {
	for _, name := range []string{
		"probe_ssl_earliest_cert_expiry", "firstcall_probe_number", "firstcall_account_off", "firstcall_probe_expected_seconds",
		"firstcall_probe_slow_limit_seconds", "firstcall_schedule_delay_seconds", // the last one: with native histograms only
	} {
		if strings.Contains(expression, name) {
			return true
		}
	}
	return false
}

// count returns how many series answer a query, which must be a good one.
func (p asked) count(query string) int {
	p.t.Helper()
	code, body := get(p.t, p.URL+"/api/v1/query?query="+url.QueryEscape(query))
	var answer struct {
		Data struct{ Result []any }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusOK {
		p.t.Fatalf("%s: %d %s", query, code, body)
	}
	return len(answer.Data.Result)
}

// dashboards returns every query of the dashboards with values in place of their variables.
func dashboards(t *testing.T) []string {
	t.Helper()
	var list []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if expression, ok := v["expr"].(string); ok {
				list = append(list, variables.Replace(expression))
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	for _, name := range []string{"tenant", "fleet"} {
		data, err := os.ReadFile("../charts/firstcall/dashboards/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var board any
		if err := json.Unmarshal(data, &board); err != nil {
			t.Fatal(err)
		}
		walk(board)
	}
	if len(list) < 60 {
		t.Errorf("the dashboards have %d queries: they are not found as they should be", len(list))
	}
	return list
}

// variables fills in those of Grafana.
var variables = strings.NewReplacer("$__rate_interval", "30s", "$agent", ".+", "$component", ".+", "$probe", ".+", "$vantage", ".+", "$tenant", ".+")
