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
	ring  [longWindow]float32
	at    [longWindow]uint32                            // Unix seconds of each
	next  int                                           // where the next sample goes in ring
	n     int                                           // samples in ring
	order [shortWindow + midWindow + longWindow]float32 // of each window, one after the other, ascending
}

// sortedWindow is a window's samples, ascending.
type sortedWindow []float32

// sorted returns a window, by its place in sizes, as it is until the next push.
func (w *windows) sorted(i int) sortedWindow {
	room := w.room(i)
	return sortedWindow(room[:min(w.n, len(room))])
}

func (w *windows) room(i int) []float32 {
	from := 0
	for _, size := range sizes[:i] {
		from += size
	}
	return w.order[from : from+sizes[i]]
}

// push adds a sample and drops the oldest of every window that is full.
func (w *windows) push(t int64, x float32) {
	for i, size := range sizes {
		v, n := w.room(i), min(w.n, size)
		if n == size {
			at, _ := slices.BinarySearch(v, w.newest(size))
			copy(v[at:], v[at+1:])
			n--
		}
		at, _ := slices.BinarySearch(v[:n], x)
		copy(v[at+1:n+1], v[at:n])
		v[at] = x
	}
	w.ring[w.next], w.at[w.next] = x, uint32(t)
	w.next = (w.next + 1) % longWindow
	w.n = min(w.n+1, longWindow)
}

// newest returns the k-th newest sample; 1 is the newest.
func (w *windows) newest(k int) float32 { return w.ring[(w.next-k+longWindow)%longWindow] }

// time returns when the k-th newest sample was taken, in Unix seconds; 1 is the newest.
func (w *windows) time(k int) int64 { return int64(w.at[(w.next-k+longWindow)%longWindow]) }

func (w *windows) clear() { w.n, w.next = 0, 0 }

// median returns the median; the window is not empty.
func (s sortedWindow) median() float64 {
	n := len(s)
	return (float64(s[(n-1)/2]) + float64(s[n/2])) / 2
}

// midmean returns the mean of the middle half: nearly as robust as the median and half as noisy again. The window is not empty.
func (s sortedWindow) midmean() float64 {
	quarter := len(s) / 4
	sum := 0.
	for _, x := range s[quarter : len(s)-quarter] {
		sum += float64(x)
	}
	return sum / float64(len(s)-2*quarter)
}
