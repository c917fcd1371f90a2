package stdio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lines returns so many points of a series, with an outage and a slow hour.
func lines(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]string, n)
	for i := range n {
		value := fmt.Sprintf("%.2f", 100*math.Exp(.05*r.NormFloat64()))
		switch {
		case i%3000 > 2900 && i%3000 < 2910:
			value = "null"
		case i%3000 > 2700 && i%3000 < 2750:
			value = fmt.Sprintf("%.2f", 250*math.Exp(.05*r.NormFloat64()))
		}
		all[i] = fmt.Sprintf(`{"series":"a/b c","t":%d,"latency_ms":%s}`, 1_700_000_000+60*i, value)
	}
	return all
}

func serve(t *testing.T, in []string, directory string) []string {
	t.Helper()
	var out bytes.Buffer
	if err := Serve(context.Background(), strings.NewReader(strings.Join(in, "\n")+"\n"), &out, directory); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

func TestServe(t *testing.T) {
	in := lines(12_000)
	out := serve(t, in, "")
	if len(out) != len(in) {
		t.Fatalf("%d answers to %d points", len(out), len(in))
	}
	states := map[string]int{}
	for i, line := range out {
		var at int64
		if n, err := fmt.Sscanf(line, `{"t":%d,"state":"`, &at); n != 1 || err != nil || at != int64(1_700_000_000+60*i) {
			t.Fatalf("answer %d: %s", i, line)
		}
		for _, state := range []string{"ok", "degraded", "down"} {
			if strings.Contains(line, `"state":"`+state+`"`) {
				states[state]++
			}
		}
	}
	if states["down"] < 25 || states["down"] > 60 || states["degraded"] < 80 || states["ok"]+states["down"]+states["degraded"] != len(in) {
		t.Errorf("%v", states)
	}
	if s := strings.Join(out, ""); !strings.Contains(s, `,"cp_t":`) {
		t.Error("no change of level is told")
	}
}

// TestRestarts states that a process that ends anywhere, or is killed after any answer, goes on as if it had not.
func TestRestarts(t *testing.T) {
	in := lines(6_500)
	want := serve(t, in, "")
	directory := t.TempDir()
	var got []string
	for from := 0; from < len(in); from += 650 {
		got = append(got, serve(t, in[from:min(from+650, len(in))], directory)...)
	}
	compare(t, "stopped", got, want)

	directory, got = t.TempDir(), nil
	for from := 0; from < len(in); from += 1300 {
		got = append(got, killed(t, in[from:min(from+1300, len(in))], directory)...)
	}
	compare(t, "killed", got, want)

	directory, got = t.TempDir(), nil // killed in the middle of a line of the journal, again and again
	for from := 0; from < len(in); from += 1300 {
		got = append(got, killed(t, in[from:min(from+1300, len(in))], directory)...)
		files, err := filepath.Glob(filepath.Join(directory, "*.journal"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString(`{"series":"a/b c","t":17`)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, "cut off", got, want)
}

// killed serves like a process that is killed after the last answer: nothing is saved at the end.
func killed(t *testing.T, in []string, directory string) (out []string) {
	t.Helper()
	k, err := open(directory)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, j := range k.journals {
			_ = j.file.Close()
		}
	}()
	d, err := k.take("a/b c")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range in {
		p, err := parse([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		observe(d, p)
		if err := k.note(p, d); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.TrimSpace(string(reply(nil, p.T, d))))
	}
	return out
}

func compare(t *testing.T, name string, got, want []string) {
	t.Helper()
	differ := 0
	for i := range want {
		if got[i] != want[i] {
			if differ == 0 {
				t.Logf("%s: point %d: %s, want %s", name, i, got[i], want[i])
			}
			differ++
		}
	}
	if differ > 0 {
		t.Errorf("%s: %d of %d answers differ", name, differ, len(want))
	}
}

func TestBadInput(t *testing.T) {
	for in, want := range map[string]string{
		"{\n": "line 1", `{"t":1}`: "line 1 of the input is no point", "{\"series\":\"a\",\"t\":1700000000,\"latency_ms\":1}\nnonsense\n": "line 2",
		strings.Repeat("x", 70_000): "line 1",
	} {
		var out bytes.Buffer
		if err := Serve(context.Background(), strings.NewReader(in), &out, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", in, err, want)
		}
	}
	if err := Serve(context.Background(), strings.NewReader(""), &bytes.Buffer{}, "/dev/null/nowhere"); err == nil {
		t.Error("a directory that cannot be")
	}
}
