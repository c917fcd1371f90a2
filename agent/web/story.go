package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Bounds on the pages of the past.
const (
	historySize = 50
	pageEvents  = 200
	pageNotices = 200
)

// builtIn matches the numbers of the built-in desk, whose cases are worked on with `firstcall cases`.
var builtIn = regexp.MustCompile(`^FC-\d{4}-\d{6}$`)

// eventRow is a step of a timeline.
type eventRow struct {
	At       moment
	Kind     incident.EventKind
	Actor    string
	Text     string
	Priority incident.Priority
}

func (s *site) eventRow(e incident.Event, now time.Time) eventRow {
	text := e.Text
	if e.Kind == incident.EventEvidence {
		text, _, _ = strings.Cut(text, "\n") // the whole stands in a section of its own
	}
	return eventRow{s.when(e.At, now), e.Kind, clean(e.Actor), clean(text), e.Priority}
}

// caseRow is a case at one desk.
type caseRow struct {
	Desk, Number, URL string
	State             string
	Taken             string // when, by whom and after how long somebody acknowledged it
	Rectified         string // when and by whom it was temporarily rectified
	BuiltIn           bool
	Live              bool
	Holds             []holdRow
	Earlier           []earlierRow
}

type holdRow struct {
	From, To       moment
	Left, Answered moment // where the hold ended at another instant than these
	Lasts          bool
	Actor, Reason  string
}

// earlierRow is a case that another one followed.
type earlierRow struct {
	Number, URL string
	Resolved    moment
	By          string
}

func (s *site) caseRow(c incident.Case, i incident.Incident, now time.Time) caseRow {
	row := caseRow{
		Desk: clean(c.Desk), Number: clean(c.Number), URL: webLink(c.URL), State: string(c.State),
		BuiltIn: builtIn.MatchString(c.Number), Live: c.State.Live(),
	}
	if c.State == incident.CaseWanted {
		row.State = "being opened"
	}
	if !c.Acknowledged.IsZero() {
		row.Taken = fmt.Sprintf("%s by %s, after %s", precise(c.Acknowledged, now, s.Zone), clean(c.AcknowledgedBy), span(c.Acknowledged.Sub(born(c, i))))
		if c.State != incident.CaseAcknowledged {
			row.Taken = "acknowledged " + row.Taken
		}
	}
	if !c.Rectified.IsZero() {
		row.Rectified = precise(c.Rectified, now, s.Zone) + " by " + clean(c.RectifiedBy)
	}
	for _, h := range c.Holds {
		row.Holds = append(row.Holds, s.holdRow(h, now))
	}
	for _, e := range slices.Backward(c.Earlier) {
		row.Earlier = append(row.Earlier, earlierRow{clean(e.Number), webLink(e.URL), s.when(e.Resolved, now), clean(e.ResolvedBy)})
	}
	return row
}

func (s *site) holdRow(h incident.Hold, now time.Time) holdRow {
	row := holdRow{From: s.when(h.From, now), To: s.when(h.To, now), Lasts: h.To.IsZero(), Actor: clean(h.Actor), Reason: clean(h.Reason)}
	if !h.Answered.IsZero() {
		row.Answered = s.when(h.Answered, now)
	}
	if !h.Left.IsZero() && !h.Left.Equal(h.To) {
		row.Left = s.when(h.Left, now)
	}
	return row
}

// webLink returns raw when it is an http address, and "" otherwise: a desk is not trusted to name a link.
func webLink(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return ""
	}
	return raw
}

type incidentPage struct {
	page
	Incident                                   incident.Incident
	Started, Opened, Commencement, ReactionDue moment
	Ended, Closed                              moment
	Gross, Net                                 string
	HasHolds                                   bool
	Clock                                      clockRow
	Cases                                      []caseRow
	Due                                        []dueRow
	Work                                       []workRow // live cases of the built-in desk
	Silence                                    *orderRow // by which people are not told; nil: none
	Choices                                    []choice
	First                                      []factRow
	Timeline                                   []eventRow
	Earlier                                    int
	Notices                                    []noticeRow
	MoreNotices                                int
	Evidence                                   *evidenceRow // nil: none was gathered
}

// workRow is a case that people may work on here.
type workRow struct {
	Number    string
	New, Held bool
}

type noticeRow struct {
	incident.Notice
	Due, Sent, Next moment
	Proof, Error    string
}

func (s *site) incidentPage(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	st, err := s.story(ctx, r.PathValue("id"))
	if err != nil {
		s.refuse(w, r, asFault(err))
		return
	}
	if !st.Incident.Open() {
		st.Incident = st.Incident.AtWorst()
	}
	now, i := s.Now(), st.Incident
	p := incidentPage{
		page: s.page(r, i.Priority.String()+" "+clean(i.Title), levelOf(i)), Incident: i,
		Started: s.when(i.Started, now), Opened: s.when(i.Opened, now), Commencement: s.when(i.Commencement, now), ReactionDue: s.when(i.ReactionDue, now),
		Ended: s.when(i.Ended, now), Closed: s.when(i.Closed, now), Gross: exact(st.Downtime.Gross), Net: exact(st.Downtime.Net),
		Clock: s.clockRow(st.Clock, i, now), Due: s.dueRows(st.Deliveries, now), Evidence: s.evidenceRow(st),
	}
	for _, c := range st.Cases {
		row := s.caseRow(c, i, now)
		p.Cases = append(p.Cases, row)
		p.HasHolds = p.HasHolds || len(row.Holds) > 0
		if row.BuiltIn && row.Live {
			p.Work = append(p.Work, workRow{row.Number, c.State == incident.CaseNew, c.State == incident.CaseHeld})
		}
	}
	p.Silence, p.Choices, p.First = s.silence(st.Incident, now), choices, s.firstFacts(ctx, st.Incident, now)
	cut := max(0, len(st.Timeline)-pageEvents)
	p.Earlier = st.Earlier + cut
	for _, e := range slices.Backward(st.Timeline[cut:]) {
		p.Timeline = append(p.Timeline, s.eventRow(e, now))
	}
	p.MoreNotices = max(0, len(st.Notices)-pageNotices)
	for _, n := range slices.Backward(st.Notices[p.MoreNotices:]) {
		p.Notices = append(p.Notices, noticeRow{n, s.when(n.Due, now), s.when(n.Sent, now), s.when(n.NextTry, now), clean(n.Proof), clean(n.LastError)})
	}
	s.render(w, http.StatusOK, "incident", p)
}

func levelOf(i incident.Incident) Level {
	switch {
	case !i.Open():
		return levelWell
	case i.Priority == incident.P1, i.Priority == incident.P2:
		return levelAlarm
	}
	return levelNotice
}

// casePage leads from a number, as people say it on the telephone, to its incident.
func (s *site) casePage(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	number := r.PathValue("number")
	c, err := s.byNumber(ctx, number)
	if err != nil {
		s.refuse(w, r, asFault(fmt.Errorf("case %q: %w", bounded(clean(number), 60), err)))
		return
	}
	w.Header().Set("Location", "../incidents/"+url.PathEscape(c.Incident)) // relative: right below any prefix
	w.WriteHeader(http.StatusSeeOther)
}
