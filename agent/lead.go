package agent

import (
	"hash/fnv"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident/store"
)

// role is what an agent is among those of its tenant.
type role int

const (
	follower role = iota // it probes and votes; another judges, or nobody yet
	leader               // it judges, by the votes of all, and its store is the shared one
	alone                // it judges by itself, and its store is its own: the shared one does not answer
)

func (r role) String() string { return [...]string{"follower", "leader", "alone"}[r] }

// instant is a moment by two clocks: the monotonic one, which does not jump but stands still while a machine is suspended, and the
// wall clock, which does not stand still but may be set.
type instant struct {
	mono time.Duration
	wall time.Time
}

// since returns how much time passed at the most between two instants.
func (i instant) since(o instant) time.Duration { return max(i.mono-o.mono, i.wall.Sub(o.wall)) }

const (
	// stalled is how long nothing may be heard of the clock before the agent was stopped, or did not get to run: what it knew of the
	// store is of before, and the time for which the store has been away is counted anew.
	stalled = 10 * time.Second
	// enough is how many beats in a row must fail before the store is away.
	enough = 3
	// oweFor is how long the lead is left to others while what was done alone is not handed over yet.
	oweFor = 30 * time.Second
	// unfitAfter is how many times in a row an agent that has the lead fails to begin to judge before it leaves the lead to others, for restFor.
	unfitAfter = 3
	restFor    = 30 * time.Second
	// vacant is how long nobody leads before that counts no more.
	vacant = 5 * time.Second
	// places are those among which agents that know nobody are spread.
	places = 3
)

// standing decides which role an agent has. It is pure: what it knows is what it is told, with the time. It is not safe for
// concurrent use.
type standing struct {
	grace   time.Duration // how long the shared store is away before the first agent judges alone; 0: none ever does
	stagger time.Duration // by how much later each next one does, so that it finds at the desk what those before it opened

	role   role
	self   string   // this agent's voter name; "": it was never told
	leads  string   // who leads, or led last
	voters []string // that live, or lived when the store last answered, itself too; sorted
	rank   int      // how many judge alone before an agent that knows of no voters
	epoch  int64    // of the lead, while it has it
	until  instant  // the lead is sure until then, by either clock
	away   instant  // since when the shared store does not answer
	failed int      // beats that failed in a row
	last   instant  // newest input
	term   int      // counts the changes of role
	since  instant  // of the role
	ending bool     // the agent stops: it takes no role any more
	owes   bool     // what was done alone is not handed over yet
	owed   instant  // since when the store answers and that could be done

	unfit int           // times in a row that it had the lead and could not begin to judge, one a second at the most
	tried time.Duration // monotonic time of the newest
	rests time.Duration // until which the lead is left to others for that
	held  time.Duration // at which somebody led, as far as was heard
}

// begin starts at now, as a follower; owes says that an earlier life was alone and handed nothing over.
func (s *standing) begin(now instant, owes bool) {
	s.last, s.since, s.away, s.owed, s.owes = now, now, now, now, owes
}

// company is who votes and leads, or did when the store last answered. It can be written as JSON.
type company struct {
	Self   string   `json:"self"`
	Leads  string   `json:"leads"`
	Voters []string `json:"voters"`
}

// company returns it.
func (s *standing) company() company { return company{s.self, s.leads, s.voters} }

// recall goes by the company of an earlier life until the store answers. An agent that has none leaves so many before it, by its name: those that know
// more, and others that know as little, so that they do not all judge alone at the same moment.
func (s *standing) recall(c company, name string) {
	s.self, s.leads, s.voters = c.Self, c.Leads, c.Voters
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	s.rank = 1 + int(h.Sum32()%places)
}

// pass lets time pass: a lead that was not renewed is over.
func (s *standing) pass(now instant) {
	if now.since(s.last) > stalled {
		s.away = now
	}
	s.last = now
	if s.role == leader && !s.sure(now) {
		s.become(follower, now)
	}
}

// sure reports whether nobody else can have the lead.
func (s *standing) sure(now instant) bool {
	return now.mono < s.until.mono && now.wall.Before(s.until.wall)
}

// become changes the role. An agent that stops gets none but that of a follower.
func (s *standing) become(r role, now instant) {
	if s.role != r && (r == follower || !s.ending) {
		s.role, s.since = r, now
		s.term++
	}
}

