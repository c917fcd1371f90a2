package probes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/firstcall-agent/firstcall/probes/kerberos"
	"github.com/firstcall-agent/firstcall/probes/rdp"
)

// refusals are the answers about the account that end its use: it is not tried again (RFC 4120 7.5.9; [MS-KILE] 3.3.5.6).
var refusals = map[kerberos.Code]string{
	kerberos.ClientExpired: "it has expired",
	kerberos.ClientUnknown: "there is no such user in the realm",
	kerberos.NotUnique:     "its name is not unique in the realm",
	kerberos.NullKey:       "it has no key: its password must be set anew",
	kerberos.Policy:        "a policy forbids its log-on",
	kerberos.ClientRevoked: "it is locked out or disabled",
	kerberos.ClientNotYet:  "it is not valid yet",
	kerberos.KeyExpired:    "its password has expired, or must be changed first",
	kerberos.PreauthFailed: "its password is wrong",
	kerberos.BadIntegrity:  "its password is wrong", // of old KDCs
}

// unfit are the answers by which the account cannot be used like this, and that say nothing against it: they are repeated.
var unfit = map[kerberos.Code]string{
	kerberos.EtypeUnsupported:    "the kdc shares no encryption type with it",
	kerberos.PADataUnsupported:   "the kdc takes no password from it, as of one that must use a smart card",
	kerberos.PreauthRequired:     "the kdc takes no password from it in a way that is known here",
	kerberos.PreauthMoreRequired: "the kdc takes no password from it in a way that is known here",
	kerberos.ClientNotTrusted:    "the kdc takes no password from it, but a certificate",
	kerberos.ServiceUnknown:      "the kdc does not serve the realm: check kerberos.realm and kerberos.kdc",
	kerberos.WrongRealm:          "it is of another realm: check kerberos.realm",
}

// outages are the answers of a KDC that cannot do its work.
var outages = map[kerberos.Code]string{
	kerberos.ServiceUnavailable: "the domain controller cannot serve log-ons now",
	kerberos.Generic:            "the domain controller fails",
}

// unserved are the answers about a host's service that make every log-on to it with a domain account fail.
var unserved = map[kerberos.Code]string{
	kerberos.ServiceExpired: "the host's account in the domain has expired",
	kerberos.ServiceRevoked: "the host's account in the domain is disabled",
	kerberos.ServiceNotYet:  "the host's account in the domain is not valid yet",
}

// ticketless are those that only keep tickets from being issued.
var ticketless = map[kerberos.Code]string{
	kerberos.NotUnique:        "several accounts of the domain have the service principal",
	kerberos.EtypeUnsupported: "the domain controller shares no encryption type with the host's account",
	kerberos.NullKey:          "the host's account in the domain has no key",
}

// notAsked judges an exchange that ended before the account's secret was used.
func (t *ticketRun) notAsked(ctx context.Context, err error) Result {
	denial, answered := errors.AsType[*kerberos.Error](err)
	if answered {
		if t.x != nil {
			t.notes()
		}
		return t.denied(denial)
	}
	t.guard.clear()
	return t.noKDC(ctx, err)
}

// noKDC judges that no KDC answers as one.
func (t *ticketRun) noKDC(ctx context.Context, err error) Result {
	where := ""
	if at, ok := errors.AsType[*kerberos.KDCError](err); ok {
		where, err = " ("+at.KDC+")", at.Err
	}
	if errors.Is(err, kerberos.ErrFIPS) {
		return t.rec.Finish(Unknown, Internal, "%s: leave kerberos out", kerberos.ErrFIPS)
	}
	if violation, ok := errors.AsType[*kerberos.ProtocolError](err); ok {
		return t.rec.Finish(Down, Protocol, "%s%s", violation.Violation, where)
	}
	outcome, reason, detail := Classify(ctx, PhaseKerberos, err, Protocol)
	switch {
	case outcome == Down && reason == Timeout:
		return t.rec.Finish(Down, Timeout, "no log-on server: the domain controller%s does not answer kerberos (hung, or away)", where)
	case outcome == Down:
		return t.rec.Finish(outcome, reason, "no log-on server: %s%s", detail, where)
	}
	return t.rec.Finish(outcome, reason, "%s", detail)
}

// denied judges an answer about the account, and tells the guard.
func (t *ticketRun) denied(denial *kerberos.Error) Result {
	if words := refusals[denial.Code]; words != "" {
		status := rdp.Status(denial.Status)
		name := denial.Code.String()
		if m := meanings[status]; m.words != "" && !m.outage {
			words, name = m.words, name+", "+status.String() // Windows says it better
		}
		return t.probe.refused(t.rec, t.guard, time.Now(), words+" ("+name+")")
	}
	t.guard.clear()
	if words := unfit[denial.Code]; words != "" {
		return t.unfit(words, denial)
	}
	return t.outage(denial)
}

