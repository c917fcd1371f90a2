package detect

import "slices"

// The windows of a latency: so many of the newest samples.
const (
	shortWindow = 7
	midWindow   = 20
	longWindow  = 60
)

// sizes are the windows, shortest first.
var sizes = [...]int{shortWindow, midWindow, longWindow}

// windows holds the newest samples in their order and, for each window, by size. The zero value is empty.
type windows struct {
	ring   [longWindow]float32
	at     [longWindow]int64 // Unix seconds of each
	next   int               // where the next sample goes in ring
	n      int               // samples in ring
	sorted [len(sizes)]sortedWindow
}

type sortedWindow struct {
	n int
	v [longWindow]float32 // ascending
}

// push adds a sample and drops the oldest of every window that is full.
func (w *windows) push(t int64, x float32) {
	for i, size := range sizes {
		if w.n >= size {
			w.sorted[i].remove(w.newest(size))
		}
		w.sorted[i].insert(x)
	}
	w.ring[w.next], w.at[w.next] = x, t
	w.next = (w.next + 1) % longWindow
	w.n = min(w.n+1, longWindow)
}

// newest returns the k-th newest sample; 1 is the newest.
func (w *windows) newest(k int) float32 { return w.ring[(w.next-k+longWindow)%longWindow] }

// time returns when the k-th newest sample was taken, in Unix seconds; 1 is the newest.
func (w *windows) time(k int) int64 { return w.at[(w.next-k+longWindow)%longWindow] }

func (w *windows) clear() {
	w.n, w.next = 0, 0
	for i := range w.sorted {
		w.sorted[i].n = 0
	}
}

func (s *sortedWindow) insert(x float32) {
	at, _ := slices.BinarySearch(s.v[:s.n], x)
	copy(s.v[at+1:s.n+1], s.v[at:s.n])
	s.v[at] = x
	s.n++
}

func (s *sortedWindow) remove(x float32) {
	at, _ := slices.BinarySearch(s.v[:s.n], x)
	copy(s.v[at:], s.v[at+1:s.n])
	s.n--
}

// median returns the median; the window is not empty.
func (s *sortedWindow) median() float64 {
	if s.n%2 == 1 {
		return float64(s.v[s.n/2])
	}
	return (float64(s.v[s.n/2-1]) + float64(s.v[s.n/2])) / 2
}

// midmean returns the mean of the middle half: nearly as robust as the median and half as noisy again. The window is not empty.
func (s *sortedWindow) midmean() float64 {
	quarter := s.n / 4
	sum := 0.
	for _, x := range s.v[quarter : s.n-quarter] {
		sum += float64(x)
	}
	return sum / float64(s.n-2*quarter)
}
