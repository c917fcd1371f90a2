package probes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/probes/tds"
)

// sqlClass is whose matter an error is.
type sqlClass uint8

const (
	sqlOther    sqlClass = iota // not in the table: its severity decides
	sqlDown                     // the server's or the database's: nobody works
	sqlResuming                 // as sqlDown, unless a serverless database is on its way back
	sqlShort                    // a limit is reached, or the service throttles
	sqlClosed                   // this agent's address or network is not let in
	sqlRefused                  // the account is refused: it is not tried again
	sqlForbids                  // the account is good and lacks a right
	sqlDatabase                 // the database is not there, or not for this account
)

// sqlMeaning is what an error says, in words that follow on "the server" or "the account".
type sqlMeaning struct {
	class sqlClass
	words string
}

// sqlMeanings are the errors that are told apart. Sources: [1] "Troubleshoot connectivity issues and other errors", Azure SQL;
// [2] "Auto-pause and auto-resume", serverless tier; [3] Microsoft's connection diagnosis for Azure SQL (microsoft/microsoft-sql);
// [4] "Database engine events and errors", SQL Server, and MSSQLSERVER_18456 there.
var sqlMeanings = map[int32]sqlMeaning{
	40613: {sqlResuming, "the database is not available at present"}, // [1] [2]
	40197: {sqlDown, "the service failed and has the connection tried again"},
	40143: {sqlDown, "the service failed, probably while it moves the database"},
	40166: {sqlDown, "the service moves the database"},
	40540: {sqlDown, "the service failed, probably while it moves the database"},
	4221:  {sqlDown, "the readable copy of the database is still catching up"},
	615:   {sqlDown, "the database was moved and cannot be opened yet"},
	926:   {sqlDown, "the database is marked suspect by its recovery"},

	40501: {sqlShort, "the service is busy and throttles"}, // [1]
	49918: {sqlShort, "the service lacks the resources for the request"},
	49919: {sqlShort, "the subscription has too many create or update operations under way"},
	49920: {sqlShort, "the subscription has too many operations under way"},
	10928: {sqlShort, "the database's limit of sessions or workers is reached"},
	10929: {sqlShort, "the server is too busy for more than the database's guaranteed share"},
	10936: {sqlShort, "the elastic pool's limit of requests is reached"},
	40544: {sqlShort, "the database has reached its size limit"},
	40549: {sqlShort, "the session was ended because of a long transaction"},
	40550: {sqlShort, "the session was ended because of too many locks"},
	40551: {sqlShort, "the session was ended because of its use of tempdb"},
	40552: {sqlShort, "the session was ended because of its use of the transaction log"},
	40553: {sqlShort, "the session was ended because of its use of memory"},
	701:   {sqlShort, "the server has no memory left"}, // [4]
	802:   {sqlShort, "the server has no memory left"},
	1105:  {sqlShort, "the database has no space left"},
	8645:  {sqlShort, "the server had no memory for the query in time"},
	8651:  {sqlShort, "the server has no memory for the query"},
	9002:  {sqlShort, "the transaction log is full"},
	17809: {sqlShort, "the server's limit of connections is reached"},

	42119: {sqlDown, "the database is paused, its free amount for this month is used up"},
	17142: {sqlDown, "the server is paused"}, // [4]
	17187: {sqlDown, "the server starts and takes no connections yet"},
	17197: {sqlDown, "the server is too slow to log anybody in"},
	18401: {sqlDown, "the server upgrades its databases and takes no connections"},
	18451: {sqlDown, "the server takes administrators only"},
	18461: {sqlDown, "the server is in single-user mode, and that user is there"},
	6005:  {sqlDown, "the server shuts down"},
	922:   {sqlDown, "the database is being recovered"},
	927:   {sqlDown, "the database is being restored"},
	942:   {sqlDown, "the database is offline"},
	945:   {sqlDown, "the database cannot be opened: files, memory or disk are missing"},
	952:   {sqlDown, "the database is in transition"},
	976:   {sqlDown, "the database is a secondary that cannot be read"},
	983:   {sqlDown, "the database's availability group is neither primary nor secondary here"},
	988:   {sqlDown, "the database lacks the quorum of its availability group"},

	40615: {sqlClosed, "the server's firewall does not let this agent in"}, // [1] [3]
	40914: {sqlClosed, "the server's rules for virtual networks do not let this agent in"},
	47073: {sqlClosed, "the server takes no connections from public networks"}, // [3]
	42101: {sqlClosed, "the server takes no connections from public networks"},
	40531: {sqlClosed, "the gateway cannot tell which server is meant: use its full name as address"},
	40532: {sqlClosed, "the gateway knows no such server for this agent"},

	18456: {sqlRefused, "its user name or password is wrong, or it may not log in here"}, // [4]
	18452: {sqlRefused, "the server takes accounts of windows only"},
	18470: {sqlRefused, "it is disabled"},
	18486: {sqlRefused, "it is locked out"},
	18487: {sqlRefused, "its password has expired"},
	18488: {sqlRefused, "its password must be changed first"},
	17892: {sqlForbids, "a logon trigger keeps it out"},
	229:   {sqlForbids, "it may not read what the query names"},
	262:   {sqlForbids, "it lacks a right that the query needs"},
	916:   {sqlForbids, "it is no user of the database"},

	4060: {sqlDatabase, "the database cannot be opened"}, // [1] [4]
	4064: {sqlDatabase, "the account's default database cannot be opened"},
	911:  {sqlDatabase, "there is no such database"},
}

