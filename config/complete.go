package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/robfig/cron/v3"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/incident/store"
)

var (
	tenantID      = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$`)
	labelName     = regexp.MustCompile(`^[a-z]([a-z0-9_]{0,30}[a-z0-9])?$`)
	componentName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$`)
	entryName     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
)

const (
	tenantHint    = "lower-case letters, digits and hyphens, at most 24, a letter or digit first and last"
	componentHint = "lower-case letters, digits and hyphens, at most 48, a letter or digit first and last"
	nameHint      = "letters, digits, dots, hyphens and underscores, at most 63, a letter or digit first and last"
)

// complete checks what concerns more than one key, and fills in what follows from the others. Whatever is at fault already is
// left alone.
func (d *decoder) complete(c *Config) {
	d.tenant(&c.Tenant)
	d.serviceLevel(&c.ServiceLevel, c.Tenant.Zone)
	d.holidays(&c.Tenant, c.ServiceLevel.Holidays)
	d.text("operations_centre.name", c.OperationsCentre.Name)
	d.text("operations_centre.phone", c.OperationsCentre.Phone)
	d.pace(&c.Defaults)
	d.components(c)
	d.witnesses(c)
	d.detection(c)
	d.readings(c)
	d.maintenance(c)
	d.desks(c)
	d.notices(c)
	d.mail(c)
	d.seeds(c)
	d.faces(c)
}

// check reports a fault at path unless ok holds or the path is at fault already.
func (d *decoder) check(ok bool, path, hint, format string, args ...any) {
	if !ok && d.clean(path) {
		d.fault(path, hint, format, args...)
	}
}

// text checks what will stand in cases and mails: printable, on one line, and short.
func (d *decoder) text(path, text string) {
	d.check(!strings.ContainsFunc(text, unicode.IsControl), path, "", "has a line break or another control character")
	d.check(len(text) <= 200, path, "", "is longer than 200 bytes")
}

func (d *decoder) tenant(t *Tenant) {
	d.check(tenantID.MatchString(t.ID), "tenant.id", tenantHint, "%s is not a tenant id", quote(t.ID))
	t.Name = cmp.Or(t.Name, t.ID)
	d.text("tenant.name", t.Name)
	zone, err := zone(t.TimeZone)
	d.check(err == nil, "tenant.time_zone", "write an IANA zone such as Europe/Copenhagen", "%s is not a time zone", quote(t.TimeZone))
	t.Zone = zone
	d.labels(t.Labels)
	contacts := map[string]incident.Contact{customer: t.Contacts.Customer, functional: t.Contacts.Functional, onCall: t.Contacts.OnCall}
	for role, c := range contacts {
		path := "tenant.contacts." + role
		d.text(path+".name", c.Name)
		d.text(path+".phone", c.Phone)
		d.check(c.Email == "" || isMail(c.Email), path+".email", "write name@host", "%s is not an e-mail address", quote(c.Email))
	}
}

// labels checks tenant.labels.
func (d *decoder) labels(all map[string]string) {
	const most = 10
	d.check(len(all) <= most, "tenant.labels", "", "has %d labels: at most %d are kept", len(all), most)
	for name, value := range all {
		path := "tenant.labels." + name
		d.check(labelName.MatchString(name), path, "lower-case letters, digits and underscores, at most 32, a letter first", "%s is not the name of a label", quote(name))
		d.check(value != "" && len(value) <= 63 && strings.TrimSpace(value) == value && !strings.ContainsFunc(value, unicode.IsControl), path, "write one short word or two", "has no value, or none that can be kept: 1 to 63 bytes on one line")
	}
}

// zone returns the IANA zone of that name; UTC when there is none. "Local" is refused: it depends on the machine.
func zone(name string) (*time.Location, error) {
	if name == "Local" || name == "" {
		return time.UTC, errors.New("not an IANA zone")
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC, err
	}
	return z, nil
}

func isMail(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && a.Name == "" && a.Address == text
}