// unfit ends a run with an account that cannot be used like this. It is not the target's fault, and costs nothing to repeat.
func (t *ticketRun) unfit(words string, denial *kerberos.Error) Result {
	if denial != nil {
		words += " (" + denial.Code.String() + ")"
		if denial.Realm != "" && denial.Code == kerberos.WrongRealm {
			words += ", the kdc says " + Printable(denial.Realm, 80)
		}
	}
	if t.probe.Password.IsZero() {
		words += "; an nt_hash is good for rc4-hmac only, which many domains have off: give password"
	}
	detail := fmt.Sprintf("the monitoring account %s cannot be used with kerberos: %s", t.probe.who(), words)
	t.rec.Fact(FactAccount, detail)
	return t.rec.Finish(Unknown, Auth, "%s", detail)
}

// outage ends a run with a KDC that answers and does not do its work. What an error means that is in no table is not known: it
// is nobody's outage.
func (t *ticketRun) outage(denial *kerberos.Error) Result {
	if denial.Code == kerberos.Skew {
		return t.rec.Finish(Unknown, Local, "the domain controller's clock and this agent's differ too much (%s): check this host's time", denial.Code)
	}
	words := outages[denial.Code]
	if words == "" {
		return t.unfit("the domain controller refuses the request", denial)
	}
	return t.rec.Finish(Down, Status, "%s: %s", words, denial.Code)
}

// notAccepted judges a log-on that failed, and tells the guard.
func (t *ticketRun) notAccepted(ctx context.Context, err error) Result {
	now := time.Now()
	denial, answered := errors.AsType[*kerberos.Error](err)
	violation, wrong := errors.AsType[*kerberos.ProtocolError](err)
	switch {
	case answered:
		return t.denied(denial)
	case !t.x.Asked && errors.Is(err, kerberos.ErrNotProven):
		return t.probe.refused(t.rec, t.guard, now, "its password is wrong: the kdc's reply, which it gives without pre-authentication, is not made with it")
	case !t.x.Asked && errors.Is(err, kerberos.ErrNoTimestamp):
		t.guard.clear()
		return t.unfit("the kdc takes no password from it in a way that is known here", nil)
	case !t.x.Asked:
		t.guard.clear()
		return t.noKDC(ctx, err)
	case errors.Is(err, kerberos.ErrNotProven):
		t.guard.clear()
		return t.rec.Finish(Down, Protocol, "the kdc accepts the account without knowing its secret: it is none of the realm, or somebody stands between")
	case errors.Is(ctx.Err(), context.Canceled):
		t.guard.interrupted()
		return t.rec.Fail(ctx, err, Protocol)
	case ctx.Err() != nil:
		t.guard.doubtful(t.tries, true, now)
		return t.rec.Finish(Down, Timeout, "the domain controller %s takes the log-on and does not answer (hung)", t.x.KDC)
	case wrong:
		return t.probe.doubted(t.rec, t.guard, t.tries, now, violation.Violation)
	}
	return t.probe.doubted(t.rec, t.guard, t.tries, now, "the domain controller ends the connection without an answer")
}

// ticketDenied judges an answer about the host's service.
func (t *ticketRun) ticketDenied(denial *kerberos.Error) Result {
	switch words := unserved[denial.Code]; {
	case words != "":
		return t.rec.Finish(Down, Status, "%s: %s; nobody can log on with a domain account", words, denial.Code)
	case ticketless[denial.Code] != "":
		return t.withoutTickets("%s, %s (%s)", ticketless[denial.Code], t.probe.service, denial.Code)
	case denial.Code == kerberos.Policy:
		return t.unfit("a policy keeps it from "+t.probe.service, denial)
	case denial.Code == kerberos.ClientRevoked, denial.Code == kerberos.ClientExpired, denial.Code == kerberos.KeyExpired:
		return t.denied(denial)
	}
	return t.outage(denial)
}

// brokenOff ends a run whose account was accepted already; hung is what silence means.
func (t *ticketRun) brokenOff(ctx context.Context, err error, hung string) Result {
	if errors.Is(err, kerberos.ErrNotProven) {
		return t.rec.Finish(Down, Protocol, "the kdc's ticket is not made with the session's key: its database is at odds with itself, or somebody stands between")
	}
	if outcome, reason, _ := Classify(ctx, PhaseKerberos, err, Protocol); outcome == Down && reason == Timeout {
		return t.rec.Finish(Down, Timeout, "%s", hung)
	}
	return t.noKDC(ctx, err)
}
