// Package chromium runs a Chromium without a window and speaks the DevTools Protocol with it over a pair of pipes: one process that
// pages share, each page in a browser context of its own. It takes down what a page does and has no opinion of it.
package chromium

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options say which browser is run and how. Browsers with the same options are one.
type Options struct {
	Path    string // of the program, see Find
	Sandbox bool   // keep Chromium's own sandbox, which root does not have and a container may not
	CAFile  string // PEM file of authorities that are trusted besides the system's; "": none. Linux only, by NSS' certutil
}

const (
	startWithin = 60 * time.Second
	maxHeap     = 512 // MiB of a page's JavaScript
	maxOutput   = 8 << 10

	// Those of the window, in pixels.
	width, height = 1280, 800
)

// switches make Chromium quiet: no window, no calls home, nothing kept. (Those after Puppeteer's and Playwright's defaults.)
var switches = []string{
	"--headless", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--no-service-autorun",
	"--disable-background-networking", "--disable-component-update", "--disable-component-extensions-with-background-pages",
	"--disable-default-apps", "--disable-domain-reliability", "--disable-sync", "--disable-extensions", "--disable-breakpad",
	"--disable-crash-reporter", "--disable-client-side-phishing-detection", "--safebrowsing-disable-auto-update", "--no-pings",
	"--metrics-recording-only", "--disable-field-trial-config", "--disable-search-engine-choice-screen", "--disable-print-preview",
	"--disable-features=Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider,InterestFeedContentSuggestions," +
		"CertificateTransparencyComponentUpdater,AutofillServerCommunication,PrivacySandboxSettings4,GlobalMediaControls," +
		"AsyncDns,NetworkTimeServiceQuerying,HttpsUpgrades,LensOverlay",
	"--disable-gpu", "--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars", "--force-color-profile=srgb",
	"--disable-hang-monitor", "--disable-prompt-on-repost", "--disable-popup-blocking", "--disable-renderer-backgrounding",
	"--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--password-store=basic",
	"--use-mock-keychain", "--no-proxy-server", "--enable-unsafe-swiftshader",
	"--window-size=" + strconv.Itoa(width) + "," + strconv.Itoa(height),
	"--js-flags=--max-old-space-size=" + strconv.Itoa(maxHeap),
}

// process is a running browser.
type process struct {
	*conn
	agent string // what it calls itself to servers

	cmd    *exec.Cmd
	dir    *profile
	output *tail
	ended  chan struct{} // closed when the process was waited for
	stop   func()        // ends it and all that it left behind; returns when that is done
}

// start runs a browser and returns when it answers. It takes seconds and is not bound to a run.
func start(o Options) (*process, error) {
	if runtime.GOOS == "linux" && os.Geteuid() == 0 && o.Sandbox {
		return nil, errors.New("chromium has no sandbox for root: run the agent as another user, or leave sandbox at auto")
	}
	dir, err := newProfile()
	if err != nil {
		return nil, fmt.Errorf("no directory for chromium can be made: %w", err)
	}
	p, err := launch(o, dir)
	if err != nil {
		dir.remove()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	var version struct {
		UserAgent string `json:"userAgent"`
	}
	if err := p.call(ctx, "", "Browser.getVersion", nil, &version); err != nil {
		p.stop()
		return nil, p.startError(err)
	}
	p.agent = strings.Replace(version.UserAgent, "HeadlessChrome", "Chrome", 1) + " firstcall (synthetic monitoring)"
	return p, nil
}

// startError says why the browser did not start.
func (p *process) startError(err error) error {
	said := p.output.String()
	if strings.Contains(said, "sandbox") {
		return errors.New("chromium finds no sandbox on this host: allow unprivileged user namespaces, or set sandbox: off where the pages are trusted")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("chromium does not start within %s", startWithin)
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return fmt.Errorf("chromium does not start (%s): %s", p.cmd.ProcessState, lines[len(lines)-1])
}

func launch(o Options, dir *profile) (*process, error) {
	if err := trust(o.CAFile, dir.path); err != nil {
		return nil, err
	}
	arguments := append([]string{"--user-data-dir=" + filepath.Join(dir.path, "profile")}, switches...)
	if !o.Sandbox {
		arguments = append(arguments, "--no-sandbox")
	}
	p := &process{cmd: exec.Command(o.Path, append(arguments, "about:blank")...), dir: dir, output: new(tail), ended: make(chan struct{})}
	p.cmd.Env = environment(dir.path)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.WaitDelay = time.Second // a child that outlives it may hold the output open
	theirs, ours, err := pipes(p.cmd)
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Linux kills the child when the thread that started it ends: let it live as long
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
			close(p.ended)
		}
	}()
	err = <-started
	for _, f := range theirs {
		_ = f.Close()
	}
	if err != nil {
		for _, f := range ours {
			_ = f.Close()
		}
		return nil, fmt.Errorf("chromium cannot be started: %w", err)
	}
	p.conn = newConn(ours[0], ours[1])
	p.stop = sync.OnceFunc(p.end)
	return p, nil
}

