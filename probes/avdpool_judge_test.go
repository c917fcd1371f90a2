package probes

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	avd "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/desktopvirtualization/armdesktopvirtualization/v2"
)

// noon is a Wednesday in winter: 13:00 in Copenhagen.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// hostIs returns a host in that status, whose heart beat a minute ago.
func hostIs(status string, edit ...func(*poolHost)) poolHost {
	h := poolHost{name: "sh-1", status: status, heartbeat: noon.Add(-time.Minute)}
	for _, e := range edit {
		e(&h)
	}
	return h
}

func drained(h *poolHost) { h.draining = true }
func deaf(h *poolHost)    { h.heartbeat = noon.Add(-73 * time.Hour) }
func off(h *poolHost)     { h.power = powerOff }
func on(h *poolHost)      { h.power = powerOn }
func with(n int) func(*poolHost) {
	return func(h *poolHost) { h.sessions = n }
}

func failing(check string) func(*poolHost) {
	return func(h *poolHost) { h.failed = append(h.failed, hostCheck{name: check}) }
}

func updated(ago time.Duration) func(*poolHost) {
	return func(h *poolHost) { h.updating = noon.Add(-ago) }
}

// What a pool may be, besides its hosts.
func starts(p *hostPool)   { p.starts = true }
func rests(p *hostPool)    { p.plan, p.planText = planRests, "scaling plan sp" }
func unread(p *hostPool)   { p.plan = planUnread }
func personal(p *hostPool) { p.personal, p.limit = true, 0 }
func due(p *hostPool) {
	p.plan, p.planText = planDue, "the scaling plan sp wants hosts running since 07:00 CET"
}

func forbidden(p *hostPool) { p.readPower = &azcore.ResponseError{StatusCode: http.StatusForbidden} }

var good = hostIs(hostAvailable, with(4))

