package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes/rdp"
)

// wellKnown are accounts that a probe must not risk: built-in ones, in the languages of their systems.
var wellKnown = []string{"administrator", "administrateur", "administrador", "administratör", "järjestelmänvalvoja", "guest", "krbtgt", "defaultaccount", "root"}

// maxUser bounds user and domain, in bytes: Windows' own limits are 256 and 255 characters.
const maxUser = 256

// checkAccount checks the keys of the log-on and prepares the account. No secret is kept but the hash.
func (p *RDP) checkAccount(faults *field.Errors) {
	given := p.User != "" || !p.Password.IsZero() || !p.NTHash.IsZero()
	if !p.names() {
		if given {
			faults.AddHint(firstOf(p.User != "", "user", !p.Password.IsZero(), "password", "nt_hash"), "use depth: logon", "has no effect at this depth")
		}
		return
	}
	wants := firstOf(p.Depth == depthLogon, "depth: logon", false, "", "kerberos")
	p.account.User, p.account.Domain = p.User, p.Domain
	switch domain, user, found := strings.Cut(p.User, `\`); {
	case found && domain == ".":
		p.account.User, p.account.Domain = user, ""
	case found:
		p.account.User, p.account.Domain = user, domain
	case strings.Contains(p.User, "@"):
		p.account.Domain = ""
	case p.Domain == "":
		p.account.Domain = p.Kerberos.Realm
	}
	switch {
	case p.account.User == "":
		faults.AddHint("user", "name an account of its own, with no rights but to log on", "%s needs a user", wants)
	case len(p.User) > maxUser || strings.ContainsAny(p.account.User, `\/"[]:|<>+=;,?*`) || strings.ContainsFunc(p.User, func(r rune) bool { return r < ' ' }):
		faults.AddHint("user", `write name, DOMAIN\name, .\name or name@domain`, "is no user name")
	case slices.Contains(wellKnown, strings.ToLower(p.account.User)):
		faults.AddHint("user", "name an account of its own, with no rights but to log on", "must not be a built-in account: a probe could lock it")
	}
	switch {
	case p.Password.IsZero() == p.NTHash.IsZero():
		faults.AddHint("password", "one of password and nt_hash", "%s needs one secret", wants)
	case p.Password.IsZero():
		hash, err := rdp.ParseNTHash(p.NTHash.Reveal())
		if err != nil {
			faults.Add("nt_hash", "%s", err)
		}
		p.account.Hash = hash
	default:
		p.account.Hash = rdp.HashOf(p.Password.Reveal())
	}
	if len(*faults) > 0 {
		return
	}
	scope := ""
	if p.account.Domain == "" && !strings.Contains(p.account.User, "@") {
		scope = p.target // an account of a domain is the same whatever the host
	}
	var err error
	if p.key, err = guardKey("rdp", p.account.User, p.account.Domain, scope, p.account.Hash.Bytes()); err != nil {
		faults.Add("password", "cannot be guarded against a lock-out: %s", clause(err))
	}
}

// names reports whether a stage is asked for that names an account.
func (p *RDP) names() bool { return p.Depth == depthLogon || p.Kerberos.Realm != "" }

// firstOf returns the word after the first condition that holds, or the last word.
func firstOf(a bool, ifA string, b bool, ifB, otherwise string) string {
	if a {
		return ifA
	}
	if b {
		return ifB
	}
	return otherwise
}