// decisive returns the error that says most: a server adds 18456 to what really kept an account out.
func decisive(all tds.ServerErrors) (tds.ServerError, sqlMeaning) {
	best := all[0]
	for _, e := range all {
		known, before := sqlMeanings[e.Number], sqlMeanings[best.Number]
		if known.class != sqlOther && (before.class == sqlOther || (before.class == sqlRefused && known.class != sqlRefused)) {
			best = e
		}
	}
	return best, sqlMeanings[best.Number]
}

// fact is an error as evidence.
func sqlFact(e tds.ServerError) string {
	return fmt.Sprintf("%d, state %d, severity %d: %s", e.Number, e.State, e.Class, e.Message)
}

// judgeLogin judges a log-in that failed, and tells the guard; or says that the run waits for a database that resumes.
func (r *mssqlRun) judgeLogin(ctx context.Context, err error, a *mssqlAttempt) (Result, bool) {
	all, answered := errors.AsType[tds.ServerErrors](err)
	now := time.Now()
	switch {
	case answered:
		return r.judgeAnswer(ctx, all, a)
	case errors.Is(err, tds.ErrNoFedAuth):
		detail := "the server takes no access tokens: give it an administrator of entra, or use user and password"
		r.rec.Fact(FactAccount, detail)
		return r.finish(Unknown, Auth, detail), false
	case errors.Is(ctx.Err(), context.Canceled):
		if a != nil {
			a.guard.interrupted()
		}
	case a != nil:
		// A refusal is always told in words: an end without one is the server's, but it may have counted.
		a.guard.doubtful(a.tries, true, now)
	}
	return r.fail(ctx, err, Protocol, "server takes the log-in and does not answer (hung, or its database is)"), false
}

// judgeAnswer judges the errors with which a server answers a log-in.
func (r *mssqlRun) judgeAnswer(ctx context.Context, all tds.ServerErrors, a *mssqlAttempt) (Result, bool) {
	e, m := decisive(all)
	r.rec.Fact("sql_error", sqlFact(e))
	p := r.probe
	if m.class == sqlRefused || (m.class == sqlOther && e.Class < 17) {
		return r.refused(e, m, a), false
	}
	a.clear()
	if m.class == sqlResuming && r.waits(ctx) {
		return Result{}, true
	}
	own := func(detail string) (Result, bool) {
		r.rec.Fact(FactAccount, detail)
		return r.finish(Unknown, Auth, detail), false
	}
	text := fmt.Sprintf("%s (%d)", m.words, e.Number)
	switch m.class {
	case sqlClosed:
		return own(text + ": " + strings.TrimRight(said(e), ".") + "; add a rule for it, this is no fault of the database")
	case sqlForbids:
		return own("the monitoring account " + p.who() + " does not get in: " + text)
	case sqlDatabase:
		if ever, _ := p.succeeded(); !ever {
			return own(text + " by " + p.who() + ": check database, and whether the account is a user of it; no log-in has succeeded before, so it may never have been there")
		}
		return r.finish(Down, Status, text+", though "+p.who()+" has logged in to it before: it is gone, offline, or the account lost its right"), false
	default:
	}
	if e.Number == 10928 || e.Number == 17809 { // of sessions: while it lasts nobody gets in, which is more than a limit
		return r.finish(Down, Status, text+": nobody gets in"), false
	}
	return r.trouble(e, m), false
}