// poolTable is that of docs/probes-avd.md.
var poolTable = map[string]struct {
	hosts   []poolHost
	edit    []func(*hostPool)
	outcome Outcome
	reason  Reason
	detail  string
}{
	"all serve":                   {[]poolHost{good, good}, nil, Up, None, ""},
	"one is left":                 {[]poolHost{good, hostIs(hostUnavailable)}, nil, Degraded, Capacity, "1 of 2 session hosts cannot serve: sh-1 Unavailable; 1 take new sessions"},
	"needs assistance":            {[]poolHost{hostIs(hostNeedsAssistance, failing("MonitoringAgentCheck"))}, nil, Up, None, ""},
	"agents upgrade":              {[]poolHost{hostIs(hostUpgrading), hostIs(hostUpgradeFailed)}, nil, Up, None, ""},
	"one drained":                 {[]poolHost{good, hostIs(hostAvailable, drained)}, nil, Up, None, ""},
	"a drained one is broken":     {[]poolHost{good, hostIs(hostUnavailable, drained)}, nil, Up, None, ""},
	"all drained":                 {[]poolHost{hostIs(hostAvailable, drained), hostIs(hostAvailable, drained)}, nil, Down, Status, "none of 2 session hosts takes a new session: 2 in drain mode"},
	"no hosts":                    {nil, nil, Down, Status, "the host pool has no session hosts: nobody can log on"},
	"no hosts, by plan":           {nil, []func(*hostPool){rests}, Degraded, Capacity, "its scaling plan may create them"},
	"no hosts, plan not readable": {nil, []func(*hostPool){unread}, Unknown, Auth, "may not read whether a scaling plan creates them"},
	"all lost":                    {[]poolHost{hostIs(hostUnavailable), hostIs(hostNoHeartbeat), hostIs(hostDisconnected), hostIs(hostShutdown, on)}, nil, Down, Status, "none of 4 session hosts takes a new session: 4 unhealthy; sh-1 Unavailable, sh-1 NoHeartbeat, sh-1 Disconnected and 1 more"},
	"fatal check":                 {[]poolHost{hostIs("DomainTrustRelationshipLost", failing("AppAttachHealthCheck"), failing("DomainTrustCheck"))}, nil, Down, Status, "sh-1 DomainTrustRelationshipLost (DomainTrustCheck failed, AppAttachHealthCheck failed)"},
	"fatal check, starts":         {[]poolHost{hostIs("SxSStackListenerNotReady")}, []func(*hostPool){starts}, Down, Status, "sh-1 SxSStackListenerNotReady"},
	"deaf but available":          {[]poolHost{hostIs(hostAvailable, deaf), hostIs(hostAvailable, deaf)}, nil, Down, Status, "2 unhealthy; sh-1 Available (no heartbeat for 3 days)"},
	"one deaf":                    {[]poolHost{good, hostIs(hostAvailable, deaf)}, nil, Degraded, Capacity, "sh-1 Available (no heartbeat for 3 days)"},
	"heartbeat from the future":   {[]poolHost{hostIs(hostAvailable, func(h *poolHost) { h.heartbeat = noon.Add(time.Hour) })}, nil, Up, None, ""},
	"heartbeat not told":          {[]poolHost{hostIs(hostAvailable, func(h *poolHost) { h.heartbeat = time.Time{} })}, nil, Up, None, ""},
	"full":                        {[]poolHost{hostIs(hostAvailable, with(10)), hostIs(hostAvailable, with(11))}, nil, Down, Status, "none of 2 session hosts takes a new session: 2 full"},
	"full, one drained":           {[]poolHost{hostIs(hostAvailable, with(10)), hostIs(hostAvailable, drained)}, nil, Down, Status, "1 full, 1 in drain mode"},
	"full, one starts":            {[]poolHost{hostIs(hostAvailable, with(10)), hostIs(hostShutdown)}, []func(*hostPool){starts}, Up, None, ""},
	"full, plan may start one":    {[]poolHost{hostIs(hostAvailable, with(10)), hostIs(hostShutdown)}, []func(*hostPool){rests}, Degraded, Capacity, "every running session host is full (1 full, 1 off); the scaling plan has 1 session host off that it may start"},
	"full, other may be off":      {[]poolHost{hostIs(hostAvailable, with(10)), hostIs(hostUnavailable)}, []func(*hostPool){starts}, Unknown, Local, "no session host answers (1 full, 1 silent)"},
	"off, nothing starts it":      {[]poolHost{hostIs(hostShutdown), hostIs(hostUnavailable, off)}, nil, Down, Status, "none of 2 session hosts takes a new session: 2 off"},
	"off, start on connect":       {[]poolHost{hostIs(hostShutdown), hostIs(hostUnavailable, off)}, []func(*hostPool){starts}, Up, None, ""},
	"off by plan":                 {[]poolHost{hostIs(hostShutdown), hostIs(hostAvailable, drained)}, []func(*hostPool){rests}, Up, None, ""},
	"off by plan, one broken":     {[]poolHost{hostIs(hostShutdown), hostIs(hostUnavailable, on)}, []func(*hostPool){rests}, Down, Status, "1 off, 1 unhealthy; sh-1 Unavailable (its machine runs)"},
	"off at the plan's peak":      {[]poolHost{hostIs(hostShutdown)}, []func(*hostPool){due}, Down, Status, "1 off; the scaling plan sp wants hosts running since 07:00 CET"},
	"off, peak, start on connect": {[]poolHost{hostIs(hostShutdown)}, []func(*hostPool){due, starts}, Up, None, ""},
	"off, plan not readable":      {[]poolHost{hostIs(hostShutdown)}, []func(*hostPool){unread}, Unknown, Auth, "may not read whether a scaling plan wants that"},
	"silent, power not asked":     {[]poolHost{hostIs(hostUnavailable)}, []func(*hostPool){starts}, Unknown, Local, "the state of their machines could not be read"},
	"silent, power forbidden":     {[]poolHost{hostIs(hostUnavailable)}, []func(*hostPool){starts, forbidden}, Unknown, Auth, "give it Microsoft.Compute/virtualMachines/instanceView/read"},
	"silent, machine runs":        {[]poolHost{hostIs(hostUnavailable, on)}, []func(*hostPool){starts}, Down, Status, "sh-1 Unavailable (its machine runs)"},
	"silent beside a good one":    {[]poolHost{good, hostIs(hostUnavailable)}, []func(*hostPool){rests}, Up, None, ""},
	"new status":                  {[]poolHost{hostIs("Meditating")}, nil, Unknown, Internal, "azure reports a status that this version does not know: sh-1 Meditating"},
	"new status beside good":      {[]poolHost{good, hostIs("Meditating")}, nil, Up, None, ""},
	"no status":                   {[]poolHost{hostIs("")}, nil, Unknown, Internal, "sh-1 no status"},
	"all update":                  {[]poolHost{hostIs(hostUnavailable, updated(time.Minute))}, nil, Degraded, Capacity, "no session host takes sessions while agents are updated (1 being updated)"},
	"update is stuck":             {[]poolHost{hostIs(hostUnavailable, updated(3*time.Hour))}, nil, Down, Status, "1 unhealthy"},
	"personal":                    {[]poolHost{hostIs(hostAvailable, with(99))}, []func(*hostPool){personal}, Up, None, ""},
	"personal, one lost":          {[]poolHost{good, hostIs(hostUnavailable)}, []func(*hostPool){personal}, Degraded, Capacity, "1 of 2 session hosts cannot serve"},
	"no session limit":            {[]poolHost{hostIs(hostAvailable, with(500))}, []func(*hostPool){func(p *hostPool) { p.limit = 0 }}, Up, None, ""},
}

