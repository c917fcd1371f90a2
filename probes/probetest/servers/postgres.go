//go:build linux

package servers

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Postgres is a running PostgreSQL cluster of its own, of Debian's package postgresql. The superuser postgres comes in through the
// socket without a password; over TCP everybody has one.
type Postgres struct {
	*Process
	Port    int
	Address string // 127.0.0.1:port
	Dir     string // of the data
	socket  string // directory of the socket
	bin     string
}

// StartPostgres makes a cluster below a temporary directory and starts it, with further settings such as "wal_level=replica". It
// writes nothing through to the disk (fsync is off), which only a machine that crashes would notice.
func StartPostgres(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	p := newPostgres(t)
	p.run(t, "initdb", "-D", p.Dir, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256")
	p.start(t, settings)
	return p
}

// Standby makes a copy of the cluster that follows it, and starts it: it can be read only.
func (p *Postgres) Standby(t testing.TB) *Postgres {
	t.Helper()
	s := newPostgres(t)
	s.run(t, "pg_basebackup", "-D", s.Dir, "-h", p.socket, "-p", strconv.Itoa(p.Port), "-U", "postgres", "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	s.start(t, nil)
	return s
}

func newPostgres(t testing.TB) *Postgres {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL is not installed: apt-get install -y --no-install-recommends postgresql")
	}
	dir, err := os.MkdirTemp("", "postgres") //nolint:usetesting // only root may enter t.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &Postgres{Port: FreePort(t), Dir: filepath.Join(dir, "data"), socket: dir, bin: found[len(found)-1]}
	p.Address = address(p.Port)
	if os.Getuid() == 0 {
		uid, gid := nobody(t)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// nobody returns the user as whom the server runs where the tests are root's, since it refuses to be root's.
func nobody(t testing.TB) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid
}

func (p *Postgres) start(t testing.TB, settings []string) {
	t.Helper()
	p.Process = startProcess(t, "postgres", func() *exec.Cmd {
		args := []string{"-D", p.Dir, "-p", strconv.Itoa(p.Port), "-k", p.socket, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200"}
		for _, s := range settings {
			args = append(args, "-c", s)
		}
		return p.command(t, "postgres", args...)
	}, p.Port)
	p.await(t)
}

// command returns one of the cluster's programs, as a user who is not root; it dies with the test binary.
func (p *Postgres) command(t testing.TB, name string, args ...string) *exec.Cmd {
	path := filepath.Join(p.bin, name)
	if os.Getuid() == 0 {
		uid, gid := nobody(t)
		drop := []string{fmt.Sprint("--reuid=", uid), fmt.Sprint("--regid=", gid), "--clear-groups", "--pdeathsig=KILL", path}
		path, args = program(t, "setpriv", "util-linux"), append(drop, args...)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "LC_ALL=C.UTF-8")
	return cmd
}

func (p *Postgres) run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := p.command(t, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// await returns when the server takes connections: it listens before.
func (p *Postgres) await(t testing.TB) {
	t.Helper()
	err := until(readyWithin, func() (bool, error) {
		return p.command(t, "pg_isready", "-q", "-h", p.socket, "-p", strconv.Itoa(p.Port)).Run() == nil, nil
	})
	if err != nil {
		t.Fatalf("PostgreSQL takes no connections: %v\n%s", err, p.Log())
	}
}

// Start starts the server again, and returns when it takes connections.
func (p *Postgres) Start() {
	p.t.Helper()
	p.Process.Start()
	p.await(p.t)
}

// Crash ends the server with all its processes at once (SIGKILL), as if the machine had failed.
func (p *Postgres) Crash() {
	p.t.Helper()
	children := childrenOf(p.PID()) // which are in sessions of their own
	p.Kill()
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	err := until(readyWithin, func() (bool, error) {
		for _, pid := range children {
			if state, err := procState(pid); err == nil && state != 'Z' {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		p.t.Fatalf("processes of PostgreSQL are left: %v", err)
	}
}

// Stop ends the server, and with it every session.
func (p *Postgres) Stop() {
	children := childrenOf(p.PID())
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGTERM) // the server itself waits for sessions to end
	}
	p.Process.Stop()
}

// childrenOf returns the processes that a process has started.
func childrenOf(pid int) (children []int) {
	list, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range list {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) && pid > 0 {
			children = append(children, child)
		}
	}
	return children
}

// TLS has the server offer TLS with that certificate, and ask whoever comes over TLS for the password itself, as Azure's does for a
// token of Entra.
func (p *Postgres) TLS(t testing.TB, cert *Cert) {
	t.Helper()
	access := []byte("local all all trust\nhostssl all all 127.0.0.1/32 password\nhost all all 127.0.0.1/32 scram-sha-256\n")
	for name, from := range map[string]string{"server.crt": cert.CertFile, "server.key": cert.KeyFile, "pg_hba.conf": ""} {
		content := access
		if from != "" {
			var err error
			if content, err = os.ReadFile(from); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(p.Dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if os.Getuid() == 0 {
			uid, gid := nobody(t)
			if err := os.Chown(path, uid, gid); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.SQL(t, "postgres", "ALTER SYSTEM SET ssl = on")
	p.SQL(t, "postgres", "SELECT pg_reload_conf()")
	err := until(readyWithin, func() (bool, error) { return p.SQL(t, "postgres", "SHOW ssl") == "on", nil })
	if err != nil {
		t.Fatalf("PostgreSQL offers no TLS: %v\n%s", err, p.Log())
	}
}

// SQL runs statements as the superuser and returns what they print, without headings.
func (p *Postgres) SQL(t testing.TB, database, query string) string {
	t.Helper()
	return strings.TrimSpace(p.run(t, "psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-h", p.socket, "-p", strconv.Itoa(p.Port), "-U", "postgres", "-d", database, "-c", query))
}

// Database makes a role that may log in with a password, which is its name, and a database of its own and of the same name. It
// returns its address.
func (p *Postgres) Database(t testing.TB, name string) string {
	t.Helper()
	p.SQL(t, "postgres", fmt.Sprintf("CREATE ROLE %[1]s LOGIN PASSWORD '%[1]s'", name))
	p.SQL(t, "postgres", fmt.Sprintf("CREATE DATABASE %[1]s OWNER %[1]s", name))
	return fmt.Sprintf("postgres://%[1]s:%[1]s@%[2]s/%[1]s", name, p.Address)
}
