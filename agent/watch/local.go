package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Local returns a Getter for an agent in this process: no address is listened on.
func Local(h http.Handler) Getter {
	return func(ctx context.Context, path string, into any) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
		if err != nil {
			return err
		}
		a := answer{header: http.Header{}, status: http.StatusOK}
		h.ServeHTTP(&a, r)
		if a.status != http.StatusOK {
			return fmt.Errorf("the agent answered %d to %s: %s", a.status, r.URL.Path, bytes.TrimSpace(a.body.Bytes()))
		}
		return json.Unmarshal(a.body.Bytes(), into)
	}
}

// answer takes what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
