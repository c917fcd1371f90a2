package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/firstcall-agent/firstcall/incident"
)

// evidence returns what was gathered when an incident opened; nil where nothing was.
func (s *site) evidence(ctx context.Context, id string) (*incident.Evidence, error) {
	e, err := s.Store.Evidence(ctx, id)
	if errors.Is(err, incident.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e.Files = list(e.Files)
	return &e, nil
}

func (s *site) apiEvidence(r *http.Request) (any, error) {
	id := r.PathValue("id")
	e, err := s.Store.Evidence(r.Context(), id)
	if err != nil {
		return nil, missing(err, "incident", bounded(id, incident.MaxKey)) // or one of which none was gathered
	}
	e.Files = list(e.Files)
	return e, nil
}

// shownTypes are the media types that are named as they are: no browser runs anything of them. Any other file is bytes.
var shownTypes = map[string]string{
	"text/plain": "text/plain; charset=utf-8", "application/json": "application/json", "application/har+json": "application/json",
	"image/png": "image/png", "image/jpeg": "image/jpeg",
}

// picture reports whether a file is what its type says, and a browser may show it.
func picture(f incident.EvidenceFile) bool {
	return (f.Type == "image/png" || f.Type == "image/jpeg") && http.DetectContentType(f.Content) == f.Type
}

// evidenceFile answers with one file. Its content came from a target: it is shown in place only where it is a picture, and may load
// and run nothing either way.
func (s *site) evidenceFile(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	id, name := r.PathValue("id"), r.PathValue("name")
	f, err := s.Store.EvidenceFile(ctx, id, name)
	if errors.Is(err, incident.ErrNotFound) {
		err = &fault{
			Status: http.StatusNotFound, Message: fmt.Sprintf("there is no file %q of that incident", bounded(clean(name), 60)),
			Hint: "GET /api/v1/incidents/{id}/evidence lists them",
		}
	}
	if err != nil {
		s.refuse(w, r, asFault(err))
		return
	}
	kind, ok := shownTypes[f.Type]
	if !ok {
		kind = "application/octet-stream"
	}
	place := "attachment"
	if picture(f) {
		place = "inline"
	} else if kind == "image/png" || kind == "image/jpeg" {
		kind = "application/octet-stream"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", fmt.Sprintf("%s; filename=%q", place, f.Name))
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Content-Length", strconv.Itoa(len(f.Content)))
	_, _ = w.Write(f.Content)
}

// evidenceRow is what was gathered, for the page.
type evidenceRow struct {
	At    moment
	Took  string
	Text  string
	Files []fileRow
	Left  []string
}

type fileRow struct {
	Name, Type, Size string
	Picture          bool
}

func (s *site) evidenceRow(st Story) *evidenceRow {
	if st.Evidence == nil {
		return nil
	}
	e := st.Evidence
	row := &evidenceRow{At: s.when(e.At, st.At), Took: exact(e.Took), Text: cleanLines(e.Text)}
	for _, f := range e.Files {
		row.Files = append(row.Files, fileRow{
			Name: clean(f.Name), Type: clean(f.Type), Size: bytesOf(f.Size), Picture: f.Type == "image/png" || f.Type == "image/jpeg",
		})
	}
	for _, name := range e.Left {
		row.Left = append(row.Left, clean(name))
	}
	return row
}

// bytesOf returns a size for people.
func bytesOf(n int) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
