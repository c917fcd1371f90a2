//go:build servers

package notify_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// over is a trunk at a called party.
func over(callee *servers.SIPP, transport string) notify.Via {
	return notify.Via{
		Kind: "sip", Trunk: "sip:" + callee.Address + ";transport=" + transport, User: servers.SIPPUser, Password: secret.New(servers.SIPPSecret),
		From: "+45 70 00 00 00",
	}
}

func TestPhoneCallsOverATrunk(t *testing.T) {
	tests := []struct {
		party string
		proof string // regular expression; "": an error
		want  string // in the error
		calls int
	}{
		{servers.SIPPAnswers, `^\+4500000001: answered after 0 s, heard 2 of 2 s$`, "", 1},
		{servers.SIPPPassword, `^\+4500000001: answered after 0 s, heard 2 of 2 s$`, "", 2},
		{servers.SIPPHangsUp, `^\+4500000001: answered after 0 s, heard 1 of 2 s, then hung up$`, "", 1},
		{servers.SIPPBusy, "", `nobody answered: +4500000001: busy (486 Busy Here); +4500000002: busy (486 Busy Here): see`, 2},
		{servers.SIPPRejects, "", `nobody answered: +4500000001: rejected (603 Decline); +4500000002: rejected (603 Decline): see`, 2},
		{servers.SIPPForbids, "", "403 Forbidden): check via.user", 2},
		{servers.SIPPRings, "", `nobody answered: +4500000001: no answer (rang for 5 s); +4500000002: no answer (rang for 5 s): see`, 2},
	}
	for _, test := range tests {
		t.Run(test.party, func(t *testing.T) {
			t.Parallel()
			callee := servers.StartSIPP(t, test.party, "udp")
			p := notify.Phone{Via: over(callee, "udp"), Recording: recordingFile(t), Repeat: 1, Ring: 5 * time.Second}
			proof, err := caller(t, &p).Send(t.Context(), opened(firstNumber, secondNumber))
			switch {
			case test.proof == "" && (err == nil || !strings.Contains(err.Error(), test.want) || notify.Permanent(err)):
				t.Errorf("error %v, want %q", err, test.want)
			case test.proof != "" && (err != nil || !regexp.MustCompile(test.proof).MatchString(proof)):
				t.Errorf("proof %q, %v, want %s", proof, err, test.proof)
			}
			if got := callee.Requests("INVITE"); got != test.calls {
				t.Errorf("%d requests for a call, want %d", got, test.calls)
			}
			if err != nil && strings.Contains(err.Error(), servers.SIPPSecret) || strings.Contains(callee.Messages(), servers.SIPPSecret) {
				t.Error("the password is told")
			}
		})
	}
}

func TestPhoneSpeaksTheMessage(t *testing.T) {
	callee := servers.StartSIPP(t, servers.SIPPAnswers, "tcp")
	m := opened(firstNumber)
	m.Subject, m.Text = "[FC-1] P1 a: b", ""
	proof, err := caller(t, &notify.Phone{Via: over(callee, "tcp"), Repeat: 1}).Send(t.Context(), m)
	heard := regexp.MustCompile(`heard ([0-9]+) of ([0-9]+) s$`).FindStringSubmatch(proof)
	if err != nil || heard == nil || heard[1] != heard[2] || heard[1] < "5" && len(heard[1]) == 1 {
		t.Errorf("proof %q, %v", proof, err)
	}
}

func TestPhoneTellsTheTrunkHowItIsReached(t *testing.T) {
	callee := servers.StartSIPP(t, servers.SIPPBusy, "udp")
	via := over(callee, "udp")
	via.PublicAddress, via.MediaPorts = "203.0.113.5", "31001-31099"
	if _, err := caller(t, &notify.Phone{Via: via, Recording: recordingFile(t)}).Send(t.Context(), opened(firstNumber)); err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`From: "firstcall" <sip:\+4570000000@127\.0\.0\.1>`, `c=IN IP4 203\.0\.113\.5`, `m=audio 310[0-9][02468] RTP`, `Contact: .*@203\.0\.113\.5:[0-9]+`, `Via: SIP/2.0/UDP 203\.0\.113\.5.*;rport`, `INVITE sip:\+4500000001@127\.0\.0\.1:[0-9]+ SIP`} {
		if !regexp.MustCompile(want).MatchString(callee.Messages()) {
			t.Errorf("no %s in\n%s", want, callee.Messages())
		}
	}
}

func TestPhoneWithNobodyAtTheTrunk(t *testing.T) {
	callee := servers.StartSIPP(t, servers.SIPPBusy, "udp")
	callee.Stop()
	begin := time.Now()
	_, err := caller(t, &notify.Phone{Via: over(callee, "udp"), Recording: recordingFile(t)}).Send(t.Context(), opened(firstNumber, secondNumber))
	if err == nil || notify.Permanent(err) || !strings.Contains(err.Error(), "trunk not reached (nobody listens there): check via.trunk") || strings.Contains(err.Error(), secondNumber) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestPhoneEndsWithItsContext(t *testing.T) {
	callee := servers.StartSIPP(t, servers.SIPPRings, "udp")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := caller(t, &notify.Phone{Via: over(callee, "udp"), Recording: recordingFile(t)}).Send(ctx, opened(firstNumber, secondNumber))
	if !errors.Is(err, context.DeadlineExceeded) || !callee.Heard("CANCEL") {
		t.Errorf("error %v", err)
	}
	if got := callee.Requests("INVITE"); got != 1 {
		t.Errorf("%d calls", got)
	}
}
