package speech

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Longest is how long audio may be, in samples: three minutes.
const Longest = 180 * Rate

// The formats of a WAV file that are understood.
const (
	formatPCM        = 1
	formatMuLaw      = 7
	formatExtensible = 0xfffe
)

// wave is the sound of a WAV file.
type wave struct {
	format, channels, bits int
	rate                   int
	data                   []byte
}

// Recording returns the sound of a file as mu-law audio: a WAV file of 8000 Hz, mono, mu-law or 16-bit PCM, or raw mu-law.
func Recording(file []byte) ([]byte, error) {
	var audio []byte
	switch {
	case len(file) < 4 || string(file[:4]) != "RIFF":
		audio = file
	default:
		w, err := parseWAV(file)
		if err != nil {
			return nil, err
		}
		if w.rate != Rate || w.channels != 1 {
			return nil, fmt.Errorf("has %d Hz and %d channels: it must have 8000 Hz and one", w.rate, w.channels)
		}
		if audio, err = w.muLaw(); err != nil {
			return nil, err
		}
	}
	switch {
	case len(audio) < Rate/2:
		return nil, errors.New("is shorter than half a second")
	case len(audio) > Longest:
		return nil, errors.New("is longer than three minutes")
	}
	return audio, nil
}

// parseWAV finds the format and the data of a RIFF file. Data that is said to go on beyond the end of the file, as in a
// stream whose length was not known, ends there.
func parseWAV(file []byte) (wave, error) {
	var w wave
	if len(file) < 12 || string(file[8:12]) != "WAVE" {
		return w, errors.New("is no WAV file")
	}
	for rest := file[12:]; len(rest) >= 8; {
		id, size := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:8]))
		rest = rest[8:]
		body := rest[:min(size, int64(len(rest)))]
		switch {
		case id == "fmt " && len(body) >= 16:
			w.format = int(binary.LittleEndian.Uint16(body))
			w.channels = int(binary.LittleEndian.Uint16(body[2:]))
			w.rate = int(binary.LittleEndian.Uint32(body[4:]))
			w.bits = int(binary.LittleEndian.Uint16(body[14:]))
			if w.format == formatExtensible && len(body) >= 26 {
				w.format = int(binary.LittleEndian.Uint16(body[24:]))
			}
		case id == "data":
			w.data = body
			if w.format == 0 {
				return w, errors.New("has no format before its data")
			}
			return w, nil
		}
		rest = rest[min(size+size%2, int64(len(rest))):]
	}
	return w, errors.New("has no sound in it")
}

// muLaw returns the sound, whatever its rate, as mu-law bytes.
func (w wave) muLaw() ([]byte, error) {
	switch {
	case w.format == formatMuLaw && w.bits == 8:
		return w.data, nil
	case w.format == formatPCM && w.bits == 16:
		audio := make([]byte, len(w.data)/2)
		for i, sample := range w.samples() {
			audio[i] = EncodeMuLaw(sample)
		}
		return audio, nil
	}
	return nil, fmt.Errorf("has format %d with %d bits: it must be mu-law, or PCM with 16 bits", w.format, w.bits)
}

func (w wave) samples() []int16 {
	samples := make([]int16, len(w.data)/2)
	for i := range samples {
		samples[i] = int16(binary.LittleEndian.Uint16(w.data[2*i:])) //nolint:gosec // the same bits
	}
	return samples
}

// taps is how many samples of each side the low-pass of resample looks at, in samples of the lower rate.
const taps = 16

// resample returns the samples at the telephone's rate, as loud as they can be. What lies above half of that rate is taken
// out first (a sinc under a Hann window), since it would come back as noise.
func resample(in []int16, rate int) []int16 {
	if rate <= 0 || len(in) == 0 {
		return nil
	}
	step := float64(rate) / Rate
	scale := max(step, 1)
	wide := taps * scale
	out := make([]float64, int(float64(len(in))/step))
	peak := 1.0
	for i := range out {
		center := float64(i) * step
		var sum, weight float64
		for j := max(0, int(center-wide)+1); j < min(len(in), int(center+wide)); j++ {
			x := (float64(j) - center) / scale
			w := sinc(x) * (0.5 + 0.5*math.Cos(math.Pi*x/taps))
			sum += w * float64(in[j])
			weight += w
		}
		if weight != 0 {
			out[i] = sum / weight
		}
		peak = max(peak, math.Abs(out[i]))
	}
	loud := 0.7 * math.MaxInt16 / peak // 3 dB below the most there is
	samples := make([]int16, len(out))
	for i, v := range out {
		samples[i] = int16(v * loud)
	}
	return samples
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}
