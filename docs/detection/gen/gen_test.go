package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestFiguresAreOfThisCode: what the page shows and quotes is what the code does now.
func TestFiguresAreOfThisCode(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the figures were drawn on amd64; where multiplications are fused, a pixel may be rounded otherwise")
	}
	files, err := render(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the code makes of its trace: run make generate, and read docs/detection.md again (%v)", path, err)
		}
	}
}

func TestPut(t *testing.T) {
	got, err := put([]byte("a\n<!-- x -->\nold\n<!-- end of x -->\nb\n"), "x", "new\n")
	if want := "a\n<!-- x -->\nnew\n<!-- end of x -->\nb\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if _, err := put([]byte("a\n"), "x", "new\n"); err == nil {
		t.Error("a page without the marks is taken")
	}
}
