package chromium

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// ErrMissing says that no Chromium was found, and what to do.
var ErrMissing = errors.New("no chromium is installed on this host: install one (Debian, Ubuntu: apt-get install chromium-headless-shell), use the image with Chromium, or name its program with the key chromium")

// names are looked for on PATH, in this order: the one without a window is the smallest.
var names = []string{
	"chromium-headless-shell", "headless_shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome",
	"microsoft-edge-stable", "microsoft-edge",
}

// places are where the programs lie that are not on PATH.
var places = map[string][]string{
	"windows": {
		`${ProgramFiles}\Google\Chrome\Application\chrome.exe`, `${ProgramFiles(x86)}\Google\Chrome\Application\chrome.exe`,
		`${ProgramFiles(x86)}\Microsoft\Edge\Application\msedge.exe`, `${ProgramFiles}\Microsoft\Edge\Application\msedge.exe`,
	},
	"darwin": {
		"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
		"/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
	},
}

// Find returns the path of the browser: that of program, a path or a name on PATH, or where it is empty the first that is
// installed. The error says what to do.
func Find(program string) (string, error) {
	if program != "" {
		path, err := exec.LookPath(program)
		if err != nil {
			return "", errors.New("there is no program " + program + ", which the key chromium names: install it, or mend the key")
		}
		return filepath.Abs(path)
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	for _, place := range places[runtime.GOOS] {
		if path, err := exec.LookPath(os.Expand(place, os.Getenv)); err == nil {
			return path, nil
		}
	}
	return "", ErrMissing
}
