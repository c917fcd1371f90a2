// Package speech turns a message into what a telephone can say: words fit to be heard, and their sound.
package speech

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// bundled is what is said where there is neither a recording nor a synthesiser. It was made, with Debian's packages espeak-ng
// and sox, by:
//
//	espeak-ng -v en-gb -s 150 --stdout "This is first call. A serious incident has been opened for a customer. Please look at
//	your messages, and at the Operations Centre's case." |
//	sox -t wav - -r 8000 -c 1 -e mu-law -t raw firstcall.ulaw gain -n -3 rate 8000
//
//go:embed firstcall.ulaw
var bundled []byte

// Bounds on the synthesiser.
const (
	program   = "espeak-ng"
	synthesis = 15 * time.Second
	maxWAV    = 8 << 20 // bytes: three minutes at 22050 Hz
)

var errTooLong = errors.New("it says too much")

// Speaker gives words a sound. The zero value says the bundled recording in English. It is safe for concurrent use.
type Speaker struct {
	Recording []byte // mu-law: said instead of every text; nil: none
	Language  string // "da", else English
	Program   string // path of the synthesiser; "": espeak-ng, where it is installed
}

// Say returns the sound of text as mu-law audio, and whose voice it is: "recording", "espeak-ng", or "bundled recording" with
// the reason why there is no other. It never fails.
func (s Speaker) Say(ctx context.Context, text string) (audio []byte, voice string) {
	if len(s.Recording) > 0 {
		return s.Recording, "recording"
	}
	audio, err := s.synthesise(ctx, text)
	if err != nil {
		return bundled, fmt.Sprintf("bundled recording (%s: %s)", program, secret.Plain(err.Error(), 80))
	}
	return audio, program
}

// synthesise speaks by espeak-ng. The text goes in by standard input, so that no text is an option.
func (s Speaker) synthesise(ctx context.Context, text string) ([]byte, error) {
	path := s.Program
	if path == "" {
		found, err := exec.LookPath(program)
		if err != nil {
			return nil, errors.New("not installed")
		}
		path = found
	}
	ctx, cancel := context.WithTimeout(ctx, synthesis)
	defer cancel()
	voice := "en-gb"
	if s.Language == "da" {
		voice = "da"
	}
	out := &limited{left: maxWAV}
	cmd := exec.CommandContext(ctx, path, "-v", voice, "-s", "150", "-b", "1", "--stdin", "--stdout")
	cmd.Stdin, cmd.Stdout, cmd.WaitDelay = strings.NewReader(text), out, time.Second
	if err := cmd.Run(); err != nil {
		switch {
		case out.full:
			err = errTooLong
		case ctx.Err() != nil:
			err = ctx.Err()
		}
		return nil, err
	}
	w, err := parseWAV(out.buffer.Bytes())
	if err != nil {
		return nil, fmt.Errorf("what it said %w", err)
	}
	if w.format != formatPCM || w.bits != 16 || w.channels != 1 || len(w.data) < 2 {
		return nil, errors.New("what it said is no mono sound of 16 bits")
	}
	samples := resample(w.samples(), w.rate)
	audio := make([]byte, min(len(samples), Longest))
	for i := range audio {
		audio[i] = EncodeMuLaw(samples[i])
	}
	return audio, nil
}

// Repeat returns audio said so many times with a pause of a second between, after half a second in which a telephone reaches an
// ear, and no longer than Longest.
func Repeat(audio []byte, times int) []byte {
	all := bytes.Repeat([]byte{Silence}, Rate/2)
	for i := range max(times, 1) {
		if i > 0 {
			if len(all)+Rate+len(audio) > Longest {
				break
			}
			all = append(all, bytes.Repeat([]byte{Silence}, Rate)...)
		}
		all = append(all, audio...)
	}
	return slices.Clip(all[:min(len(all), Longest)])
}

// limited is a buffer that refuses to grow beyond left bytes. (It does not embed one, whose ReadFrom would know no limit.)
type limited struct {
	buffer bytes.Buffer
	left   int
	full   bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.full = len(p) > l.left; l.full {
		return 0, errTooLong
	}
	l.left -= len(p)
	return l.buffer.Write(p)
}