func TestJudgePool(t *testing.T) {
	for name, c := range poolTable {
		t.Run(name, func(t *testing.T) {
			p := &hostPool{now: noon, within: 30 * time.Minute, limit: 10, hosts: c.hosts}
			for _, e := range c.edit {
				e(p)
			}
			v := judgePool(p)
			if v.outcome != c.outcome || v.reason != c.reason || !strings.Contains(v.detail, c.detail) || (v.detail == "") != (v.outcome == Up) {
				t.Errorf("%s, %q: %s; want %s, %q: %s", v.outcome, v.reason, v.detail, c.outcome, c.reason, c.detail)
			}
			if v.outcome == Down && !v.suspect {
				t.Error("down without a look at the machines")
			}
		})
	}
}

// TestPoolNumbers states what is counted.
func TestPoolNumbers(t *testing.T) {
	p := &hostPool{now: noon, within: time.Hour, limit: 10, starts: true, hosts: []poolHost{
		hostIs(hostAvailable, with(9)), hostIs(hostAvailable, with(12)), hostIs(hostAvailable, drained, with(5)), hostIs(hostShutdown),
		hostIs(hostUnavailable, on, with(3)), hostIs(hostNeedsAssistance, with(1), func(h *poolHost) { h.assigned = true }),
	}}
	v := judgePool(p)
	want := [classes]int{classServing: 2, classFull: 1, classDraining: 1, classOff: 1, classBad: 1}
	if v.counts != want || v.capacity != 40 || v.used != 22 || v.free != 1+0+10+9 || v.desktops != 1 || len(v.sick) != 1 || len(v.bad) != 1 {
		t.Errorf("%+v", v)
	}
	p.starts = false
	if v = judgePool(p); v.capacity != 30 || v.free != 10 {
		t.Errorf("without start vm on connect, a host that is off has sessions to give: %+v", v)
	}
}

// TestScalingPlan states when a plan lets hosts rest, and when it wants them to run.
func TestScalingPlan(t *testing.T) {
	pool := "/subscriptions/s/resourceGroups/g/providers/Microsoft.DesktopVirtualization/hostPools/hp"
	clock := func(h, m int32) *avd.Time { return &avd.Time{Hour: &h, Minute: &m} }
	plan := func(zone, day string, percent int32) *avd.ScalingPlan {
		on, name, id := true, "sp", strings.ToUpper(pool)
		weekday := avd.ScalingScheduleDaysOfWeekItem(day)
		return &avd.ScalingPlan{Name: &name, Properties: &avd.ScalingPlanProperties{
			TimeZone:           &zone,
			HostPoolReferences: []*avd.ScalingHostPoolReference{nil, {HostPoolArmPath: &id, ScalingPlanEnabled: &on}},
			Schedules: []*avd.ScalingSchedule{nil, {}, {
				DaysOfWeek: []*avd.ScalingScheduleDaysOfWeekItem{nil, &weekday}, RampUpMinimumHostsPct: &percent,
				RampUpStartTime: clock(7, 0), RampDownStartTime: clock(18, 0),
			}},
		}}
	}
	disabled := plan("UTC", "Wednesday", 20)
	disabled.Properties.HostPoolReferences[1].ScalingPlanEnabled = nil
	for name, c := range map[string]struct {
		plan *avd.ScalingPlan
		now  time.Time
		want planState
		text string
	}{
		"none":                 {nil, noon, planNone, ""},
		"empty":                {&avd.ScalingPlan{}, noon, planNone, ""},
		"not enabled":          {disabled, noon, planNone, ""},
		"peak":                 {plan("Romance Standard Time", "Wednesday", 20), noon, planDue, "the scaling plan sp wants hosts running since 07:00 CET"},
		"starting":             {plan("Romance Standard Time", "Wednesday", 20), noon.Add(-6*time.Hour + 29*time.Minute), planRests, "scaling plan sp"},
		"started":              {plan("Romance Standard Time", "Wednesday", 20), noon.Add(-6*time.Hour + 30*time.Minute), planDue, "07:00"},
		"evening":              {plan("Romance Standard Time", "Wednesday", 20), noon.Add(5 * time.Hour), planRests, "scaling plan sp"},
		"another day":          {plan("Romance Standard Time", "Sunday", 20), noon, planRests, "scaling plan sp"},
		"wants none":           {plan("Romance Standard Time", "Wednesday", 0), noon, planRests, "scaling plan sp"},
		"zone that is unknown": {plan("Mars Standard Time", "Wednesday", 20), noon, planRests, "scaling plan sp"},
	} {
		if got, text := planOf([]*avd.ScalingPlan{c.plan}, pool, c.now); got != c.want || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d, %q; want %d, %q", name, got, text, c.want, c.text)
		}
	}
	for zone, place := range windowsZones {
		if _, err := time.LoadLocation(place); err != nil {
			t.Errorf("%s: %v", zone, err)
		}
	}
}

