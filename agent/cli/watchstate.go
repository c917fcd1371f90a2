package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/firstcall-agent/firstcall/agent"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
)

// state returns the directory in which a watch with that configuration keeps what it learns, and makes it, for this user only.
func (f *watchFlags) state(tenant, file string) (string, error) {
	dir := f.stateDir
	if dir == "" {
		base, err := userState()
		if err != nil {
			return "", fmt.Errorf("no directory for this user's state is known: name one with --state-dir (%w)", err)
		}
		sum := sha256.Sum256([]byte(file)) // of two configurations of one tenant each has its own
		dir = filepath.Join(base, "firstcall", "watch", tenant+"-"+hex.EncodeToString(sum[:4]))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("state cannot be kept: %w: name another directory with --state-dir", err)
	}
	return filepath.Abs(dir)
}

// userState returns where programs keep state that is not worth a backup: $XDG_STATE_HOME (XDG Base Directory Specification),
// ~/Library/Application Support, or %LocalAppData%.
func userState() (string, error) {
	switch runtime.GOOS {
	case "windows":
		return os.UserCacheDir()
	case "darwin":
		return os.UserConfigDir()
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "state"), err
}

// adapt makes a configuration fit for a laptop: its state is the user's own; it opens no case, tells no contact, and says nothing
// to the watchdog of the agent that does.
func (f *watchFlags) adapt(c *config.Config, dir string) error {
	c.KeepIn(dir, "watch.db")
	c.Desks, c.Heartbeat = nil, nil
	var fit []string
	for _, n := range c.Notices {
		if quiet(n) {
			fit = append(fit, n.Name)
		}
	}
	for _, name := range f.notices {
		if !slices.Contains(fit, name) {
			return usage("--notify: %q is no notice of kind chat or desktop that goes to no contact: %s", name, among(fit))
		}
	}
	c.Notices = slices.DeleteFunc(c.Notices, func(n config.Notifier) bool { return !slices.Contains(f.notices, n.Name) })
	return nil
}

// quiet reports whether a notice reaches the operations centre's own people only.
func quiet(n config.Notifier) bool {
	return (n.Kind == "chat" || n.Kind == "desktop") && !slices.ContainsFunc(n.Recipients, func(r config.Recipient) bool {
		return r.Role == reconcile.RoleCustomer || r.Role == reconcile.RoleFunctional
	})
}

func among(names []string) string {
	if len(names) == 0 {
		return "the configuration has none"
	}
	return "want one of " + strings.Join(names, ", ")
}

// homeNetwork returns the network in which the latencies on record were measured: at the first start the one that the machine is
// in, which is noted for later ones.
func homeNetwork(dir string) string {
	const most = 4 << 10
	name := filepath.Join(dir, "network")
	if text, err := readBounded(name, most); err == nil && len(text) > 0 {
		return string(text)
	}
	home := agent.Network()
	if home != "" && len(home) < most {
		_ = os.WriteFile(name, []byte(home), 0o600) // where that fails, the next start is a first one
	}
	return home
}