// noHolidays is the word for no country's holidays.
const noHolidays = "none"

func (d *decoder) serviceLevel(l *ServiceLevel, zone *time.Location) {
	switch {
	case l.Holidays == noHolidays:
		l.Holidays = ""
	case l.Holidays == "" && len(l.Supported) > 0 && !slices.Contains(l.Supported, "24x7"):
		l.Holidays = "DK" // the Operations Centre's
	}
	calendar, err := sla.ParseCalendar(l.Supported, zone, l.Holidays)
	l.Calendar = calendar
	for i, share := range l.WarnAt {
		d.check(share >= 1 && share <= 100, fmt.Sprintf("service_level.warn_at[%d]", i), "such as [50, 80, 100]", "%d is no share in percent: want 1 to 100", share)
	}
	for _, fault := range unjoin(err) {
		path := "service_level.supported"
		var n int
		if _, err := fmt.Sscanf(fault.Error(), "entry %d ", &n); err == nil && n > 0 {
			if entry := fmt.Sprintf("%s[%d]", path, n-1); d.given(entry) {
				path = entry
			}
		} else if strings.HasPrefix(fault.Error(), "holidays ") {
			path = "service_level.holidays"
		}
		d.check(false, path, "", "%s", fault)
	}
	r := l.Reaction
	times := []time.Duration{r.P1, r.P2, r.P3, r.P4}
	for i, t := range times {
		path := fmt.Sprintf("service_level.reaction.p%d", i+1)
		d.check(t >= time.Second, path, "", "is shorter than a second")
		if i > 0 {
			d.check(t >= times[i-1], path, "", "%s is shorter than the %s of p%d, which is more urgent", short(t), short(times[i-1]), i)
		}
	}
	d.check(l.StatusEvery >= time.Second, "service_level.status_every", "", "is shorter than a second")
}

// unjoin returns the errors that errors.Join put together.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// holidays sets the days of rest by which a latency is judged. Those of the service level were checked with it.
func (d *decoder) holidays(t *Tenant, supported string) {
	var err error
	if t.Holidays == noHolidays {
		t.Holidays, supported = "", ""
	}
	t.Holiday, err = sla.Holidays(cmp.Or(t.Holidays, supported))
	d.check(err == nil || t.Holidays == "", "tenant.holidays", "", "%v", err)
}

func (d *decoder) detection(c *Config) {
	s, path := c.Detection, "detection."
	d.whole(path+"rechecks", s.Rechecks, 0, 20)
	d.span(path+"recheck_within", s.RecheckWithin, 100*time.Millisecond, 5*time.Minute)
	d.whole(path+"recover", s.Recover, 1, 100)
	d.span(path+"limit_window", s.LimitWindow, time.Second, 24*time.Hour)
	d.whole(path+"limit_points", s.LimitPoints, 1, 120)
	d.check(s.SlowRatio >= 1.05 && s.SlowRatio <= 2, path+"slow_ratio", "", "%g is not between 1.05 and 2", s.SlowRatio)
	d.span(path+"slow_by", s.SlowBy, 0, time.Minute)
}

func (d *decoder) readings(c *Config) {
	r, path := c.Policy, "policy."
	const week = 7 * 24 * time.Hour
	d.span(path+"momentary", r.Momentary, 0, 24*time.Hour)
	d.whole(path+"momentary_count", r.MomentaryCount, 2, 100)
	d.span(path+"momentary_window", r.MomentaryWindow, time.Second, week)
	d.span(path+"sustained", r.Sustained, time.Second, 24*time.Hour)
	d.whole(path+"periodic_count", r.PeriodicCount, 2, 100)
	d.span(path+"periodic_window", r.PeriodicWindow, time.Second, week)
	d.span(path+"settle", r.Settle, 0, time.Minute)
	d.whole("quorum.need", c.Quorum.Need, 0, 100)
	d.span("quorum.alone_for", c.Quorum.AloneFor, time.Minute, week)
}

