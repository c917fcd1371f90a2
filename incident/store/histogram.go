package store

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"time"
)

// Histogram counts durations in buckets whose width is a sixteenth of the power of two below them, so that histograms of hours
// and of probes can be added, and a percentile of their sum is off by at most HistogramError of itself. It has its buckets in
// order and none that is empty; the zero value is empty. It is not safe for concurrent use while it is changed.
type Histogram []Bucket

// Bucket is how many durations fell between two bounds, see Bucket.Bounds.
type Bucket struct {
	Index uint16 // of the bucket; by rising durations
	Count int64
}

// HistogramError is the largest relative error of Histogram.Quantile: half a bucket.
const HistogramError = 1.0 / 32

// octave is the number of buckets between two powers of two.
const octave = 16

// histogramFormat is the first byte of a stored histogram.
const histogramFormat = 1

// bucketOf returns the bucket that a duration falls into; one below 0 counts as 0.
func bucketOf(d time.Duration) uint16 {
	v := uint64(max(0, d))
	if v < octave {
		return uint16(v)
	}
	e := bits.Len64(v) - 1 // 2^e <= v, from 4 on
	return uint16((e-3)*octave + int(v>>(e-4))%octave)
}

// Bounds returns the durations that a bucket holds: from is inclusive, to exclusive.
func (b Bucket) Bounds() (from, to time.Duration) {
	if b.Index < octave {
		return time.Duration(b.Index), time.Duration(b.Index) + 1
	}
	e := int(b.Index)/octave - 1 // of the bucket's width
	low := uint64(octave+int(b.Index)%octave) << e
	return time.Duration(low), time.Duration(min(low+1<<e, math.MaxInt64))
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) { h.add(Bucket{bucketOf(d), 1}) }

// Merge adds what another histogram counted.
func (h *Histogram) Merge(other Histogram) {
	for _, b := range other {
		h.add(b)
	}
}

func (h *Histogram) add(b Bucket) {
	at, found := slices.BinarySearchFunc(*h, b, func(x, y Bucket) int { return cmp.Compare(x.Index, y.Index) })
	if found {
		(*h)[at].Count += b.Count
		return
	}
	*h = slices.Insert(*h, at, b)
}

// N returns how many durations were counted.
func (h Histogram) N() int64 {
	var n int64
	for _, b := range h {
		n += b.Count
	}
	return n
}

// Quantile returns the middle of the bucket that holds the duration of rank ceil(q*N), which q from 0 to 1 names; 0 of an empty
// histogram.
func (h Histogram) Quantile(q float64) time.Duration {
	n := h.N()
	rank := max(1, min(n, int64(math.Ceil(q*float64(n)-1e-9))))
	for _, b := range h {
		if rank -= b.Count; rank <= 0 {
			from, to := b.Bounds()
			return from + (to-1-from)/2
		}
	}
	return 0
}

// encode returns the stored form: the format, and of each bucket the distance from the one before and its count, as uvarints.
// It has at most 4 kB; that of an hour of one probe has some 10 to 90 bytes.
func (h Histogram) encode() []byte {
	if len(h) == 0 {
		return nil
	}
	body := []byte{histogramFormat}
	last := uint16(0)
	for _, b := range h {
		body = binary.AppendUvarint(body, uint64(b.Index-last))
		body = binary.AppendUvarint(body, uint64(b.Count))
		last = b.Index
	}
	return body
}

// decodeHistogram reads a stored form; one that is damaged, or of a newer firstcall, counts nothing.
func decodeHistogram(body []byte) Histogram {
	if len(body) == 0 || body[0] != histogramFormat {
		return nil
	}
	var h Histogram
	last := uint64(0)
	for rest := body[1:]; len(rest) > 0; {
		step, n := binary.Uvarint(rest)
		count, m := binary.Uvarint(rest[max(n, 0):])
		last += step
		if n <= 0 || m <= 0 || last > uint64(bucketOf(math.MaxInt64)) || step == 0 && len(h) > 0 || count == 0 || count > math.MaxInt32 {
			return nil
		}
		h = append(h, Bucket{uint16(last), int64(count)})
		rest = rest[n+m:]
	}
	return h
}