// TestHostOf states that any field of an answer may be missing, and any word be a new one.
func TestHostOf(t *testing.T) {
	if got, want := hostOf(&avd.SessionHost{}), (poolHost{name: "a host without a name"}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	name, status, no, minus := "hp/vm-0.corp.example", avd.Status("Brand\nNew"), false, int32(-3)
	check, failed := avd.HealthCheckName("FutureCheck"), avd.HealthCheckResultHealthCheckFailed
	got := hostOf(&avd.SessionHost{Name: &name, Properties: &avd.SessionHostProperties{
		Status: &status, AllowNewSession: &no, Sessions: &minus,
		SessionHostHealthCheckResults: []*avd.SessionHostHealthCheckReport{nil, {}, {HealthCheckName: &check, HealthCheckResult: &failed}},
	}})
	want := poolHost{name: "vm-0", status: `Brand\nNew`, draining: true, failed: []hostCheck{{name: "FutureCheck"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestResourceHealth states how Azure's words on a machine are read.
func TestResourceHealth(t *testing.T) {
	for want, h := range map[string]resourceHealth{
		"": {State: "Available"},
		"azure reports unavailable, initiated by a user: Stopped and deallocated": {State: "Unavailable", Reason: "UserInitiated", Title: "Stopped and deallocated"},
		"azure reports unavailable, initiated by the platform":                    {State: "Unavailable", Reason: "Unplanned", Context: "Platform"},
		"azure reports degraded, cause not stated":                                {State: "Degraded"},
	} {
		if got := h.text(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for code, want := range map[string]power{
		"PowerState/running": powerOn, "PowerState/deallocated": powerOff, "PowerState/stopped": powerOff, "PowerState/starting": powerUnknown, "ProvisioningState/succeeded": powerUnknown, "": powerUnknown,
	} {
		if got := powerOf(code); got != want {
			t.Errorf("%s is %d, want %d", code, got, want)
		}
	}
	if !sameRegion("West Europe", "westeurope") || sameRegion("North Europe", "westeurope") || sameRegion("", "") || !sameRegion("Global", "westeurope") {
		t.Error("regions are not told apart")
	}
}

// TestMachineID states that nothing but a virtual machine's id gets into a path.
func TestMachineID(t *testing.T) {
	good := "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm-0"
	for id, want := range map[string]string{
		good: good,
		"":   "", "/": "", "vm-0": "",
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.AzureStackHCI/virtualMachineInstances/x": "",
		good + "?api-version=1": "",
		good + "/../vm-1":       "",
		good + "%2fdelete":      "",
	} {
		if got, _ := machineID(&poolHost{vm: id}); got != want {
			t.Errorf("%q is %q, want %q", id, got, want)
		}
	}
}

func FuzzHostOf(f *testing.F) {
	f.Add([]byte(`{"name":"hp/vm","properties":{"status":"Available","lastHeartBeat":"2026-11-25T12:00:00Z","sessions":3,"allowNewSession":true,"sessionHostHealthCheckResults":[{"healthCheckName":"DomainTrustCheck","healthCheckResult":"HealthCheckFailed","additionalFailureDetails":{"errorCode":5,"message":"x"}}]}}`))
	f.Add([]byte(`{"properties":{"status":null,"updateState":"Started","lastUpdateTime":"2026-11-25T11:00:00Z","resourceId":"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var h avd.SessionHost
		if err := h.UnmarshalJSON(body); err != nil {
			return
		}
		p := &hostPool{now: noon, within: time.Hour, limit: 10, starts: len(body)%2 == 0, hosts: []poolHost{hostOf(&h)}}
		v := judgePool(p)
		rec := NewRecorder(t.Context())
		report(rec, &poolReading{hostPool: *p}, &v)
		r := rec.Finish(v.outcome, v.reason, "%s", v.detail)
		if (r.Outcome == Up) != (r.Detail == "") || r.Outcome == Down && r.Reason != Status {
			t.Errorf("%s, %s: %q", r.Outcome, r.Reason, r.Detail)
		}
		_, _ = machineID(&p.hosts[0])
	})
}

// TestRetryAfter states how long a throttled probe waits.
func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{"": 30 * time.Second, "17": 17 * time.Second, "x": 30 * time.Second, "-1": 30 * time.Second, "99999999": maxPause, "0": 0} {
		response := &http.Response{Header: http.Header{"Retry-After": {header}}}
		if got := retryAfter(response); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
	if refused(errors.New("x")) || refused(nil) {
		t.Error("any error counts as a refusal")
	}
}
