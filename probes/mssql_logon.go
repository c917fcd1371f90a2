package probes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/firstcall-agent/firstcall/probes/tds"
)

// maxRoutes bounds the redirects of one log-in: Azure SQL has one, a listener of an availability group another.
const maxRoutes = 3

// finish ends the run; where it was redirected, the sentence says so.
func (r *mssqlRun) finish(outcome Outcome, reason Reason, detail string) Result {
	if r.routed != "" {
		detail = "redirected to " + Printable(r.routed, 120) + ": " + detail
	}
	return r.rec.Finish(outcome, reason, "%s", detail)
}

// fail ends the run because of err; hung is what silence in this stage means, "" for that of connecting.
func (r *mssqlRun) fail(ctx context.Context, err error, fallback Reason, hung string) Result {
	if violation, ok := errors.AsType[*tds.ProtocolError](err); ok && ctx.Err() == nil {
		return r.finish(Down, Protocol, violation.Error())
	}
	if long, ok := errors.AsType[*tds.TooLongError](err); ok && ctx.Err() == nil {
		return r.finish(Down, Protocol, long.Error())
	}
	outcome, reason, detail := Classify(ctx, r.rec.Phase(), err, fallback)
	been, _ := r.probe.succeeded()
	switch {
	case outcome == Down && reason == Timeout && hung != "":
		return r.finish(Down, Timeout, hung)
	case r.routed == "":
		return r.rec.Fail(ctx, err, fallback)
	case outcome == Down && r.rec.Phase() == PhaseConnect && !been:
		return r.finish(Unknown, Local, detail+"; no log-in of this agent has been there before, so its own firewall may be in the way: let it out to ports 11000 to 11999, or set the server's connection policy to proxy")
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(e.UnverifiedCertificates) > 0 {
		r.rec.Certificate(e.UnverifiedCertificates[0])
	}
	return r.finish(outcome, reason, detail)
}

// token returns an access token, or the result of the run when there is none. It is asked for on connections of its own, whose
// phases are not the run's.
func (r *mssqlRun) token(ctx context.Context) (string, *Result) {
	azure := r.probe.azure
	r.rec.Begin(PhaseEntra)
	asking := azure.begin(NewRecorder(ctx))
	defer asking.end()
	token, err := azure.identity.GetToken(asking.context(ctx), policy.TokenRequestOptions{Scopes: []string{azure.identity.scope}, EnableCAE: true})
	r.rec.End()
	if err == nil {
		return token.Token, nil
	}
	outcome, reason, detail := r.probe.identity().judge(ctx, err)
	if reason == Auth {
		r.rec.Fact(FactAccount, detail)
	}
	result := r.rec.Finish(outcome, reason, "%s", detail)
	return "", &result
}

// mssqlAttempt is a log-in that the guard knows of.
type mssqlAttempt struct {
	guard guard
	tries int
}

// guarded logs in with a password, unless the account was refused before.
func (r *mssqlRun) guarded(ctx context.Context, conn *tds.Conn, end *func(), login tds.Login) (Result, bool) {
	g := r.probe.guard().aside(r.rec)
	over, ok := g.turn(ctx)
	if !ok {
		if errors.Is(ctx.Err(), context.Canceled) {
			return r.rec.Fail(ctx, ctx.Err(), Protocol), false
		}
		return r.rec.Finish(Unknown, Local, "other probes log in with %s all the time: give them longer intervals", r.probe.who()), false
	}
	defer over()
	if ctx.Err() != nil {
		return r.rec.Fail(ctx, ctx.Err(), Protocol), false
	}
	if _, same := r.probe.succeeded(); same {
		proven.Store(g.key, true)
	}
	tries, held := g.begin(time.Now())
	if held != nil {
		held.note(r.rec, "log-in with "+r.probe.who()+" is off: "+held.why)
		if held.silent { // the pre-login alone would say up while the log-in was last seen to hang
			return r.rec.Finish(Unknown, Auth, "log-in with %s is off: %s", r.probe.who(), held.why), false
		}
		return r.rec.Up(), false
	}
	return r.logon(ctx, conn, end, login, &mssqlAttempt{g, tries})
}

// logon logs in, where the server redirects at the next one too, and runs the query. There is no attempt for an access token,
// which no refusal locks.
func (r *mssqlRun) logon(ctx context.Context, conn *tds.Conn, end *func(), login tds.Login, a *mssqlAttempt) (Result, bool) {
	for range maxRoutes + 1 {
		r.rec.Begin(PhaseLogon)
		session, err := conn.Login(login)
		r.rec.End()
		switch {
		case err != nil:
			return r.judgeLogin(ctx, err, a)
		case session.Route == nil:
			return r.accepted(ctx, conn, session, a), false
		}
		r.routed = net.JoinHostPort(hostInRoute(session.Route), strconv.Itoa(int(session.Route.Port)))
		r.rec.Fact("routed_to", r.routed)
		(*end)()
		*end = func() {}
		next, finish, failed := r.open(ctx, r.routed)
		if failed != nil {
			a.clear()
			return *failed, false
		}
		conn, *end, login.Server = next, finish, session.Route.Server
	}
	a.clear()
	return r.finish(Down, Protocol, fmt.Sprintf("the servers redirect more than %d times", maxRoutes)), false
}

// hostInRoute returns the host of a redirect to host or host\instance.
func hostInRoute(route *tds.Route) string {
	host, _, _ := strings.Cut(route.Server, `\`)
	return host
}

func (a *mssqlAttempt) clear() {
	if a != nil {
		a.guard.clear()
	}
}

// accepted ends a run that is logged in.
func (r *mssqlRun) accepted(ctx context.Context, conn *tds.Conn, session tds.Session, a *mssqlAttempt) Result {
	if a != nil {
		a.guard.accepted()
	}
	r.probe.succeed()
	r.rec.Fact("logon", r.probe.who()+" is accepted")
	r.rec.Fact("database", session.Database)
	query := r.probe.Query
	if query == "" {
		query = "SELECT 1"
	}
	r.rec.Begin(PhaseQuery)
	rows, err := conn.Query(query)
	r.rec.End()
	switch {
	case err != nil:
		return r.judgeQuery(ctx, err)
	case rows == 0:
		return r.finish(Down, Content, "the query returns no row")
	}
	return r.rec.Up()
}

// recordSeen begins what is recorded of a log-in that succeeded; a latch that cannot tell says something else. The key of the
// account's guard follows, which changes with its secret.
const recordSeen = "a log-in succeeded with "

// succeeded reports whether a log-in to this server and database has succeeded, also before the agent was started anew: what
// fails then worked once. Same is set when that was with the same secret.
func (p *MSSQL) succeeded() (ever, same bool) {
	record, _, _ := ownLatch(p.latched()).Latched(p.seen)
	return strings.HasPrefix(record, recordSeen), record == recordSeen+p.key
}

func (p *MSSQL) succeed() {
	if _, same := p.succeeded(); !same {
		_ = ownLatch(p.latched()).Latch(p.seen, recordSeen+p.key) // without it a later fault is judged more carefully
	}
}

func (p *MSSQL) latched() Latch {
	if p.latch == nil {
		return processLatch
	}
	return p.latch
}
