package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/incident"
)

const png = "\x89PNG\r\n\x1a\n and more"

// evidenced is the scene p1 with evidence, of which targets had a say.
func evidenced() (*webtest.Fake, string) {
	f := webtest.Scene("p1")
	id := f.Seen.Incidents[0].ID
	file := func(name, kind, content string) incident.EvidenceFile {
		return incident.EvidenceFile{Name: name, Type: kind, Size: len(content), Content: []byte(content)}
	}
	f.Evidences = []incident.Evidence{{
		Incident: id, At: f.Now.Add(-time.Minute), Took: 3 * time.Second, Text: "the essence\n\nPaths\n 1  10.0.0.1\n<script>alert(1)</script>\x1b[31m", Left: []string{"large.har"},
		Files: []incident.EvidenceFile{
			file("path.txt", "text/plain", "path"), file("screenshot.png", "image/png", png), file("photo.jpg", "image/jpeg", "\xff\xd8\xff and more"),
			file("lie.png", "image/png", "<script>alert(1)</script>"), file("page.html", "text/html", "<script>alert(1)</script>"),
			file("picture.svg", "image/svg+xml", "<svg onload='alert(1)'/>"), file("requests.har", "application/har+json", "{}"),
		},
	}}
	f.Events[id] = append(f.Events[id], incident.Event{Incident: id, Seq: 9999, At: f.Now, Kind: incident.EventEvidence, Actor: "firstcall", Text: f.Evidences[0].Text})
	return f, id
}

// A file is shown in place only where it is a picture; whatever it is, it may run nothing.
func TestEvidenceFiles(t *testing.T) {
	f, id := evidenced()
	h := web.New(options(f))
	for name, want := range map[string][2]string{
		"path.txt": {"text/plain; charset=utf-8", "attachment"}, "screenshot.png": {"image/png", "inline"}, "photo.jpg": {"image/jpeg", "inline"},
		"lie.png": {"application/octet-stream", "attachment"}, "page.html": {"application/octet-stream", "attachment"},
		"picture.svg": {"application/octet-stream", "attachment"}, "requests.har": {"application/json", "attachment"},
	} {
		w := get(t, h, "/api/v1/incidents/"+id+"/evidence/"+name)
		header := w.Result().Header
		if w.Code != http.StatusOK || header.Get("Content-Type") != want[0] || header.Get("Content-Disposition") != want[1]+`; filename="`+name+`"` {
			t.Errorf("%s: %d, %s, %s", name, w.Code, header.Get("Content-Type"), header.Get("Content-Disposition"))
		}
		if csp := header.Get("Content-Security-Policy"); header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(csp, "sandbox") || !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: a browser may run it: %v", name, header)
		}
	}
	for _, path := range []string{id + "/evidence/none.txt", id + "/evidence/..%2Fpath.txt", "none/evidence/path.txt", "none/evidence"} {
		if w := get(t, h, "/api/v1/incidents/"+path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	// The same guard as the page's: a foreign host name is refused.
	if w := call(t, h, "GET", "/api/v1/incidents/"+id+"/evidence/path.txt", "", over("127.0.0.1:9797"), host("evil.example")); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("for a foreign host: %d", w.Code)
	}
}

func TestEvidencePage(t *testing.T) {
	f, id := evidenced()
	h := web.New(options(f))
	body := get(t, h, "/incidents/"+id).Body.String()
	for _, part := range []string{
		`id="evidence"`, "the essence\n\nPaths\n 1  10.0.0.1\n&lt;script&gt;", `href="../api/v1/incidents/` + id + `/evidence/path.txt"`,
		`<img src="../api/v1/incidents/` + id + `/evidence/screenshot.png"`, "large.har is not kept", "<bdi>the essence</bdi>",
	} {
		if !strings.Contains(body, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	if strings.Contains(body, "<script>alert") || strings.Contains(body, "\x1b") || strings.Contains(body, `<img src="../api/v1/incidents/`+id+`/evidence/page.html"`) {
		t.Error("what a target said is not escaped")
	}
	f.Evidences = nil
	if body := get(t, web.New(options(f)), "/incidents/"+id).Body.String(); strings.Contains(body, `id="evidence"`) {
		t.Error("a section without evidence")
	}
}
