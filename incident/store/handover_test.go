package store

import (
	"path/filepath"
	"testing"

	"github.com/firstcall-agent/firstcall/incident"
)

// A handover that cannot be read does not hide the others.
func TestAHandoverThatCannotBeRead(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "firstcall.db"), Options{})
	for _, id := range []string{"bad", "good"} {
		if err := s.Handover(t.Context(), "dk", []Handed{{Incident: incident.Incident{ID: id}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.writer.ExecContext(t.Context(), "UPDATE handovers SET body = '[]' WHERE incident = 'bad'"); err != nil {
		t.Fatal(err)
	}
	all, err := s.Handovers(t.Context())
	if err != nil || len(all) != 2 || all[0].Incident.ID != "bad" || all[0].Fault == nil || all[1].Incident.ID != "good" || all[1].Fault != nil {
		t.Errorf("%+v (%v)", all, err)
	}
}
