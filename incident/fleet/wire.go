package fleet

import "time"

// Facts are what an agent tells of its tenant when it starts and when its configuration changes.
type Facts struct {
	Name       string            `json:"name"`
	Labels     map[string]string `json:"labels,omitempty"`
	Components []string          `json:"components"`
	URL        string            `json:"url,omitempty"` // of its page; "": people cannot reach it
	Vantage    string            `json:"vantage,omitempty"`
	Version    string            `json:"version,omitempty"`
}

// Status is what an agent believes now.
type Status struct {
	At         time.Time         `json:"at"` // by its own clock
	Outcome    string            `json:"outcome"`
	Blind      bool              `json:"blind,omitempty"`
	Trouble    string            `json:"trouble,omitempty"`    // why it cannot do its work, or not all of it; "": it can
	Components map[string]string `json:"components,omitempty"` // outcomes of those that are not up
}