// end kills the browser: there is nothing in it to save.
func (p *process) end() {
	p.close()
	kill(p.cmd.Process)
	<-p.ended
	<-p.gone
	reap(p.cmd.Process.Pid)
	p.dir.remove()
}

// pipes gives the command its ends of the two pipes of the protocol and returns them, to be closed once it runs, and the own ends:
// that which is read first.
func pipes(cmd *exec.Cmd) (theirs, ours [2]*os.File, err error) {
	var input, output [2]*os.File
	if input[0], input[1], err = os.Pipe(); err != nil {
		return theirs, ours, err
	}
	if output[0], output[1], err = os.Pipe(); err != nil {
		_, _ = input[0].Close(), input[1].Close()
		return theirs, ours, err
	}
	theirs, ours = [2]*os.File{input[0], output[1]}, [2]*os.File{output[0], input[1]}
	prepare(cmd, theirs, ours)
	return theirs, ours, nil
}

// passed are the only variables of the agent's environment that Chromium sees: others may hold secrets.
var passed = []string{
	"PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SystemRoot", "SystemDrive", "windir", "ComSpec", "ProgramFiles", "ProgramFiles(x86)",
	"ProgramData", "CommonProgramFiles", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE",
}

// environment makes dir the home and the temporary directory, so that nothing is read or kept elsewhere.
func environment(dir string) []string {
	env := []string{"DBUS_SESSION_BUS_ADDRESS=disabled:", "DBUS_SYSTEM_BUS_ADDRESS=disabled:"}
	for _, name := range []string{"HOME", "TMPDIR", "TEMP", "TMP", "USERPROFILE", "LOCALAPPDATA", "APPDATA"} {
		env = append(env, name+"="+dir)
	}
	for _, name := range passed {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// trust makes Chromium, whose home is dir, trust the authorities of file as well: it takes them from NSS' database in its home.
func trust(file, dir string) error {
	if file == "" {
		return nil
	}
	if runtime.GOOS != "linux" {
		return errors.New("ca_file works on linux only: elsewhere let the system trust the authority")
	}
	certutil, err := exec.LookPath("certutil")
	if err != nil {
		return errors.New("ca_file needs NSS' program certutil on this host (Debian, Ubuntu: apt-get install libnss3-tools)")
	}
	database := filepath.Join(dir, ".pki", "nssdb")
	if err := os.MkdirAll(database, 0o700); err != nil {
		return err
	}
	authorities, err := splitPEM(file, dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	steps := [][]string{{"-N", "--empty-password"}}
	for i, path := range authorities {
		steps = append(steps, []string{"-A", "-n", "authority " + strconv.Itoa(i), "-t", "C,,", "-i", path})
	}
	for _, step := range steps {
		cmd := exec.CommandContext(ctx, certutil, append([]string{"-d", "sql:" + database}, step...)...)
		cmd.Env = environment(dir)
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("certutil does not take the authorities of ca_file: %w: %s", err, said)
		}
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

var _ io.Writer = (*tail)(nil)

// Write never fails.
func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, text[max(0, len(text)-maxOutput):]...)
	if over := len(t.text) - maxOutput; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(text), nil
}

// String returns what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