// heard takes the answer to a beat that was sent at an instant.
func (s *standing) heard(sent, now instant, r store.Round) {
	s.pass(now)
	if s.failed > 0 && s.role != leader || s.role == alone {
		s.owed = now
	}
	s.failed, s.away = 0, now
	if s.role == leader && r.Epoch != s.epoch { // it was another's meanwhile
		s.become(follower, now)
	}
	s.self, s.epoch = r.Self, r.Epoch
	if r.Leader != "" {
		s.leads, s.held = r.Leader, now.mono
	}
	s.voters = []string{r.Self}
	for _, p := range r.Peers {
		s.voters = append(s.voters, p.Voter)
	}
	slices.Sort(s.voters)
	switch {
	case s.role == alone:
		s.owes = true
		s.become(follower, now)
	case r.Leading:
		s.until = instant{sent.mono + r.Lease, sent.wall.Add(r.Lease)}
		if s.sure(now) {
			s.become(leader, now)
		}
	default:
		s.become(follower, now)
	}
}

// missed takes a beat that failed: the shared store did not answer.
func (s *standing) missed(now instant) {
	s.pass(now)
	if s.failed++; s.failed == 1 {
		s.away = s.awaySince(now)
	}
	if s.role == follower && s.grace > 0 && s.failed >= enough && now.mono-s.away.mono >= s.wait() {
		s.become(alone, now)
	}
}

// awaySince is when the store was last known to answer, which no clock that was set makes earlier.
func (s *standing) awaySince(now instant) instant {
	if now.mono-s.away.mono > stalled {
		return now
	}
	return s.away
}

// wait returns how long the store is away before this agent judges alone: whoever led last, and knows most, is the first.
func (s *standing) wait() time.Duration {
	order := slices.Clone(s.voters)
	if at := slices.Index(order, s.leads); at >= 0 {
		order = slices.Insert(slices.Delete(order, at, at+1), 0, s.leads)
	}
	rank := slices.Index(order, s.self)
	if rank < 0 {
		rank = s.rank
	}
	return s.grace + time.Duration(rank)*s.stagger
}

// lost takes the word of the store that another agent leads.
func (s *standing) lost(now instant) {
	s.pass(now)
	if s.role == leader {
		s.until = now
		s.become(follower, now)
	}
}

// handed says that what was done alone is with the shared store.
func (s *standing) handed() { s.owes = false }

// end says that the agent stops: it keeps the role that it has, or loses it.
func (s *standing) end() { s.ending = true }

// led says whether the agent, which has the lead, could begin to judge.
func (s *standing) led(now instant, could bool) {
	switch {
	case could:
		s.unfit, s.rests = 0, 0
	case s.unfit == 0 || now.mono-s.tried >= voteEvery:
		s.unfit, s.tried = s.unfit+1, now.mono
	}
	if s.unfit >= unfitAfter {
		s.unfit, s.rests = 0, now.mono+restFor
	}
}

// wants reports whether the agent asks for the lead. One that was alone hands over first, so that whoever leads takes its cases up
// before it opens any; but not for ever. One that had the lead and could not judge leaves it to the others for a while, where there are any and
// one of them leads.
func (s *standing) wants(now instant) bool {
	handed := !s.owes || now.mono-s.owed.mono >= oweFor
	fit := now.mono >= s.rests || len(s.voters) < 2 || now.mono-s.held >= vacant
	return s.role != alone && (s.role == leader || !s.ending) && handed && fit
}

// shifts are by how much clocks are moved to another one. They are not safe for concurrent use.
type shifts map[string]shift

type shift struct {
	by    time.Duration
	doubt time.Time // what was said by that clock when it seemed to be further behind
}

// of returns by how much to move what somebody dates, who said something at an instant of its own clock and whose clock was measured then. What was
// measured first holds for as long as it is about right, so that what is dated does not wander. A clock that is further behind than was known
// may be a message that came late: the next one tells.
func (s shifts) of(name string, measured time.Duration, said time.Time) time.Duration {
	kept, known := s[name]
	switch off := measured - kept.by; {
	case known && off.Abs() < time.Second:
		kept.doubt = time.Time{}
	case known && off > 0 && (kept.doubt.IsZero() || kept.doubt.Equal(said)):
		kept.doubt = said
	default:
		kept = shift{by: measured}
	}
	s[name] = kept
	return kept.by
}
