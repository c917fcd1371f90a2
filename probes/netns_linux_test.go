package probes_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// namespaceEnv marks the test binary's second run, inside a network namespace of its own.
const namespaceEnv = "FIRSTCALL_TEST_NAMESPACE"

// mappedEnv says that it is in a user namespace as well, because the test was not run by root.
const mappedEnv = "FIRSTCALL_TEST_MAPPED"

// inNamespace runs the calling test again in a process with a network namespace of its own, whose loopback is up and which leads
// nowhere, and reports true there. Without root that needs user namespaces; where even these are refused it reports false and
// calls denied with the reason.
func inNamespace(t *testing.T, denied func(reason error)) bool {
	t.Helper()
	if os.Getenv(namespaceEnv) == t.Name() {
		loopbackUp(t)
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), namespaceEnv+"="+t.Name())
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.Env = append(cmd.Env, mappedEnv+"=1")
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		denied(err)
		return false
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(output.String(), "--- PASS: "+t.Name()) {
		t.Errorf("in its namespace: %v\n%s", err, output.String())
	}
	return false
}

// loopbackUp is `ip link set lo up`.
func loopbackUp(t *testing.T) {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(socket) }()
	request := struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP}
	copy(request.name[:], "lo")
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(socket), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		t.Fatalf("bringing the loopback up: %v", errno)
	}
}

func sysctl(t *testing.T, file, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/"+file, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}
