package speech

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/firstcall-agent/firstcall/incident"
)

// The values of ITU-T G.711, tables 2a and 1a, as every implementation has them.
func TestG711(t *testing.T) {
	for _, test := range []struct {
		sample int16
		mu, a  byte
	}{
		{0, 0xff, 0xd5},
		{-1, 0x7f, 0x55},
		{8, 0xfe, 0xd5},
		{16, 0xfd, 0xd4},
		{-16, 0x7d, 0x55},
		{100, 0xf2, 0xd3},
		{-100, 0x72, 0x53},
		{1000, 0xce, 0xfa},
		{-1000, 0x4e, 0x7a},
		{10000, 0x9c, 0xb6},
		{-10000, 0x1c, 0x36},
		{math.MaxInt16, 0x80, 0xaa},
		{math.MinInt16, 0x00, 0x2a},
	} {
		if mu, a := EncodeMuLaw(test.sample), EncodeALaw(test.sample); mu != test.mu || a != test.a {
			t.Errorf("%d: mu-law %#02x, A-law %#02x, want %#02x, %#02x", test.sample, mu, a, test.mu, test.a)
		}
	}
	for code, want := range map[byte]int16{0xff: 0, 0x80: 32124, 0x00: -32124, 0xfe: 8, 0xce: 988, 0x7f: 0} {
		if got := DecodeMuLaw(code); got != want {
			t.Errorf("%#02x: %d, want %d", code, got, want)
		}
	}
}

func TestG711EveryCodeComesBack(t *testing.T) {
	for code := range 256 {
		want := byte(code)                                                      //nolint:gosec // 0 to 255
		if got := EncodeMuLaw(DecodeMuLaw(want)); got != want && want != 0x7f { // minus nothing is nothing
			t.Errorf("%#02x came back as %#02x", want, got)
		}
	}
	for sample := math.MinInt16; sample <= math.MaxInt16; sample += 7 {
		got := int(DecodeMuLaw(EncodeMuLaw(int16(sample)))) //nolint:gosec // in range
		if off := math.Abs(float64(got - sample)); off > max(8, math.Abs(float64(sample))/16) && sample > -muClip && sample < muClip {
			t.Errorf("%d came back as %d", sample, got)
		}
	}
}

// wav returns a WAV file.
func wav(format, channels, rate, bits int, data []byte) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WAVELIST\x03\x00\x00\x00abc\x00fmt \x10\x00\x00\x00")
	b = binary.LittleEndian.AppendUint16(b, uint16(format))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate*channels*bits/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels*bits/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(bits))
	b = append(b, "data"...)
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(data))), data...)
}

func TestRecordings(t *testing.T) {
	second := bytes.Repeat([]byte{0x12}, Rate)
	pcm := bytes.Repeat([]byte{0xe8, 0x03}, Rate) // 1000
	unknown := wav(formatPCM, 1, Rate, 16, pcm)
	binary.LittleEndian.PutUint32(unknown[len(unknown)-len(pcm)-4:], 0x7ffff000)
	tests := []struct {
		name string
		file []byte
		want []byte
		err  string
	}{
		{"raw mu-law", second, second, ""},
		{"mu-law", wav(formatMuLaw, 1, Rate, 8, second), second, ""},
		{"PCM", wav(formatPCM, 1, Rate, 16, pcm), bytes.Repeat([]byte{0xce}, Rate), ""},
		{"PCM of a length that was not known", unknown, bytes.Repeat([]byte{0xce}, Rate), ""},
		{"another rate", wav(formatPCM, 1, 16000, 16, pcm), nil, "has 16000 Hz and 1 channels"},
		{"stereo", wav(formatPCM, 2, Rate, 16, pcm), nil, "and 2 channels"},
		{"A-law", wav(6, 1, Rate, 8, second), nil, "has format 6 with 8 bits"},
		{"short", second[:100], nil, "is shorter"},
		{"long", make([]byte, Longest+1), nil, "is longer"},
		{"nothing", nil, nil, "is shorter"},
		{"no sound", []byte("RIFFxxxxWAVE"), nil, "has no sound in it"},
		{"no WAVE", []byte("RIFFxxxxAVI "), nil, "is no WAV file"},
		{"cut off", wav(formatPCM, 1, Rate, 16, pcm)[:40], nil, "has no sound in it"},
		{"data before its format", []byte("RIFFxxxxWAVEdata\x04\x00\x00\x00abcd"), nil, "has no format"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Recording(test.file)
			if !bytes.Equal(got, test.want) || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%d bytes, %v, want %d, %q", len(got), err, len(test.want), test.err)
			}
		})
	}
}