// who names the account for people.
func (p *RDP) who() string {
	if p.account.Domain == "" {
		return p.account.User
	}
	return p.account.Domain + `\` + p.account.User
}

// UsesAccount reports whether the probe logs on.
func (p *RDP) UsesAccount() bool { return p.Depth == depthLogon || p.Kerberos.Realm != "" }

// SetLatch makes the probe remember refusals in l. It is called before the first run.
func (p *RDP) SetLatch(l Latch) { p.latch = l }

// ResetLatch forgets that the account was refused; the next run tries it again.
func (p *RDP) ResetLatch() error {
	if !p.names() {
		return nil
	}
	return p.guard().reset()
}

// guard returns the account's guard.
func (p *RDP) guard() guard {
	if p.latch == nil {
		return guard{processLatch, p.key}
	}
	return guard{p.latch, p.key}
}

// logon is the last stage: the account is named, unless it was refused before.
func (p *RDP) logon(ctx context.Context, rec *Recorder, conn *rdp.Conn) Result {
	g := p.guard().aside(rec)
	end, ok := g.turn(ctx)
	if !ok {
		return p.waited(ctx, rec)
	}
	defer end()
	if ctx.Err() != nil {
		return rec.Fail(ctx, ctx.Err(), Protocol)
	}
	tries, held := g.begin(time.Now())
	if held != nil {
		off := "log-on with " + p.who() + " is off: " + held.why
		held.note(rec, off)
		if held.silent {
			// The challenge alone would say up while the log-on was last seen to hang.
			return rec.Finish(Unknown, Auth, "log-on with %s is off: %s", p.who(), held.why)
		}
		return rec.Up()
	}
	rec.Begin(PhaseLogon)
	err := conn.Logon(ctx, p.account)
	rec.End()
	return p.judgeLogon(ctx, rec, conn, g, tries, err)
}

// waited ends a run that found other log-ons of the account under way all the time.
func (p *RDP) waited(ctx context.Context, rec *Recorder) Result {
	if errors.Is(ctx.Err(), context.Canceled) {
		return rec.Fail(ctx, ctx.Err(), Protocol)
	}
	return rec.Finish(Unknown, Local, "other probes log on with %s all the time: give them longer intervals", p.who())
}

// judgeLogon turns what came of the log-on into a result, and tells the guard.
func (p *RDP) judgeLogon(ctx context.Context, rec *Recorder, conn *rdp.Conn, g guard, tries int, err error) Result {
	now := time.Now()
	status, answered := errors.AsType[*rdp.StatusError](err)
	switch {
	case err == nil:
		g.accepted()
		rec.Fact("logon", p.who()+" is accepted, the server is proven")
		return rec.Up()
	case !conn.Asked():
		g.clear()
		return p.notAsked(ctx, rec, err)
	case errors.Is(err, rdp.ErrBinding):
		g.accepted()
		return rec.Finish(Down, Protocol, "%s: somebody intercepts the connection, or the server's credssp is broken", rdp.ErrBinding)
	case answered && meanings[status.Status].outage:
		g.clear()
		return rec.Finish(Down, Status, "%s: %s; nobody can log on with a domain account", meanings[status.Status].words, status.Status)
	case answered && meanings[status.Status].words != "":
		return p.refused(rec, g, now, meanings[status.Status].words+" ("+status.Status.String()+")")
	case errors.Is(ctx.Err(), context.Canceled):
		g.interrupted()
		return rec.Fail(ctx, err, Protocol)
	case !answered && ctx.Err() != nil:
		g.doubtful(tries, true, now)
		return rec.Finish(Down, Timeout, "the authentication service takes the log-on and does not answer (hung, or its domain controller is)")
	}
	return p.doubted(rec, g, tries, now, unclear(err))
}

// notAsked judges a log-on that failed before the account was named.
func (p *RDP) notAsked(ctx context.Context, rec *Recorder, err error) Result {
	if errors.Is(err, rdp.ErrFIPS) {
		return rec.Finish(Unknown, Internal, "%s: use depth: challenge", rdp.ErrFIPS)
	}
	if violation, ok := errors.AsType[*rdp.ProtocolError](err); ok {
		rec.Fact("ladder", "ends at the challenge: "+violation.Error())
		return rec.Up()
	}
	return rec.Fail(ctx, err, Protocol)
}

// refused ends a run whose account was refused: not the target's fault, and not to be repeated.
func (p *RDP) refused(rec *Recorder, g guard, now time.Time, why string) Result {
	g.refused(fmt.Sprintf("refused at %s: %s", clockText(now), why))
	detail := fmt.Sprintf("the monitoring account %s is refused: %s; it is not tried again until its secret changes or an operator resets it", p.who(), why)
	rec.Fact(FactAccount, detail)
	return rec.Finish(Unknown, Auth, "%s", detail)
}

// unclear says how a log-on ended of which nobody knows how the account was judged.
func unclear(err error) string {
	if status, ok := errors.AsType[*rdp.StatusError](err); ok {
		return status.Error()
	}
	if violation, ok := errors.AsType[*rdp.ProtocolError](err); ok {
		return violation.Error()
	}
	if errors.Is(err, rdp.ErrNotProven) {
		return rdp.ErrNotProven.Error()
	}
	return "the server ends the connection without an answer, as old servers do to refuse"
}

// doubted ends a run of which nobody knows how the account was judged, and how it ended.
func (p *RDP) doubted(rec *Recorder, g guard, tries int, now time.Time, how string) Result {
	then := "it is tried once more after " + clockText(now.Add(doubtHold))
	if g.doubtful(tries, false, now) {
		then = "it is not tried again until its secret changes or an operator resets it"
	}
	detail := fmt.Sprintf("the monitoring account %s is probably refused: %s; %s", p.who(), how, then)
	rec.Fact(FactAccount, detail)
	return rec.Finish(Unknown, Auth, "%s", detail)
}

// meaning is what a status says of the target or of the account.
type meaning struct {
	outage bool // the target's: users cannot log on; else the account's
	words  string
}

// meanings is what the known statuses say ([MS-ERREF] 2.3.1; Microsoft's "Troubleshoot authentication errors when you use RDP to
// connect to Azure VM").
var meanings = map[rdp.Status]meaning{
	rdp.StatusLogonFailure:        {false, "its user name or password is wrong"},
	rdp.SecLogonDenied:            {false, "its user name or password is wrong"},
	rdp.StatusWrongPassword:       {false, "its password is wrong"},
	rdp.StatusNoSuchUser:          {false, "there is no such user"},
	rdp.StatusNoSuchDomain:        {false, "the host does not know its domain"},
	rdp.StatusAccountLockedOut:    {false, "it is locked out"},
	rdp.StatusPasswordExpired:     {false, "its password has expired"},
	rdp.StatusPasswordMustChange:  {false, "its password must be changed first"},
	rdp.StatusAccountExpired:      {false, "it has expired"},
	rdp.StatusAccountDisabled:     {false, "it is disabled"},
	rdp.StatusAccountRestriction:  {false, "a restriction forbids it, such as a blank password or the group protected users, which excludes ntlm"},
	rdp.StatusInvalidLogonHours:   {false, "it is outside its logon hours"},
	rdp.StatusInvalidWorkstation:  {false, "it may not log on from this agent's host"},
	rdp.StatusLogonTypeNotGranted: {false, "it lacks the right to log on over the network"},
	rdp.StatusAuthFirewallFailed:  {false, "selective authentication keeps it from this host"},
	rdp.StatusNTLMBlocked:         {false, "a policy blocks ntlm for it"},
	rdp.StatusNoLogonServers:      {true, "the host reaches no domain controller"},
	rdp.StatusDCNotFound:          {true, "the host finds no domain controller"},
	rdp.SecNoAuthority:            {true, "the host reaches no authority that could check an account"},
	rdp.StatusNetlogonNotStarted:  {true, "the host's netlogon service does not run"},
	rdp.StatusNoTrustSAMAccount:   {true, "the domain has no account for the host: its trust is broken"},
	rdp.StatusTrustedDomainFailure: {
		true, "the trust between the host's domain and the account's is broken",
	},
	rdp.StatusTrustFailure:       {true, "the host's trust with its domain is broken"},
	rdp.StatusTimeDifferenceAtDC: {true, "the clocks of the host and its domain controller differ too much"},
	rdp.SecTimeSkew:              {true, "the clocks of the host and its domain controller differ too much"},
	rdp.SecInternalError:         {true, "the host's local security authority fails"},
}

// ntlmOff are the statuses with which a server says that it does not take NTLM, or not in this wrapping.
var ntlmOff = []rdp.Status{
	rdp.StatusNTLMBlocked, rdp.StatusAuthFirewallFailed, rdp.SecUnsupportedFunction, rdp.SecPackageNotFound, rdp.SecNoCredentials, rdp.SecInvalidToken,
}

// spn is the service principal name of a host.
func spn(target string) string {
	host, _, err := net.SplitHostPort(target)
	if err != nil || net.ParseIP(host) != nil {
		return "" // an address has none
	}
	return "TERMSRV/" + host
}

// masked are the secrets that no text of a result may hold.
func (p *RDP) masked() []secret.Value {
	return []secret.Value{p.Password, p.NTHash}
}
