package servers

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// Target is a web server that answers everything with 200, and with 503 while it is Broken.
type Target struct {
	*httptest.Server
	Broken atomic.Bool
}

// StartTarget starts a target on 127.0.0.1.
func StartTarget(t testing.TB) *Target {
	target := &Target{}
	target.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if target.Broken.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(target.Close)
	return target
}
