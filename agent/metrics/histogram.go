package metrics

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// schema 3 gives eight buckets per power of two: each bound is 1.09 times the one before, so a quantile is right within 9 %.
const schema = 3

// bounds are the upper bounds of the buckets within one power of two, as fractions in [0.5, 1).
var bounds = func() (b [1 << schema]float64) {
	for i := range b {
		b[i] = 0.5 * math.Exp2(float64(i)/float64(len(b)))
	}
	return b
}()

// bucket counts the observations of one exponential bucket; index is Prometheus' (native histograms, schema 3).
type bucket struct {
	index int16
	count uint32
}

// histogram is a native histogram in the few bytes that one probe's phase needs: only buckets that were hit exist. The zero
// value is empty. It is not safe for concurrent use.
type histogram struct {
	buckets []bucket // by index
	zero    uint64
	count   uint64
	sum     float64 // seconds
}

// maxBuckets bounds the memory of a histogram; from a microsecond to an hour there are 254.
const maxBuckets = 300

// observe counts one duration; what is not positive counts as zero.
func (h *histogram) observe(d time.Duration) {
	h.count++
	if d <= 0 {
		h.zero++
		return
	}
	seconds := d.Seconds()
	h.sum += seconds
	index := bucketIndex(seconds)
	i, found := slices.BinarySearchFunc(h.buckets, index, func(b bucket, index int16) int { return int(b.index) - int(index) })
	if found {
		h.buckets[i].count++
		return
	}
	if len(h.buckets) >= maxBuckets {
		h.buckets[min(i, len(h.buckets)-1)].count++
		return
	}
	h.buckets = slices.Insert(h.buckets, i, bucket{index: index, count: 1})
}

// metric returns the histogram as Prometheus wants it.
func (h *histogram) metric(d *prometheus.Desc, created time.Time, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstNativeHistogram(d, h.count, h.sum, h.positive(), nil, h.zero, schema, 0, created, labels...)
}

// guarded is a histogram that is safe for concurrent use.
type guarded struct {
	mu sync.Mutex
	histogram
}

func (g *guarded) observe(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.histogram.observe(d)
}

func (g *guarded) metric(d *prometheus.Desc, created time.Time) prometheus.Metric {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.histogram.metric(d, created)
}

// positive returns the buckets in the form that client_golang wants.
func (h *histogram) positive() map[int]int64 {
	m := make(map[int]int64, len(h.buckets))
	for _, b := range h.buckets {
		m[int(b.index)] = int64(b.count)
	}
	return m
}

// bucketIndex returns the index of the bucket that takes in the positive number v: the smallest i with v <= 2^(i/8).
func bucketIndex(v float64) int16 {
	fraction, exponent := math.Frexp(v)
	i := 0
	for i < len(bounds) && bounds[i] < fraction {
		i++
	}
	return int16(i + (exponent-1)*len(bounds))
}
