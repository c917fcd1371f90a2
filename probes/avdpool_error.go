package probes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// who names the identity for a person.
func (i azureIdentity) who() string {
	if i.clientID != "" {
		return i.whose + " (" + i.credential + ", client " + i.clientID + ")"
	}
	return i.whose + " (" + i.credential + ")"
}

// identityAdvice says where each credential is set right.
var identityAdvice = map[string]string{
	workloadIdentity:  "check client_id, tenant_id and the federated credential of the application",
	managedIdentity:   "assign the identity to this machine, and check client_id",
	azureCLI:          "run az login",
	clientCertificate: "check tenant_id, client_id, and that the certificate is registered with the application and not expired",
}

// judge judges that no token was got. It is never the target's fault.
func (i azureIdentity) judge(ctx context.Context, err error) (Outcome, Reason, string) {
	local, isLocal := errors.AsType[localError](err)
	missing := i.tokenFile()
	failed, _ := errors.AsType[*azidentity.AuthenticationFailedError](err)
	switch {
	case ctx.Err() != nil || isTimeout(err):
		return i.unasked(ctx, err, "microsoft entra")
	case isLocal:
		return Unknown, Local, clause(local.err)
	case missing != nil:
		return Unknown, Local, clause(missing)
	case failed != nil && failed.RawResponse != nil:
		return i.judgeEntra(failed.RawResponse)
	case i.credential == azureCLI:
		return i.judgeCLI(err)
	}
	return i.unasked(ctx, err, "microsoft entra")
}

// judgeEntra judges an answer of Entra, or of a managed identity's endpoint, that holds no token.
func (i azureIdentity) judgeEntra(response *http.Response) (Outcome, Reason, string) {
	switch status := response.StatusCode; {
	case status == http.StatusTooManyRequests:
		return Unknown, Local, "microsoft entra throttles " + i.who() + " (429)"
	case status >= 500, status < 400:
		return Unknown, Local, fmt.Sprintf("microsoft entra answers %d and gives no token", status)
	default:
		text := fmt.Sprintf("microsoft entra refuses %s: status %d", i.who(), status)
		if said := entraText(response); said != "" {
			text += ", " + said
		}
		return Unknown, Auth, text + "; " + identityAdvice[i.credential]
	}
}

// entraText returns the code and the first sentence of an error of Entra (RFC 6749 section 5.2).
func entraText(response *http.Response) string {
	body, err := runtime.Payload(response)
	if err != nil {
		return ""
	}
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &said) != nil {
		return ""
	}
	first, _, _ := strings.Cut(said.Description, " Trace ID")
	first, _, _ = strings.Cut(first, "\n")
	if first = strings.TrimRight(first, " .\r"); first == "" {
		first = said.Error
	}
	return Printable(maskTokens(first), 140)
}

func (i azureIdentity) judgeCLI(err error) (Outcome, Reason, string) {
	if strings.Contains(err.Error(), "not found on path") {
		return Unknown, Local, "there is no az on this host's path: install the Azure CLI, or choose another credential"
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return Unknown, Auth, "az gives no token: " + Printable(strings.TrimRight(maskTokens(first), " ."), 160) + "; " + identityAdvice[azureCLI]
}

// unasked judges that there was no answer, or none that could be read. Like everything between the agent and Azure's control
// plane it proves nothing about the hosts.
func (i azureIdentity) unasked(ctx context.Context, err error, whom string) (Outcome, Reason, string) {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return Unknown, Local, "the run was cancelled before " + whom + " had answered"
	case ctx.Err() != nil || isTimeout(err):
		return Unknown, Local, whom + " did not answer in time: " + i.unknown + " is not known"
	}
	_, _, detail := Classify(ctx, "", err, Protocol)
	return Unknown, Local, whom + " cannot be asked: " + strings.TrimRight(Printable(maskTokens(detail), 250), ". ")
}

const armName = "azure resource manager"

// notFoundCodes are ARM's words for a resource, or the group that it is in, that is not there.
var notFoundCodes = regexp.MustCompile(`^(ResourceNotFound|ResourceGroupNotFound|NotFound)$`)

// judgeARM judges that the pool could not be read.
func (p *AVDPool) judgeARM(ctx context.Context, rec *Recorder, err error) (Outcome, Reason, string) {
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return p.judgeNoAnswer(ctx, err)
	}
	code := Printable(answer.ErrorCode, 60)
	rec.Fact("azure_error", strings.TrimSpace(strconv.Itoa(answer.StatusCode)+" "+code))
	if answer.RawResponse != nil {
		rec.Fact("correlation_id", Printable(answer.RawResponse.Header.Get("X-Ms-Correlation-Request-Id"), 64))
	}
	switch status := answer.StatusCode; {
	case status == http.StatusTooManyRequests:
		wait := retryAfter(answer.RawResponse)
		p.azure.pause(wait)
		return Unknown, Local, fmt.Sprintf("%s throttles %s (429) and asks to wait %s: the pool's state is not known", armName, p.identity().who(), wait)
	case status == http.StatusUnauthorized:
		p.azure.identity.drop(ctx)
		return Unknown, Auth, fmt.Sprintf("%s does not accept the token of %s (401 %s): check tenant_id and cloud", armName, p.identity().who(), code)
	case status == http.StatusForbidden:
		return Unknown, Auth, fmt.Sprintf("%s lacks the right to read host pool %s (403 %s): assign it the role of docs/probes-avd.md on resource group %s", p.identity().who(), p.HostPool, code, p.ResourceGroup)
	case status == http.StatusNotFound && notFoundCodes.MatchString(answer.ErrorCode):
		return Down, Status, fmt.Sprintf("azure has no host pool %s in resource group %s (%s): it was deleted or moved, or the configuration names another", p.HostPool, p.ResourceGroup, code)
	case status == http.StatusNotFound:
		return Unknown, Auth, fmt.Sprintf("%s does not see subscription %s (404 %s): check subscription, tenant_id and cloud", p.identity().who(), p.Subscription, code)
	case status >= 500:
		return Unknown, Local, fmt.Sprintf("%s answers %d %s: the pool's state is not known", armName, status, code)
	default:
		return Unknown, Internal, fmt.Sprintf("%s answers %d %s to a read of host pool %s", armName, status, code, p.HostPool)
	}
}

func (p *AVDPool) judgeNoAnswer(ctx context.Context, err error) (Outcome, Reason, string) {
	_, stray := errors.AsType[strayError](err)
	_, long := errors.AsType[tooLongError](err)
	_, many := errors.AsType[tooManyError](err)
	if _, identity := errors.AsType[*azidentity.AuthenticationFailedError](err); identity {
		return p.identity().judge(ctx, err)
	}
	switch {
	case ctx.Err() != nil || isTimeout(err):
		return p.identity().unasked(ctx, err, armName)
	case stray, long, many:
		return Unknown, Internal, clause(err)
	case strings.Contains(err.Error(), "unmarshalling"):
		return Unknown, Local, "what answers for " + armName + " is not it, or not whole: the answer is no json of a host pool; check for a proxy in the way"
	}
	return p.identity().unasked(ctx, err, armName)
}

// retryAfter returns how long an answer asks to wait: 30 s unless it says.
func retryAfter(response *http.Response) time.Duration {
	if response != nil {
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds >= 0 {
			return min(time.Duration(min(seconds, 1<<20))*time.Second, maxPause)
		}
	}
	return 30 * time.Second
}

// refused reports whether Azure says that the identity lacks a right.
func refused(err error) bool {
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && (answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized)
}
