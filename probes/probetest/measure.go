package probetest

import (
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// noLeak fails t when it ends, and its targets have ended, with more goroutines or descriptors than there are now. Call it before
// a target is started.
func noLeak(t *testing.T) {
	t.Helper()
	polling()
	running := goleak.IgnoreCurrent()
	open := descriptors()
	t.Cleanup(func() {
		if err := goleak.Find(running); err != nil {
			t.Errorf("goroutines are left: %v", err)
		}
		var left int
		if !Eventually(2*time.Second, func() bool { left = descriptors(); return left <= open }) {
			t.Errorf("%d descriptors are left", left-open)
		}
	})
}

// polling makes the runtime open the descriptors that it keeps for the network, so that the first test of a process does not
// seem to leave them.
var polling = sync.OnceFunc(func() {
	if listener, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = listener.Close()
	}
})

// descriptors counts this process' open descriptors; 0 where the system does not tell.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// Eventually asks every 20 ms until the condition holds or the time is over, and reports whether it held.
func Eventually(within time.Duration, holds func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(within); !holds(); {
		select {
		case <-limit:
			return holds()
		case <-tick.C:
		}
	}
	return true
}

// lateness tells how late this machine itself is: a timer of d is set, and the returned function says by how much it was missed.
func lateness(d time.Duration) (late func() time.Duration) {
	due := time.Now().Add(d)
	rang := make(chan time.Duration, 1)
	timer := time.AfterFunc(d, func() { rang <- time.Since(due) })
	return func() time.Duration {
		if timer.Stop() {
			return 0
		}
		return 2 * <-rang
	}
}

// watchHeap samples the bytes in live and not yet swept objects until the returned function is called, which tells by how much
// they grew at most. The collector runs eagerly meanwhile, so that garbage counts little.
func watchHeap() (grown func() int64) {
	percent := debug.SetGCPercent(10)
	runtime.GC()
	base := heapBytes()
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		most := base
		for {
			select {
			case <-tick.C:
				most = max(most, heapBytes())
			case <-stop:
				peak <- max(most, heapBytes())
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		most := <-peak
		debug.SetGCPercent(percent)
		return most - base
	}
}

func heapBytes() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
