package incident

import (
	"errors"
	"fmt"
	"time"
)

// Bounds on what is kept as evidence for one incident.
const (
	MaxEvidenceText  = 16 << 10 // bytes of Evidence.Text
	MaxEvidenceFiles = 10       // files of an incident
	MaxEvidenceBytes = 4 << 20  // bytes of all their contents
)

// Evidence is what the agent gathered about an incident, once, when it opened: for the engineer, never for the customer.
type Evidence struct {
	Incident string         `json:"incident"`
	At       time.Time      `json:"at"`             // when gathering began
	Took     time.Duration  `json:"took"`           // how long it took, in nanoseconds
	Text     string         `json:"text"`           // several lines
	Files    []EvidenceFile `json:"files"`          // by name
	Left     []string       `json:"left,omitempty"` // files that were over the bounds, or are no longer kept, by name
}

// EvidenceFile is one file. Its content is kept beside it and read on its own.
type EvidenceFile struct {
	Name    string `json:"name"` // as probes.Attachment has it: fit everywhere
	Type    string `json:"type"` // media type
	Size    int    `json:"size"` // bytes of the content
	Content []byte `json:"-"`    // nil where it was not asked for
}

// Check returns an error when the evidence is over the bounds, or has no incident or a file twice.
func (e Evidence) Check() error {
	total := 0
	names := map[string]bool{}
	for _, f := range e.Files {
		if f.Name == "" || names[f.Name] {
			return fmt.Errorf("evidence of %s: the file name %q is empty or there twice", e.Incident, f.Name)
		}
		names[f.Name] = true
		total += len(f.Content)
	}
	switch {
	case e.Incident == "":
		return errors.New("evidence names no incident")
	case len(e.Text) > MaxEvidenceText:
		return fmt.Errorf("evidence of %s: the text is longer than %d bytes", e.Incident, MaxEvidenceText)
	case len(e.Files) > MaxEvidenceFiles, total > MaxEvidenceBytes:
		return fmt.Errorf("evidence of %s: %d files of %d bytes are too much: at most %d of %d are kept", e.Incident, len(e.Files), total, MaxEvidenceFiles, MaxEvidenceBytes)
	}
	return nil
}
