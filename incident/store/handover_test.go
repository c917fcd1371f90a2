package store

import (
	"database/sql"
	"errors"
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

// Whoever keeps a snapshot learns of every decision, and of nothing that is in none.
func TestDecidedSaysThatASnapshotIsOutOfDate(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "firstcall.db"), Options{})
	said := func() bool {
		select {
		case <-s.Decided():
			return true
		default:
			return false
		}
	}
	i := incident.Incident{ID: "one", Class: incident.Availability, Root: "backend", Opened: at, Updated: at}
	n := incident.Notice{ID: "n", Incident: "one", Due: at}
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		write func() error
		want  bool
	}{
		"a commit":              {func() error { return s.Commit(t.Context(), Commit{At: at, Incidents: []incident.Incident{i}}) }, true},
		"a case":                {func() error { return s.SaveCase(t.Context(), incident.Case{Incident: "one", Desk: "soc"}) }, true},
		"a notice":              {func() error { return s.AddNotices(t.Context(), n) }, true},
		"results":               {func() error { return s.AppendResults(t.Context(), httpResults(0, 10, at)) }, false},
		"what a vantage learnt": {func() error { return s.SaveVantage(t.Context(), []byte("{}"), nil, nil) }, false},
		"what was refused":      {func() error { return s.write(t.Context(), decided, "test", func(*sql.Tx) error { return refused }) }, false},
	} {
		if err := c.write(); err != nil && !errors.Is(err, refused) {
			t.Fatalf("%s: %v", name, err)
		}
		if got := said(); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
