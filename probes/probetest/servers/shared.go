package servers

import "sync"

// sharing holds the servers that several tests of a process use together.
var sharing struct {
	sync.Mutex
	on  bool
	end []func()
}

// Sharing wraps a testing.M for TestMain: a server that is slow to start, such as Request Tracker, then serves every test of
// the process and ends after the last one. Without it each test has its own.
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(servers.Sharing(m)) }
func Sharing(m interface{ Run() int }) interface{ Run() int } { return shared{m} }

type shared struct{ tests interface{ Run() int } }

// Run runs the tests, then ends what they shared.
func (s shared) Run() int {
	sharing.Lock()
	sharing.on = true
	sharing.Unlock()
	code := s.tests.Run()
	sharing.Lock()
	defer sharing.Unlock()
	for _, end := range sharing.end {
		end()
	}
	sharing.on, sharing.end = false, nil
	return code
}
