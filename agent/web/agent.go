// Package web is the agent's face on HTTP: the status page, the JSON API, metrics and health. It observes, and hands operator
// actions on; it never stands in the path from probe to case.
package web

import (
	"context"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// Agent is what the pages show. The running agent implements it; every method is safe for concurrent use and quick.
type Agent interface {
	View() engine.View
	Health() Health
	// Recent returns the newest results of a probe that are held in memory (a few dozen), oldest first.
	Recent(probe string) []probes.Result
	// Info describes the configured probe; ok is false when there is none.
	Info(probe string) (info ProbeInfo, ok bool)
	// Reload reads the configuration again; the error holds every fault, and the old configuration goes on.
	Reload(ctx context.Context) error
	// Act performs an operator's action on the case with that number at the built-in desk.
	Act(ctx context.Context, number string, action desk.Action, actor, reason string) error
	// Accept takes the latency that a probe measures now as normal from now on; false: too little is measured to say what that is.
	Accept(probe, actor, reason string) bool
	// Order makes durable, and follows, what a person ordered for the time from From to Until, counted from now.
	Order(ctx context.Context, o incident.Order) (incident.Order, error)
	// EndOrder ends maintenance or silence before its time; the error wraps incident.ErrNotFound where there is none.
	EndOrder(ctx context.Context, kind incident.OrderKind, id int64, actor, reason string) (incident.Order, error)
	// Orders returns what people ordered, newest first, in force or over for less than 30 days.
	Orders() []incident.Order
	// Maintenance returns the maintenance between two instants, configured and ordered, by its start.
	Maintenance(from, to time.Time) []policy.Span
	// DeskChanged says that something changed at the desk of that name: its cases are read at once.
	DeskChanged(name string)
}

// Reader is the part of the store that the pages read; *store.Store implements it.
type Reader interface {
	Incidents(ctx context.Context, f store.IncidentFilter) ([]incident.Incident, error)
	Incident(ctx context.Context, id string) (incident.Incident, error)
	Timeline(ctx context.Context, id string, after int64) ([]incident.Event, error)
	Cases(ctx context.Context, id string) ([]incident.Case, error)
	CaseByNumber(ctx context.Context, number string) (incident.Case, error)
	Notices(ctx context.Context, id string) ([]incident.Notice, error)
	Results(ctx context.Context, probe string, from, to time.Time, limit int) ([]probes.Result, error)
	Evidence(ctx context.Context, id string) (incident.Evidence, error)
	EvidenceFile(ctx context.Context, id, name string) (incident.EvidenceFile, error)
	Rollups(ctx context.Context, probe string, from, to time.Time) ([]store.Rollup, error)
	CountIncidents(ctx context.Context, f store.IncidentFilter) (int, error)
}

// ProbeInfo is what the configuration says of a probe, without secrets.
type ProbeInfo struct {
	ID       string        `json:"id"`
	Kind     string        `json:"kind"`
	Interval time.Duration `json:"interval"`
	Timeout  time.Duration `json:"timeout"`

	Limits     map[string]time.Duration `json:"limits,omitempty"`     // absolute ones of latencies, by phase
	Thresholds map[string]float64       `json:"thresholds,omitempty"` // of numbers, by name
}

// Health is how the agent itself fares.
type Health struct {
	Started        time.Time         `json:"started"`
	Ready          bool              `json:"ready"` // configuration loaded and every probe with an interval of at most five minutes ran once
	Alive          bool              `json:"alive"` // the judging loop moved within the last 30 s
	AlertOnly      bool              `json:"alert_only"`
	ConfigFile     string            `json:"config_file"`
	ConfigDigest   string            `json:"config_digest"`
	ConfigLoaded   time.Time         `json:"config_loaded"`          // of the configuration in force
	ConfigError    string            `json:"config_error,omitempty"` // why the newest file is not in force
	ConfigRead     time.Time         `json:"config_read"`            // when the file was read last, with whatever result
	Lagging        bool              `json:"lagging"`
	LagReason      string            `json:"lag_reason,omitempty"`
	Delay          time.Duration     `json:"delay"`                   // worst of the last minute, from when a run was due to its start
	Stuck          int               `json:"stuck"`                   // runs that did not return after their time-out
	StoreError     string            `json:"store_error,omitempty"`   // why state cannot be written now
	StorePending   int               `json:"store_pending"`           // steps and results that wait for the store
	StoreBytes     int64             `json:"store_bytes"`             // on the disk; 0 in memory
	StoreWritten   time.Time         `json:"store_written,omitzero"`  // last write that succeeded
	DeskQueue      map[string]Queue  `json:"desk_queue,omitempty"`    // by desk: cases that are not as they should be
	NoticeQueue    map[string]Queue  `json:"notice_queue,omitempty"`  // by notifier: notices that are due
	DeskErrors     map[string]string `json:"desk_errors,omitempty"`   // by desk
	NoticeErrors   map[string]string `json:"notice_errors,omitempty"` // by notifier
	CasePending    int               `json:"case_pending"`            // incidents whose case is not yet as it should be
	OldestPending  time.Duration     `json:"oldest_pending"`
	Heartbeat      time.Time         `json:"heartbeat,omitzero"` // last one that was answered
	HeartbeatError string            `json:"heartbeat_error,omitempty"`

	// Of an agent that shares its store with others: docs/high-availability.md.
	Role       string    `json:"role,omitempty"`       // leader, follower or alone
	Voter      string    `json:"voter,omitempty"`      // the vantage's name among them
	Leader     string    `json:"leader,omitempty"`     // the voter that leads, as was last heard; "": nobody does
	Epoch      int64     `json:"epoch,omitempty"`      // of its lead
	AloneSince time.Time `json:"alone_since,omitzero"` // zero: the database answers, or this agent waits for its turn
	StoreAway  string    `json:"store_away,omitempty"` // why the database does not answer
	Vantages   []Vantage `json:"vantages,omitempty"`   // every agent that there is or was, by name
}

// Vantage is one of the agents that share a store.
type Vantage struct {
	Name   string    `json:"name"`
	Holder string    `json:"holder,omitempty"` // host and process
	Self   bool      `json:"self,omitempty"`
	Alive  bool      `json:"alive"` // it was heard of within the last 15 s
	Leads  bool      `json:"leads"`
	Beat   time.Time `json:"beat,omitzero"` // its last sign of life; zero: it stopped in good order
}

// Queue is what one desk or notifier has not heard yet.
type Queue struct {
	Pending  int           `json:"pending"`
	Oldest   time.Duration `json:"oldest"`   // how long the oldest has waited
	Failures int           `json:"failures"` // most attempts in a row that failed
}