func (d *decoder) whole(path string, n, low, high int) {
	d.check(n >= low && n <= high, path, "", "%d is not between %d and %d", n, low, high)
}

func (d *decoder) span(path string, t, low, high time.Duration) {
	d.check(t >= low && t <= high, path, "", "%s is not between %s and %s", short(t), short(low), short(high))
}

// schedule reads a cron expression in the tenant's zone; nil after a fault.
func (d *decoder) schedule(path, spec string, zone *time.Location) cron.Schedule {
	if spec == "" || !d.clean(path) {
		return nil
	}
	const hint = `five fields, minute hour day month weekday, such as "0 22 * * SUN", or @daily, @hourly, @every 90s`
	if strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=") {
		d.fault(path, "leave the zone out: tenant.time_zone holds", "%s is not a schedule", quote(spec))
		return nil
	}
	s, err := cron.ParseStandard(spec)
	if err != nil {
		why, _, _ := strings.Cut(err.Error(), ": strconv")
		d.fault(path, hint, "%s is not a schedule: %s", quote(spec), why)
		return nil
	}
	if fields, ok := s.(*cron.SpecSchedule); ok {
		fields.Location = zone
	}
	if s.Next(epoch).IsZero() {
		d.fault(path, "", "%s never comes", quote(spec))
		return nil
	}
	return s
}

// epoch is where the gaps of a schedule are measured from: any day will do, as long as it is always the same.
var epoch = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// gaps returns the shortest and the longest time between two starts among the next hundred.
func gaps(s cron.Schedule) (shortest, longest time.Duration) {
	last := s.Next(epoch)
	for range 100 {
		next := s.Next(last)
		if next.IsZero() {
			break
		}
		gap := next.Sub(last)
		if shortest == 0 || gap < shortest {
			shortest = gap
		}
		longest = max(longest, gap)
		last = next
	}
	return shortest, longest
}

func (d *decoder) maintenance(c *Config) {
	known, seen := names(c), map[string]string{}
	for i := range c.Maintenance {
		m, path := &c.Maintenance[i], fmt.Sprintf("maintenance[%d]", i)
		d.name(path, m.Name, entryName, nameHint, seen)
		m.Cron = d.schedule(path+".schedule", m.Schedule, c.Tenant.Zone)
		d.check(m.Duration > 0, path+".duration", "", "must be longer than 0")
		if m.Cron != nil {
			_, longest := gaps(m.Cron)
			d.check(longest == 0 || m.Duration < longest, path+".duration", "", "%s is as long as the time between two starts: maintenance would never end", short(m.Duration))
		}
		d.references(path+".components", m.Components, known, nil)
	}
}

// name checks the name of an entry, and that no other in seen has it.
func (d *decoder) name(path, name string, pattern *regexp.Regexp, hint string, seen map[string]string) {
	p := path + ".name"
	if !d.clean(p) {
		return
	}
	d.check(pattern.MatchString(name), p, hint, "%s is not a name", quote(name))
	if first, double := seen[name]; double {
		d.check(false, p, "", "%s is the name of %s already", quote(name), first)
		return
	}
	seen[name] = path
}

// faces checks store, page, heartbeat and vantage.
func (d *decoder) faces(c *Config) {
	c.Store.URL = secret.New(d.storeURL(c.Store))
	d.state(c)
	d.span("store.results_for", c.Store.ResultsFor, time.Hour, 400*24*time.Hour)
	if c.Heartbeat != nil {
		d.check(isHTTP(c.Heartbeat.URL.Reveal()), "heartbeat.url", "", "is not an http:// or https:// address")
		d.check(c.Heartbeat.Every >= time.Second, "heartbeat.every", "", "is shorter than a second")
	}
	d.resolvers(c.Evidence.Resolvers)
	d.check(isListen(c.Web.Listen), "web.listen", "write host:port, such as 127.0.0.1:9797", "%s is not an address to listen on", quote(c.Web.Listen))
	d.check(c.Web.ExternalURL == "" || isHTTP(c.Web.ExternalURL), "web.external_url", "write it as https://host/", "is not an http:// or https:// address")
	if c.Vantage == "" {
		c.Vantage, _ = os.Hostname() // a host without a name has an empty vantage
	}
	d.text("vantage", c.Vantage)
	d.check(!strings.Contains(c.Vantage, "#"), "vantage", "agents at one place are told apart by that sign", "holds the sign #")
	d.check(len(c.Vantage) <= maxVantage, "vantage", "", "is longer than %d bytes", maxVantage)
}

