//go:build linux

package servers

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed testdata/sipp/*.xml
var sippScenarios embed.FS

// The called parties that sipp plays.
const (
	SIPPAnswers       = "answers" // rings, answers, echoes each RTP packet, and takes the BYE
	SIPPBusy          = "busy"
	SIPPRejects       = "rejects" // 603
	SIPPForbids       = "forbids" // 403
	SIPPUnavailable   = "unavailable"
	SIPPRings         = "rings"          // until it is cancelled
	SIPPRingsOn       = "rings-on"       // and never sends the final answer after a CANCEL
	SIPPPassword      = "password"       // 401 for a call without SIPPUser and SIPPSecret, then answers
	SIPPProxyPassword = "proxy-password" // 407 first; it does not check what comes then
	SIPPHangsUp       = "hangs-up"       // 600 ms after it answered
	SIPPDeaf          = "deaf"           // answers without a session description
)

// What SIPPPassword wants.
const (
	SIPPUser   = "firstcall"
	SIPPSecret = "sip-s3cret"
)

// SIPP is a running called party.
type SIPP struct {
	*Process
	Address string // 127.0.0.1:port, of SIP
	log     string
}

// StartSIPP starts sipp as one of the called parties, over "udp" or "tcp".
func StartSIPP(t testing.TB, party, transport string) *SIPP {
	t.Helper()
	binary := program(t, "sipp", "sip-tester")
	dir := t.TempDir()
	port, media := FreePort(t), freePort(t, 0, 2) // it listens for sound, and two further for pictures
	s := &SIPP{Address: address(port), log: filepath.Join(dir, "messages.log")}
	args := []string{
		"-i", "127.0.0.1", "-p", fmt.Sprint(port), "-mi", "127.0.0.1", "-mp", fmt.Sprint(media), "-rtp_echo",
		"-nostdin", "-trace_msg", "-message_file", s.log, "-t", map[string]string{"udp": "u1", "tcp": "t1"}[transport],
	}
	if party == SIPPAnswers {
		args = append(args, "-sn", "uas")
	} else {
		scenario, err := sippScenarios.ReadFile("testdata/sipp/" + party + ".xml")
		if err != nil {
			t.Fatalf("sipp plays no %s: %v", party, err)
		}
		file := filepath.Join(dir, party+".xml")
		writeFile(t, file, scenario)
		args = append(args, "-sf", file)
	}
	build := func() *exec.Cmd {
		cmd := exec.Command(binary, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TERM=dumb")
		return cmd
	}
	if transport == "tcp" {
		s.Process = startProcess(t, "sipp", build, port)
		return s
	}
	s.Process = startProcess(t, "sipp", build)
	if err := until(readyWithin, func() (bool, error) { return bound(s.PID(), port) }); err != nil {
		t.Fatalf("sipp does not come up: %v\n%s", err, s.Log())
	}
	return s
}

// bound reports whether a UDP socket of 127.0.0.1 has the port, in the network namespace of process pid (proc(5), net/udp).
func bound(pid, port int) (bool, error) {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/udp", pid))
	return strings.Contains(string(table), fmt.Sprintf(": 0100007F:%04X ", port)), err
}

// Messages returns all that was said, in both directions.
func (s *SIPP) Messages() string {
	messages, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(messages)
}

// Requests returns how often requests of a method have arrived, repeated ones too.
func (s *SIPP) Requests(method string) int {
	n := 0
	for _, message := range strings.Split(s.Messages(), "message received")[1:] {
		_, text, _ := strings.Cut(message, "\n\n")
		if strings.HasPrefix(text, method+" ") {
			n++
		}
	}
	return n
}

// Heard reports whether a request of a method arrives soon.
func (s *SIPP) Heard(method string) bool {
	return until(stopWithin, func() (bool, error) { return s.Requests(method) > 0, nil }) == nil
}
