package probes

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// perfionVerdict is what one answer means.
type perfionVerdict struct {
	outcome Outcome
	reason  Reason
	text    string
	doubt   doubtful // it is not believed before a second question
	refused bool     // the account was refused, or one is wanted
}

// doubtful says what a second question has to settle.
type doubtful uint8

const (
	certain    doubtful = iota
	ofServer            // a server's own failure: it must come twice
	ofQuestion          // a fault that blames nobody: infrastructure when even GetVersion fails
)

// Words in which the application says that what it stands on has failed: its database, or its own process. They are those of
// .NET's SqlClient, of Azure SQL (40613, 40197, 10928) and of ASP.NET.
var brokenWords = regexp.MustCompile(`(?i)network-related or instance-specific|server was not found or was not accessible|transport-level error|` +
	`(execution |connection )?timeout expired|semaphore timeout|cannot open (database|server)|login failed for user|is not currently available|` +
	`service has encountered an error processing your request|resource id ?: ?\d|the (underlying )?connection .{0,40}(broken|closed)|` +
	`pre-login handshake|out ?of ?memory|server too busy|could not load (file or assembly|type)|insufficient (system )?(memory|resources)`)

// Words in which the application refuses an account.
var refusalWords = regexp.MustCompile(`(?i)not authenticated|authentication (has )?(failed|is required|required)|` +
	`(invalid|wrong|incorrect|unknown) (user|password|credential|log-?in)|invalid_grant|` +
	`(user ?name|password|credentials?)( or password)? (is|are|was) (wrong|incorrect|invalid|not (valid|correct))|log-?(in|on) failed|no valid authentication token`)

var licenceWords = regexp.MustCompile(`(?i)licen[cs]e`)

// verdict judges an answer. The table is in docs/probes-perfion.md; a body that comes from the application counts more than the status.
func (a *perfionAnswer) verdict() perfionVerdict {
	switch status := a.status; {
	case status == http.StatusProxyAuthRequired:
		return perfionVerdict{outcome: Unknown, reason: Local, text: "a proxy wants to be authenticated to (407)"}
	case status == http.StatusUnauthorized, status == http.StatusForbidden && !a.html:
		return perfionVerdict{outcome: Degraded, reason: Auth, refused: true, text: "status " + a.line + a.words()}
	case status > http.StatusInternalServerError:
		return perfionVerdict{outcome: Down, reason: Status, text: "status " + a.line + a.words()}
	case a.complaint != "":
		return a.complained()
	case status == http.StatusInternalServerError:
		return perfionVerdict{outcome: Down, reason: Status, doubt: ofServer, text: "status " + a.line + a.words()}
	case a.html && status >= 200 && status <= 299:
		return perfionVerdict{outcome: Down, reason: Content, text: fmt.Sprintf("answers %d with a page in place of data%s: a proxy, a log-in or an error page", status, a.words())}
	case status >= 300 && status <= 399:
		return perfionVerdict{outcome: Down, reason: Content, text: fmt.Sprintf("status %s in place of data: redirects to %s, which is not followed", a.line, a.location)}
	case a.html, status == http.StatusNotFound, status == http.StatusGone, status == http.StatusRequestTimeout:
		return perfionVerdict{outcome: Down, reason: Status, text: "status " + a.line + a.words() + ": a web server answers, but not perfion; is url right?"}
	case status == http.StatusTooManyRequests:
		return perfionVerdict{outcome: Degraded, reason: Functional, text: "status " + a.line + ": give the probe a longer interval"}
	case status >= 400:
		return perfionVerdict{outcome: Degraded, reason: Functional, text: "status " + a.line + ": the application says that the request is wrong: check query"}
	case status < 200 || status > 299:
		return perfionVerdict{outcome: Down, reason: Status, text: "status " + a.line}
	case a.wrong != "":
		return perfionVerdict{outcome: Down, reason: Content, text: fmt.Sprintf("answers %d, but what comes %s", status, a.wrong)}
	}
	return perfionVerdict{outcome: Up}
}

// complained judges an answer in which the application says what is wrong.
func (a *perfionAnswer) complained() perfionVerdict {
	said := fmt.Sprintf("status %d, the application says %q", a.status, Printable(innermost(a.complaint), 200))
	serious := a.fault || a.status == http.StatusInternalServerError
	switch {
	case a.user != "" && ownRefusal(a.complaint, a.user):
		return perfionVerdict{outcome: Degraded, reason: Auth, refused: true, text: said}
	case serious && brokenWords.MatchString(a.complaint):
		return perfionVerdict{outcome: Down, reason: Status, doubt: ofServer, text: said}
	case licenceWords.MatchString(a.complaint):
		return perfionVerdict{outcome: Degraded, reason: Functional, text: said + ": its licence"}
	case refusalWords.MatchString(a.complaint):
		return perfionVerdict{outcome: Degraded, reason: Auth, refused: true, text: said}
	case serious && !a.fault:
		return perfionVerdict{outcome: Down, reason: Status, doubt: ofServer, text: said}
	case a.fault && !a.client:
		return perfionVerdict{outcome: Degraded, reason: Functional, doubt: ofQuestion, text: said}
	}
	return perfionVerdict{outcome: Degraded, reason: Functional, text: said + ": check query"}
}

// ownRefusal reports whether what SQL Server says of its own accounts, as of one with which the application logs in to its database, is
// said of the user that was shown.
func ownRefusal(complaint, user string) bool {
	_, named, _ := strings.Cut(strings.ToLower(complaint), "login failed for user ")
	user = strings.ToLower(user)
	for _, whole := range []string{"'" + user + "'", `"` + user + `"`, user + " "} {
		if strings.HasPrefix(named, whole) {
			return true
		}
	}
	return named == user || named == user+"."
}

// innermost returns the last of the exceptions that .NET strings together: the cause.
func innermost(text string) string {
	if i := strings.LastIndex(text, "---> "); i >= 0 && i+5 < len(text) {
		return text[i+5:]
	}
	return text
}

// words are the complaint or the title of a page, for a detail.
func (a *perfionAnswer) words() string {
	switch {
	case a.complaint != "":
		return fmt.Sprintf(" (%q)", Printable(a.complaint, 160))
	case a.title != "":
		return fmt.Sprintf(" (its title is %q)", a.title)
	}
	return ""
}

// alive reports whether the answer comes from the application itself, whatever it says.
func (a *perfionAnswer) alive() bool {
	v := a.verdict()
	return v.outcome == Up || v.outcome == Degraded
}

// settle judges a doubtful verdict by two more answers: that of GetVersion, nil when it was not asked, and what that of the same
// question again means.
func (v perfionVerdict) settle(version *perfionAnswer, second perfionVerdict) perfionVerdict {
	if second.doubt == certain {
		return second
	}
	how := ", twice"
	if second.text != v.text {
		how = "; the same question again: " + shortVerdict(second)
	}
	answers := version != nil && version.alive() && version.verdict().doubt == certain
	switch {
	case version == nil:
	case answers:
		how += "; getversion answers: the application runs, what it stands on may not"
	case version.verdict().text == v.text:
		how += "; getversion fails as well"
	default:
		how += "; getversion fails as well: " + shortVerdict(version.verdict())
	}
	if v.doubt == ofQuestion && second.doubt == ofQuestion && answers {
		return perfionVerdict{outcome: Degraded, reason: Functional, text: v.text + ", twice, while getversion answers: check query"}
	}
	return perfionVerdict{outcome: Down, reason: Status, text: v.text + how}
}

func shortVerdict(v perfionVerdict) string {
	if v.outcome == Up {
		return "answers"
	}
	return Printable(v.text, 120)
}
