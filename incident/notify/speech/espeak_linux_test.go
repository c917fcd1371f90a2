//go:build servers

package speech

import (
	"strings"
	"testing"
)

func TestTheSynthesiserSpeaks(t *testing.T) {
	for _, language := range []string{"en", "da"} {
		short, voice := Speaker{Language: language}.Say(t.Context(), "-w out.wav Prioritet 1.")
		if voice != "espeak-ng" || len(short) < Rate {
			t.Fatalf("%s: %d samples by %s", language, len(short), voice)
		}
		long, _ := Speaker{Language: language}.Say(t.Context(), strings.Repeat("Backend is inaccessible. ", 8))
		if len(long) < 2*len(short) || len(long) > Longest {
			t.Errorf("%s: %d samples, and %d of a longer text", language, len(short), len(long))
		}
		loud := 0
		for _, code := range long {
			if v := DecodeMuLaw(code); v > 2000 || v < -2000 {
				loud++
			}
		}
		if loud < len(long)/10 {
			t.Errorf("%s: %d of %d samples are to be heard", language, loud, len(long))
		}
	}
}
