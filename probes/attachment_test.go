package probes_test

import (
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/probes"
)

func TestRecorderBoundsAttachments(t *testing.T) {
	rec := probes.NewRecorder(t.Context())
	for name, content := range map[string]string{
		"": "x", "../etc": "x", ".hidden": "x", "Æ.png": "x", strings.Repeat("a", 61): "x", "empty.txt": "", "large.bin": strings.Repeat("x", probes.MaxAttachment+1),
	} {
		rec.Attach(probes.Attachment{Name: name, Content: []byte(content)})
	}
	for _, name := range []string{"1.txt", "2.txt", "1.txt", "3.txt", "4.txt", "5.txt"} {
		rec.Attach(probes.Attachment{Name: name, Type: "text/plain", Content: []byte("of " + name)})
	}
	r := rec.Up()
	rec.Attach(probes.Attachment{Name: "late.txt", Content: []byte("x")})
	var names []string
	for _, a := range r.Attachments {
		names = append(names, a.Name)
	}
	if got := strings.Join(names, " "); got != "1.txt 2.txt 3.txt 4.txt" {
		t.Errorf("attachments %s", got)
	}
}
