package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/firstcall-agent/firstcall/incident"
)

// SaveEvidence keeps what was gathered about an incident, and appends events, durable, in one transaction; it reports whether it
// did. What was kept before stays, and then nothing is appended either. An incident that is not stored is incident.ErrNotFound,
// wrapped; evidence over its bounds is refused.
func (s *Store) SaveEvidence(ctx context.Context, e incident.Evidence, events ...incident.Event) (kept bool, err error) {
	if err := e.Check(); err != nil {
		return false, err
	}
	err = s.write(ctx, decided, "save evidence", func(tx *sql.Tx) error {
		kept, err = saveEvidence(ctx, tx, e)
		if err != nil || !kept {
			return err
		}
		return appendEvents(ctx, tx, events)
	})
	return kept && err == nil, err
}

func saveEvidence(ctx context.Context, tx *sql.Tx, e incident.Evidence) (kept bool, err error) {
	found, err := exists(ctx, tx, "SELECT 1 FROM incidents WHERE id = ?", e.Incident)
	if err == nil && !found {
		err = fmt.Errorf("incident %q: %w", e.Incident, incident.ErrNotFound)
	}
	if err != nil {
		return false, err
	}
	if there, err := exists(ctx, tx, "SELECT 1 FROM evidence WHERE incident = ?", e.Incident); err != nil || there {
		return false, err
	}
	files := make([]incident.EvidenceFile, len(e.Files))
	for n, f := range e.Files {
		f.Size = len(f.Content)
		files[n] = f
		content := f.Content
		if content == nil {
			content = []byte{}
		}
		if _, err := run(ctx, tx, "INSERT INTO evidence_files (incident, name, content) VALUES (?, ?, ?)", e.Incident, f.Name, content); err != nil {
			return false, err
		}
	}
	e.Files = files
	body, err := json.Marshal(e)
	if err != nil {
		return false, err
	}
	_, err = run(ctx, tx, "INSERT INTO evidence (incident, at, body) VALUES (?, ?, ?)", e.Incident, nanos(e.At), string(body))
	return err == nil, err
}

// exists reports whether the query finds a row.
func exists(ctx context.Context, tx *sql.Tx, query string, args ...any) (bool, error) {
	var one int
	err := tx.QueryRowContext(context.WithoutCancel(ctx), query, args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// Evidence returns what was gathered about an incident, without the contents of its files; the error wraps incident.ErrNotFound.
func (s *Store) Evidence(ctx context.Context, id string) (incident.Evidence, error) {
	return one[incident.Evidence](ctx, s, fmt.Sprintf("evidence of %q", id), "SELECT body FROM evidence WHERE incident = ?", id)
}

// EvidenceFile returns one file of an incident's evidence with its content; the error wraps incident.ErrNotFound.
func (s *Store) EvidenceFile(ctx context.Context, id, name string) (incident.EvidenceFile, error) {
	e, err := s.Evidence(ctx, id)
	if err != nil {
		return incident.EvidenceFile{}, err
	}
	for _, f := range e.Files {
		if f.Name != name {
			continue
		}
		err := s.view(ctx, "read a file of evidence", func(tx *sql.Tx) error {
			return tx.QueryRowContext(ctx, "SELECT content FROM evidence_files WHERE incident = ? AND name = ?", id, name).Scan(&f.Content)
		})
		if errors.Is(err, sql.ErrNoRows) { // past its retention between the two reads
			err = fmt.Errorf("evidence of %q: %w", id, incident.ErrNotFound)
		}
		return f, err
	}
	return incident.EvidenceFile{}, fmt.Errorf("evidence of %q has no file %q: %w", id, name, incident.ErrNotFound)
}

// expireFiles removes the files of the oldest evidence while all files take more room than most bytes, and names them as left out.
// What an incident that is open, or a case that is not settled, may still need is kept.
func expireFiles(tx *sql.Tx, most int64) (more bool, err error) {
	var bytes int64
	if err := tx.QueryRow("SELECT coalesce(sum(length(content)), 0) FROM evidence_files").Scan(&bytes); err != nil || bytes <= most {
		return false, err
	}
	var id, body string
	err = tx.QueryRow(`SELECT incident, body FROM evidence WHERE incident IN (SELECT incident FROM evidence_files)
		AND incident IN (SELECT id FROM incidents WHERE closed <> 0) AND incident NOT IN (SELECT incident FROM cases WHERE settled = 0)
		ORDER BY at, incident LIMIT 1`).Scan(&id, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var e incident.Evidence
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		return false, err
	}
	for _, f := range e.Files {
		e.Left = append(e.Left, f.Name)
	}
	e.Files = []incident.EvidenceFile{}
	rest, err := json.Marshal(e)
	if err != nil {
		return false, err
	}
	if _, err := tx.Exec("UPDATE evidence SET body = ? WHERE incident = ?", string(rest), id); err != nil {
		return false, err
	}
	_, err = tx.Exec("DELETE FROM evidence_files WHERE incident = ?", id)
	return true, err
}
