package notify_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/notify"
)

func TestDesktopConfigurationFaults(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there are no session buses")
	}
	for bus, want := range map[string]string{
		"": "", "unix:path=/run/user/1000/bus": "", "unix:abstract=/tmp/x,guid=1": "", "unix:path=/a%20b;tcp:host=h,port=1": "",
		"/run/user/1000/bus": "bus: is no", "unix:dir=/tmp": "bus: is no", "autolaunch:": "bus: is no", "unix:path=%zz": "bus: is no",
	} {
		faults := fmt.Sprint((&notify.Desktop{Bus: bus}).Validate())
		if want == "" && faults != "[]" || !strings.HasPrefix(faults, "["+want) {
			t.Errorf("%q: faults %s, want %q", bus, faults, want)
		}
	}
	if faults := (&notify.Desktop{Timeout: time.Hour}).Validate(); len(faults) != 1 {
		t.Errorf("timeout: %v", faults)
	}
}
