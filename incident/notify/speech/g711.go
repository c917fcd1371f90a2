package speech

// Rate is the number of samples of a telephone call per second, which is one byte each (ITU-T G.711).
const Rate = 8000

// Silence is the mu-law byte of no sound.
const Silence = 0xff

// Bounds of ITU-T G.711 mu-law in 16-bit samples.
const (
	muBias = 0x84
	muClip = 32635
)

// EncodeMuLaw returns the mu-law byte of a 16-bit sample (ITU-T G.711, PCMU).
func EncodeMuLaw(sample int16) byte {
	value, sign := int(sample), byte(0)
	if value < 0 {
		value, sign = -value, 0x80
	}
	value = min(value, muClip) + muBias
	segment := byte(7)
	for mask := 0x4000; segment > 0 && value&mask == 0; mask >>= 1 {
		segment--
	}
	return ^(sign | segment<<4 | byte(value>>(segment+3)&0x0f)) //nolint:gosec // four bits
}

// DecodeMuLaw returns the 16-bit sample of a mu-law byte.
func DecodeMuLaw(code byte) int16 {
	code = ^code
	value := (int(code&0x0f)<<3+muBias)<<(code&0x70>>4) - muBias
	if code&0x80 != 0 {
		value = -value
	}
	return int16(value) //nolint:gosec // at most 32124
}

// EncodeALaw returns the A-law byte of a 16-bit sample (ITU-T G.711, PCMA).
func EncodeALaw(sample int16) byte {
	value, sign := int(sample)>>3, byte(0x80) // 13 bits
	if value < 0 {
		value, sign = -value-1, 0
	}
	segment := byte(7)
	for mask := 0x800; segment > 0 && value&mask == 0; mask >>= 1 {
		segment--
	}
	low := byte(value >> max(segment, 1) & 0x0f) //nolint:gosec // four bits
	return (sign | segment<<4 | low) ^ 0x55
}

// ALaw returns mu-law audio as A-law.
func ALaw(mu []byte) []byte {
	a := make([]byte, len(mu))
	for i, code := range mu {
		a[i] = EncodeALaw(DecodeMuLaw(code))
	}
	return a
}