func FuzzRecording(f *testing.F) {
	f.Add(wav(formatPCM, 1, Rate, 16, make([]byte, 2*Rate)))
	f.Add(wav(formatExtensible, 1, Rate, 8, make([]byte, Rate)))
	f.Add([]byte("RIFFxxxxWAVEdata\xff\xff\xff\xffabcd"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if audio, err := Recording(file); err == nil && (len(audio) < Rate/2 || len(audio) > Longest) {
			t.Errorf("%d samples", len(audio))
		}
	})
}

// strength returns how strong a tone is in samples at the telephone's rate.
func strength(samples []int16, hertz float64) float64 {
	var re, im float64
	for i, s := range samples {
		angle := 2 * math.Pi * hertz * float64(i) / Rate
		re += float64(s) * math.Cos(angle)
		im += float64(s) * math.Sin(angle)
	}
	return math.Hypot(re, im) / float64(len(samples))
}

func TestResampleKeepsWhatATelephoneCarries(t *testing.T) {
	const rate = 22050
	tone := func(hertz ...float64) []int16 {
		samples := make([]int16, rate)
		for i := range samples {
			for _, h := range hertz {
				samples[i] += int16(5000 * math.Sin(2*math.Pi*h*float64(i)/rate))
			}
		}
		return samples
	}
	out := resample(tone(1000, 6000), rate)
	if len(out) != Rate {
		t.Fatalf("%d samples of a second", len(out))
	}
	if loud, alias := strength(out, 1000), strength(out, 2000); loud < 5000 || alias > loud/100 { // 6000 would come back as 2000
		t.Errorf("1000 Hz %.0f, 2000 Hz %.0f", loud, alias)
	}
	if peak := slices.Max(out); peak < 22000 || peak > 23500 {
		t.Errorf("peak %d", peak)
	}
	if got := resample(make([]int16, 100), rate); len(got) != 36 || slices.Max(got) != 0 {
		t.Errorf("silence %v", got)
	}
}

func TestRepeat(t *testing.T) {
	word := bytes.Repeat([]byte{1}, 2*Rate)
	if got := Repeat(word, 2); len(got) != Rate/2+2*Rate+Rate+2*Rate || got[0] != Silence || got[Rate/2] != 1 || got[Rate/2+2*Rate] != Silence {
		t.Errorf("%d samples", len(got))
	}
	if got := Repeat(make([]byte, Longest), 3); len(got) != Longest {
		t.Errorf("%d samples of the longest", len(got))
	}
	if got := Repeat(word, 0); len(got) != Rate/2+2*Rate {
		t.Errorf("%d samples of one", len(got))
	}
}

// fake is a synthesiser that does as told.
func fake(t *testing.T, script string) Speaker {
	path := filepath.Join(t.TempDir(), "espeak")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	return Speaker{Program: path}
}

