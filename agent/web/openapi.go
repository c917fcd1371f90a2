package web

import (
	_ "embed"
	"fmt"
	"net/http"
	"sync"

	"github.com/goccy/go-yaml"
)

//go:embed openapi.yaml
var openAPISource []byte

// openAPIDocument is the document as JSON. It is written by hand, in YAML; a test holds it against the routes and against real
// answers.
var openAPIDocument = sync.OnceValues(func() ([]byte, error) { return yaml.YAMLToJSON(openAPISource) })

func (s *site) openAPI(w http.ResponseWriter, r *http.Request) {
	document, err := openAPIDocument()
	if err != nil {
		s.refuse(w, r, asFault(fmt.Errorf("openapi document: %w", err)))
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(document)
}
