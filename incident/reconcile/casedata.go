package reconcile

import (
	"reflect"
	"time"
)

// CaseText is what the templates of cases see. Cases are in English; times in them are in the tenant's zone and in UTC, to the
// second. Every text is one line and bounded; one that is not known, or that the moment does not have, is empty.
type CaseText struct {
	Priority     string   `doc:"P1 to P4; in a closing the highest that it had."`
	Level        string   `doc:"The same in the contract's words: 1 Critical, 2 Urgent, 3 Moderate, 4 Low."`
	Class        string   `doc:"availability, performance or capacity."`
	Root         string   `doc:"The component at the root, or solution for the entire customer solution."`
	Problem      string   `doc:"What is wrong, such as web-client is inaccessible."`
	Why          string   `doc:"Why this priority, by the contract, in numbers."`
	Reason       string   `doc:"Of the first failing result, such as timeout."`
	Judged       string   `doc:"Whose matter that is, by the contract, and why: judged infrastructure because ...; empty where it is not known."`
	Detail       []string `doc:"What is measured, a line a finding."`
	Evidence     []string `doc:"The newest result of every failing probe with its facts; none in a case that is read from the store."`
	Viewed       bool     `doc:"It is known what works: false in the parent case of a fleet, and in what 'desk render' makes of the store."`
	Works        []string `doc:"Components that answer."`
	Broken       []string `doc:"Other components that do not, each with what is wrong."`
	Story        []string `doc:"The timeline so far, in a body."`
	Tenant       string   `doc:"Name of the tenant."`
	TenantID     string   `doc:"Its id."`
	Contact      string   `doc:"The customer's contact: name, telephone, address."`
	Centre       Centre   `doc:"The Operations Centre: .Centre.Name and .Centre.Phone."`
	Key          string   `doc:"The case key."`
	Number       string   `doc:"The number of the case; empty on create."`
	Follows      string   `doc:"The number of the case that this one follows, which people resolved while the fault was still measured."`
	Started      string   `doc:"Start of the first failing result."`
	LastGood     string   `doc:"When a probe that fails now was last good."`
	Opened       string   `doc:"When it was confirmed and decided."`
	Commencement string   `doc:"From when the reaction time counts."`
	React        string   `doc:"When the reaction is due."`
	Ended        string   `doc:"Start of the first good result."`
	Closed       string   `doc:"When that was confirmed."`
	Gross        string   `doc:"Downtime, in a closing."`
	Held         string   `doc:"Of that, how long the case waited for the customer; empty where it did not."`
	Net          string   `doc:"Downtime less that."`
	HoldsOf      []string `doc:"The holds, in a closing: from when to when, by whom and why."`
	Into         string   `doc:"The number of the case that goes on, where the incident is absorbed."`
	Open         bool     `doc:"It lasts."`
	Absorbed     bool     `doc:"It ended since a wider incident explains it."`
	Removed      bool     `doc:"It ended since its component is no longer monitored."`
	Momentary    bool     `doc:"It ended by itself within the policy's momentary time."`
	Rejudged     bool     `doc:"It ended since the configuration now judges it functional."`
	Accepted     bool     `doc:"It ended since its latency is taken as normal."`
	AcceptedBy   string   `doc:"Who accepted the latency; empty: it has lasted."`
	Agent        string   `doc:"firstcall, its version and its vantage."`
	PageURL      string   `doc:"Address of the agent's page."`
	At           string   `doc:"In a note: when."`
	Kind         string   `doc:"In a note: opened, raised, lowered, joined, left, measured and so on."`
	Text         string   `doc:"In a note: what, in one sentence."`
	Times        Times    `doc:"The instants themselves, in UTC, for fields that want a form of their own: .Times.Started.Format \"2006-01-02 15:04:05\"; also Opened, Commencement, React, Ended, Closed. A zero one is not known: .Times.Ended.IsZero."`
}

// Times are the instants of an incident, in UTC; a zero one is not known.
type Times struct{ Started, Opened, Commencement, React, Ended, Closed time.Time }

// TextName is a name that the templates of cases see.
type TextName struct{ Name, Doc string }

// TextNames returns the names that the templates of cases see, in the order of CaseText.
func TextNames() []TextName {
	var all []TextName
	for f := range reflect.TypeFor[CaseText]().Fields() {
		all = append(all, TextName{f.Name, f.Tag.Get("doc")})
	}
	return all
}

// namesOf returns the names that a template sees behind a value of the type with that name; none for what is not ours.
func namesOf(typ string) []string {
	var names []string
	for _, t := range []reflect.Type{reflect.TypeFor[CaseText](), reflect.TypeFor[Centre](), reflect.TypeFor[Times]()} {
		if t.String() != typ {
			continue
		}
		for f := range t.Fields() {
			names = append(names, f.Name)
		}
	}
	return names
}