func TestWhereNobodySpeaksTheBundledRecordingDoes(t *testing.T) {
	tests := map[string]Speaker{
		"no such file":     {Program: "/nonexistent/espeak-ng"},
		"exit status 3":    fake(t, "exit 3"),
		"is no WAV file":   fake(t, "echo hello"),
		"has no sound":     fake(t, "printf 'RIFFxxxxWAVE'"),
		"it says too much": fake(t, "cat /dev/zero"),
		"context deadline": fake(t, "sleep 60"),
		"is no mono sound": fake(t, `printf 'RIFFxxxxWAVEfmt \020\000\000\000\007\000\001\000\100\037\000\000\100\037\000\000\001\000\010\000data\004\000\000\000abcd'`),
	}
	for want, s := range tests {
		t.Run(want, func(t *testing.T) {
			limit := 20 * time.Second
			if want == "context deadline" {
				limit = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			audio, voice := s.Say(ctx, "-w /etc/passwd")
			if !bytes.Equal(audio, bundled) || !strings.HasPrefix(voice, "bundled recording (espeak-ng: ") || !strings.Contains(voice, want) {
				t.Errorf("voice %q", voice)
			}
		})
	}
	if _, voice := (Speaker{Recording: []byte{1}, Program: "/nonexistent"}).Say(t.Context(), "x"); voice != "recording" {
		t.Errorf("voice %q", voice)
	}
}

func TestTheBundledRecordingIsSound(t *testing.T) {
	if len(bundled) < 5*Rate || len(bundled) > 100_000 {
		t.Errorf("%d samples", len(bundled))
	}
	peak := int16(0)
	for _, code := range bundled {
		peak = max(peak, DecodeMuLaw(code))
	}
	if peak < 10000 {
		t.Errorf("peak %d", peak)
	}
}

func TestWords(t *testing.T) {
	tests := []struct {
		name, language, subject, text string
		priority                      incident.Priority
		want                          string
	}{
		{
			"a case", "en", "[FC-2026-000123] P1 ACME A/S: web-client is inaccessible", "Measured: web-client is inaccessible since 10:42.\n\n- app01 refuses connections\nhttps://acme.firstcall.example/\n-- \nSent by firstcall\n", incident.P1,
			"This is firstcall. Priority 1 ACME A S: web-client is inaccessible. Measured: web-client is inaccessible since 10 42. app01 refuses connections. Case number F C dash 2 0 2 6 dash 0 0 0 1 2 3. Please look at the case at the Operations Centre.",
		},
		{
			"in Danish", "da", "[INC0012345] P2 acme: backend er utilgængelig", "Påbegyndt 2. marts 2026 kl. 10.30\n", incident.P2,
			"Det er firstcall. Prioritet 2 acme: backend er utilgængelig. Påbegyndt 2. marts 2026 kl. 10 30. Sagsnummer I N C 0 0 1 2 3 4 5. Se venligst sagen hos Operations Centre.",
		},
		{
			"no number and no priority in the subject", "en", "Agent: the store is full", "Call +45 33 36 63 00, error 50012", incident.P3,
			"This is firstcall. Priority 3. Agent: the store is full. Call + 4 5 3 3 3 6 6 3 0 0, error 5 0 0 1 2. Please look at the case at the Operations Centre.",
		},
		{
			"markup is not said", "en", `<prosody rate="slow">[[h]] & {x} | y`, "", incident.NoPriority,
			"This is firstcall. prosody rate slow h x y. Please look at the case at the Operations Centre.",
		},
		{"nothing", "", "", "\r\n\x00", incident.NoPriority, "This is firstcall. Please look at the case at the Operations Centre."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(strings.Fields(Words(test.language, test.subject, test.text, test.priority)), " ")
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	long := Words("en", "[FC-2026-000123] "+strings.Repeat("ø", 2000), strings.Repeat("word ", 2000), incident.P1)
	if n := utf8.RuneCountInString(long); n > MaxWords || !strings.Contains(long, "0 0 0 1 2 3. Please") {
		t.Errorf("%d characters: %s", n, long)
	}
}

func FuzzWords(f *testing.F) {
	f.Add("da", "[FC-2026-000123] P1 x", "a\nb")
	f.Add("en", "["+strings.Repeat("-", 60)+"]", strings.Repeat("1234567 ", 300))
	f.Fuzz(func(t *testing.T, language, subject, text string) {
		said := Words(language, subject, text, incident.P1)
		if utf8.RuneCountInString(said) > MaxWords || strings.ContainsAny(said, "<>&\"\n\r\x00[]") || !utf8.ValidString(said) {
			t.Errorf("%d characters: %q", utf8.RuneCountInString(said), said)
		}
	})
}
