package evidence

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecondNameServer(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "[]",
		"nameserver 192.0.2.1\n": "[]",
		"# x\nnameserver 192.0.2.1\noptions ndots:5\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n": "[192.0.2.2:53]",
		"nameserver 192.0.2.1\n\tnameserver\t2001:db8::53 \n":                                      "[[2001:db8::53]:53]",
		"nameserver no\nnameserver 192.0.2.1\nnameserver\n":                                        "[]",
		strings.Repeat("x", 200_000) + "\nnameserver 192.0.2.1\nnameserver 192.0.2.2":              "[]",
	} {
		file := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(second(file)); got != want {
			t.Errorf("%.60q: %s, want %s", text, got, want)
		}
	}
	if got := second(filepath.Join(t.TempDir(), "none")); got != nil {
		t.Errorf("without a file: %v", got)
	}
}

func TestFileNamesAreFit(t *testing.T) {
	for _, c := range [][3]string{
		{"web-client/browser", "screenshot.png", "web-client-browser-screenshot.png"},
		{"../Web Client/Ærø", "a.har", "web-client--r--a.har"},
		{strings.Repeat("x", 90), "screenshot.png", strings.Repeat("x", 45) + "-screenshot.png"},
		{"p", strings.Repeat("y", 60), strings.Repeat("y", 60)},
	} {
		if got := fileName(c[0], c[1]); got != c[2] || len(got) > 60 {
			t.Errorf("%s of %s: %s, want %s", c[1], c[0], got, c[2])
		}
	}
}