// waits reports whether there is time left to ask a database again that resumes.
func (r *mssqlRun) waits(ctx context.Context) bool {
	next := time.Now().Add(r.probe.pause)
	deadline, ok := ctx.Deadline()
	return next.Before(r.patience) && (!ok || next.Before(deadline))
}

// said is the first sentence of an error's message.
func said(e tds.ServerError) string {
	text := e.Message
	if i := strings.Index(text, "Client with IP address"); i >= 0 {
		text = text[i:] // names the address that the rule must let in
	}
	first, _, _ := strings.Cut(text, ". ")
	return Printable(first, 160)
}

// trouble judges an error of the server's own.
func (r *mssqlRun) trouble(e tds.ServerError, m sqlMeaning) Result {
	words := m.words
	if m.class == sqlOther {
		words = "the server fails: " + said(e)
	}
	text := fmt.Sprintf("%s (error %d, severity %d)", words, e.Number, e.Class)
	if m.class == sqlShort {
		return r.finish(Degraded, Capacity, text)
	}
	return r.finish(Down, Status, text)
}

// refused ends a run whose account was refused. An error that nobody knows and that a client could mend counts as a refusal too.
func (r *mssqlRun) refused(e tds.ServerError, m sqlMeaning, a *mssqlAttempt) Result {
	why := fmt.Sprintf("%s (%d)", m.words, e.Number)
	if m.class == sqlOther {
		why = fmt.Sprintf("%s (error %d)", said(e), e.Number)
	}
	detail := "the monitoring account " + r.probe.who() + " is refused: " + why
	if a == nil {
		// The next run has a new token: its rights may have changed, and no refusal locks it.
		r.probe.azure.identity.forget()
		detail += "; make it a user of the database (create user from external provider)"
	} else {
		a.guard.refused(fmt.Sprintf("refused at %s: %s", clockText(time.Now()), why))
		detail += "; it is not tried again until its secret changes or an operator resets it"
	}
	r.rec.Fact(FactAccount, detail)
	return r.finish(Unknown, Auth, detail)
}

// judgeQuery judges a query that failed after the log-in.
func (r *mssqlRun) judgeQuery(ctx context.Context, err error) Result {
	switch {
	case errors.Is(err, tds.ErrTooMuch):
		return r.finish(Degraded, Functional, tds.ErrTooMuch.Error()+": let it return one row")
	case errors.Is(err, tds.ErrRows):
		return r.finish(Degraded, Functional, tds.ErrRows.Error())
	}
	all, answered := errors.AsType[tds.ServerErrors](err)
	if !answered {
		return r.fail(ctx, err, Protocol, "server accepts the log-in and does not answer the query (hung or blocked)")
	}
	e, m := decisive(all)
	r.rec.Fact("sql_error", sqlFact(e))
	switch {
	case m.class == sqlDown, m.class == sqlResuming, m.class == sqlShort, m.class == sqlOther && e.Class >= 17:
		return r.trouble(e, m)
	case m.words != "":
		return r.finish(Degraded, Functional, fmt.Sprintf("the query of %s fails: %s (error %d)", r.probe.who(), m.words, e.Number))
	}
	return r.finish(Degraded, Functional, fmt.Sprintf("the query of %s fails: %s (error %d)", r.probe.who(), said(e), e.Number))
}
