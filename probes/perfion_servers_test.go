//go:build servers && linux

package probes_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/perfiontest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// Behind a real nginx: the service well, its real pages when the service is away, hangs or fails, and a log-in in its place.
func TestPerfionBehindNginx(t *testing.T) {
	s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Test"}})
	broken := perfiontest.Start(t, perfiontest.Options{Fault: func(string, int) http.HandlerFunc { return perfiontest.Page(500, "Runtime Error") }})
	hung := perfiontest.Start(t, perfiontest.Options{Fault: func(string, int) http.HandlerFunc { return perfiontest.Hang }})
	dead := fmt.Sprintf("http://127.0.0.1:%d", servers.FreePort(t))
	pass := func(path, to string) string {
		return fmt.Sprintf("location /%s/ { rewrite ^/%s(/.*)$ $1 break; proxy_pass %s; proxy_read_timeout 1s; gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; }\n", path, path, to)
	}
	n := servers.StartNginx(t, servers.NginxOptions{Locations: pass("good", s.URL) + pass("dead", dead) + pass("hung", hung.URL) + pass("broken", broken.URL) + `
		location /stopped/ { return 503; }
		location /moved/ { return 302 https://login.example/?ReturnUrl=x; }
		location /login/ { default_type text/html; return 200 "<!doctype html><title>Log in</title>"; }
		location /locked/ { return 401; }
		location /nothing/ { return 404; }`})
	for _, c := range []struct {
		path    string
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
	}{
		{"good", probes.Up, probes.None, ""},
		{"dead", probes.Down, probes.Status, `status 502 Bad Gateway (its title is "502 Bad Gateway")`},
		{"hung", probes.Down, probes.Status, "status 504 Gateway Time"},
		{"broken", probes.Down, probes.Status, "status 500 Internal Server Error"},
		{"stopped", probes.Down, probes.Status, "status 503 Service Unavailable"},
		{"moved", probes.Down, probes.Content, "redirects to https://login.example/?<secret>, which is not followed"},
		{"login", probes.Down, probes.Content, `its title is "Log in"`},
		{"locked", probes.Unknown, probes.Auth, "is refused: "},
		{"nothing", probes.Down, probes.Status, "status 404 Not Found"},
	} {
		for name, edit := range map[string]func(*probes.Perfion){"soap": func(*probes.Perfion) {}, "rest": rest} {
			t.Run(c.path+" "+name, func(t *testing.T) {
				p := perfionProbe(t, n.URL()+"/"+c.path, all(as("probe", "Test"), edit))
				r := checked(t, p)
				want(t, r, c.outcome, c.reason, c.detail)
				if !strings.HasPrefix(fact(r, "server"), "nginx") {
					t.Errorf("the server is %q", fact(r, "server"))
				}
			})
		}
	}
}