const maxVantage = 100 // bytes

// state checks where an agent keeps what is its own.
func (d *decoder) state(c *Config) {
	postgres := c.Shares()
	d.check(postgres || c.Store.StateDir == "", "store.state_dir", "", "belongs to a store in PostgreSQL")
	if c.Store.AloneAfter != 0 {
		d.span("store.alone_after", c.Store.AloneAfter, 5*time.Second, time.Hour)
	}
	c.latches = d.latches(c.Store.URL.Reveal())
	if !postgres {
		return
	}
	if c.Store.StateDir != "" {
		c.Store.StateDir = d.beside(c.Store.StateDir)
		c.latches, c.stateDirs = filepath.Join(c.Store.StateDir, "latches"), []string{c.Store.StateDir}
		return
	}
	c.stateDirs = []string{filepath.Dir(d.beside("firstcall.db"))}
	if cache, err := os.UserCacheDir(); err == nil {
		c.stateDirs = append(c.stateDirs, filepath.Join(cache, "firstcall"))
	}
}

// resolvers checks evidence.resolvers.
func (d *decoder) resolvers(list []string) {
	const most = 3
	for n, server := range list {
		host, port, err := net.SplitHostPort(server)
		number, wrong := strconv.ParseUint(port, 10, 16)
		d.check(err == nil && host != "" && wrong == nil && number > 0, fmt.Sprintf("evidence.resolvers[%d]", n), "write host:port, such as 9.9.9.9:53", "%s is not the address of a server", quote(server))
	}
	d.check(len(list) <= most, "evidence.resolvers", "", "has %d servers: at most %d are asked", len(list), most)
}

// storeURL checks store.url and returns it in full.
func (d *decoder) storeURL(s Store) string {
	const beside, hint = "firstcall.db", "write sqlite:PATH, or postgres://USER@HOST/DATABASE?sslmode=verify-full"
	given := s.URL.Reveal()
	if given == "" {
		given = "sqlite:" + beside
	}
	path, file := strings.CutPrefix(given, "sqlite:")
	d.check(!file || s.Password.IsZero(), "store.password", "", "belongs to a store in PostgreSQL")
	switch {
	case strings.HasPrefix(given, "postgres://"), strings.HasPrefix(given, "postgresql://"):
		if err := store.CheckURL(given); err != nil {
			d.check(false, "store.url", hint, "%s", strings.TrimPrefix(err.Error(), "store: "))
			return given
		}
		u, _ := url.Parse(given) // CheckURL did
		_, double := u.User.Password()
		d.check(!double || s.Password.IsZero(), "store.password", "give it once", "stands in store.url, too")
		d.check(!u.Query().Has("tenant"), "store.url", "leave the parameter out", "names a tenant, which is tenant.id")
		return given
	case !file, path == "", strings.HasPrefix(path, "//"), strings.ContainsAny(path, "?#"):
		d.check(false, "store.url", hint, "is not the address of a store")
	case path == ":memory:":
		return given
	}
	return "sqlite:" + filepath.Clean(d.beside(path))
}

// latches returns the directory of the accounts that were refused: beside the store, or beside the configuration.
func (d *decoder) latches(url string) string {
	if path, file := strings.CutPrefix(url, "sqlite:"); file {
		return filepath.Join(filepath.Dir(path), "latches")
	}
	return d.beside("latches")
}

func isHTTP(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func isListen(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil || strings.ContainsFunc(host, func(r rune) bool { return unicode.IsSpace(r) || r == '/' }) {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}
