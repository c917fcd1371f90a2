package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	mostRefuges = 9         // agents of one vantage that keep theirs in one directory
	spoolBytes  = 256 << 20 // results of a time alone
	spoolFor    = 7 * 24 * time.Hour
	mostHanded  = 50 // incidents in one call
	pouredTail  = "-results.poured"
	clockTail   = ".clock"
	companyTail = ".company"
)

// refuge is what an agent keeps on its own machine for the time in which the shared store does not answer: the last snapshot of it,
// a store for what is judged alone, and one for results. Where no file can be written it is in memory. Its methods are called by one
// goroutine at a time, but for those of the snapshot, the clock and the results.
type refuge struct {
	log *slog.Logger
	own *store.Store

	mu   sync.Mutex
	base string // path of the files, but for what follows; "": memory
	snap store.Snapshot
	held bool                // snap is what was begun with alone, and what is owed is to be compared with it
	made []incident.Incident // that this agent changed as the leader, and that snap may have as they were before
	disk []byte              // the snapshot as it is in its file
	off  atomic.Int64        // of the shared store's clock from this machine's, in nanoseconds
	with company             // as it is in its file; of the beats
	done int                 // results of the spool that are in the shared store already
}

// newRefuge opens what there is in the directories, the first that can be written. name tells tenants and vantages apart.
func newRefuge(ctx context.Context, dirs []string, name string, log *slog.Logger) (*refuge, error) {
	r := &refuge{log: log}
	var failed []error
	for _, dir := range dirs {
		err := r.openIn(ctx, dir, name)
		if err == nil {
			r.read()
			return r, nil
		}
		failed = append(failed, err)
	}
	if len(failed) > 0 {
		log.Warn("what is decided while the database is away is kept in memory, and lost if this agent ends then: set store.state_dir to a directory that it can write", "err", errors.Join(failed...))
	}
	var err error
	r.own, err = store.Open(ctx, "sqlite::memory:", store.Options{})
	return r, err
}

// openIn takes a name in a directory that no other agent has.
func (r *refuge) openIn(ctx context.Context, dir, name string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for n := range mostRefuges {
		base := filepath.Join(dir, "alone-"+name)
		if n > 0 {
			base += "-" + strconv.Itoa(n+1)
		}
		own, err := store.Open(ctx, "sqlite:"+base+".db", store.Options{})
		if errors.Is(err, store.ErrLocked) {
			continue
		}
		if errors.Is(err, store.ErrDamaged) {
			r.log.Error("what was decided while the database was away is lost, since its file is damaged; it is put aside", "file", base+".db", "err", err)
			if os.Rename(base+".db", base+".db.damaged") != nil {
				return err
			}
			own, err = store.Open(ctx, "sqlite:"+base+".db", store.Options{})
		}
		if err == nil {
			r.base, r.own = base, own
		}
		return err
	}
	return fmt.Errorf("%d agents keep their state in %s already", mostRefuges, dir)
}

// path is that of the files, but for what follows; "" is memory.
func (r *refuge) path() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.base
}

// inMemory goes on in memory, since the files can no longer be written.
func (r *refuge) inMemory(ctx context.Context, why error) error {
	r.log.Warn("what is decided while the database is away is kept in memory from now on", "err", why)
	r.mu.Lock()
	r.base = ""
	r.mu.Unlock()
	own, err := store.Open(ctx, "sqlite::memory:", store.Options{})
	if err == nil {
		r.own = own
	}
	return err
}

// read reads the snapshot of an earlier life.
func (r *refuge) read() {
	base := r.path()
	if text, err := os.ReadFile(base + pouredTail); err == nil {
		r.done, _ = strconv.Atoi(string(text))
	}
	if text, err := os.ReadFile(base + clockTail); err == nil {
		if off, err := time.ParseDuration(string(text)); err == nil {
			r.off.Store(int64(off))
		}
	}
	if text, err := os.ReadFile(base + companyTail); err == nil && json.Unmarshal(text, &r.with) != nil {
		r.with = company{} // it is known again when the database answers
	}
	data, err := os.ReadFile(base + ".snapshot")
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var snap store.Snapshot
	if err == nil {
		err = json.Unmarshal(data, &snap)
	}
	if err != nil {
		r.log.Warn("the last snapshot of the database cannot be read; without the database this agent would begin with nothing", "err", err)
		return
	}
	r.snap, r.disk = snap, data
}

// keep takes a newer snapshot, unless the agent went alone with the one before and has not handed over since.
func (r *refuge) keep(s store.Snapshot) {
	base := r.path()
	r.mu.Lock()
	held := r.held
	if !held {
		r.made = slices.DeleteFunc(r.made, func(i incident.Incident) bool {
			at := slices.IndexFunc(s.Incidents, func(o incident.Incident) bool { return o.ID == i.ID })
			return at < 0 && !i.Open() || at >= 0 && !i.Updated.After(s.Incidents[at].Updated)
		})
		r.snap = s
	}
	r.mu.Unlock()
	if held || base == "" {
		return
	}
	data, err := json.Marshal(s)
	if err == nil && bytes.Equal(data, r.disk) {
		return
	}
	if err == nil {
		err = os.WriteFile(base+".snapshot.new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(base+".snapshot.new", base+".snapshot")
	}
	if err != nil {
		r.log.Warn("the newest snapshot of the database is in memory only", "err", err)
		data = nil
	}
	r.disk = data
}

// note takes incidents as this agent, which leads, has just stored them: it must not judge alone by a copy of before, in which an incident is open
// whose case it has resolved.
func (r *refuge) note(changed []incident.Incident) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held {
		return
	}
	for _, i := range changed {
		r.made = slices.DeleteFunc(r.made, func(o incident.Incident) bool { return o.ID == i.ID })
		r.made = append(r.made, i)
	}
}

// another forgets what was noted: another agent leads, and the copies have what it decides.
func (r *refuge) another() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.held {
		r.made = nil
	}
}

// clock returns what is to be added to this machine's clock for that of the shared store, as it was when that last answered. It is safe for
// concurrent use.
func (r *refuge) clock() time.Duration { return time.Duration(r.off.Load()) }

// keepClock takes what clock returns from now on.
func (r *refuge) keepClock(off time.Duration) {
	base := r.path()
	if r.off.Swap(int64(off)) == int64(off) || base == "" {
		return
	}
	if err := os.WriteFile(base+clockTail, []byte(off.String()), 0o600); err != nil {
		r.log.Warn("by how much this machine's clock differs from the database's is in memory only", "err", err)
	}
}

// keepCompany takes who there is, for a start without the shared store.
func (r *refuge) keepCompany(c company) {
	base := r.path()
	if base == "" || c.Self == r.with.Self && c.Leads == r.with.Leads && slices.Equal(c.Voters, r.with.Voters) {
		return
	}
	r.with = c
	data, err := json.Marshal(c)
	if err == nil {
		err = os.WriteFile(base+companyTail, data, 0o600)
	}
	if err != nil {
		r.log.Warn("which other agents there are is in memory only", "err", err)
	}
}

// snapshot returns the newest one, with what was noted since.
func (r *refuge) snapshot() store.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.snap
	if len(r.made) == 0 {
		return s
	}
	s.Incidents = slices.Clone(s.Incidents)
	for _, i := range r.made {
		s.Incidents = slices.DeleteFunc(s.Incidents, func(o incident.Incident) bool { return o.ID == i.ID })
		s.Incidents = append(s.Incidents, i)
	}
	return s
}

// owes reports whether something that was decided alone is not handed over.
func (r *refuge) owes(ctx context.Context) (bool, error) {
	state, err := r.own.EngineState(ctx)
	if err != nil || state != nil {
		return state != nil, err
	}
	all, err := r.own.CountIncidents(ctx, store.IncidentFilter{})
	return all > 0, err
}

// adopt begins with the newest snapshot, unless an earlier time alone is not handed over, which goes on then.
func (r *refuge) adopt(ctx context.Context) (err error) {
	before := r.hold(true)
	defer func() {
		if err != nil {
			r.hold(before)
		}
	}()
	if owes, err := r.owes(ctx); owes || err != nil {
		return err
	}
	err = r.own.Adopt(ctx, r.snapshot())
	if err == nil || ctx.Err() != nil {
		return err
	}
	full := r.own // of a disk that is full, or read-only
	if err := r.inMemory(ctx, err); err != nil {
		return err
	}
	_ = full.Close() // nothing in it is owed
	return r.own.Adopt(ctx, r.snapshot())
}

// hold keeps the snapshot as it is, or no longer, and returns which it was.
func (r *refuge) hold(on bool) (before bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, r.held = r.held, on
	return before
}

// handed returns what was done alone: every incident that is not as the snapshot has it, with the steps since.
func (r *refuge) handed(ctx context.Context) ([]store.Handed, error) {
	snap := r.snapshot()
	var newest int64
	for _, e := range snap.Events {
		newest = max(newest, e.Seq)
	}
	all, err := r.own.Incidents(ctx, store.IncidentFilter{Limit: allIncidents})
	if err != nil {
		return nil, err
	}
	var list []store.Handed
	for _, i := range all {
		h := store.Handed{Incident: i}
		var errs [3]error
		h.Events, errs[0] = r.own.Timeline(ctx, i.ID, newest)
		h.Cases, errs[1] = r.own.Cases(ctx, i.ID)
		h.Notices, errs[2] = r.own.Notices(ctx, i.ID)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, err
		}
		known := slices.ContainsFunc(snap.Incidents, func(o incident.Incident) bool { return o.ID == i.ID && o.Updated.Equal(i.Updated) })
		before := slices.DeleteFunc(slices.Clone(snap.Cases), func(c incident.Case) bool { return c.Incident != i.ID })
		if known && len(h.Events) == 0 && (len(before) == 0 && len(h.Cases) == 0 || reflect.DeepEqual(before, h.Cases)) {
			continue
		}
		list = append(list, h)
	}
	return list, nil
}

// clear forgets what was handed over.
func (r *refuge) clear(ctx context.Context) error {
	base := r.path()
	err := r.own.Close()
	address := "sqlite::memory:"
	if base != "" {
		address = "sqlite:" + base + ".db"
		err = errors.Join(err, removeStore(base+".db"))
	}
	r.hold(false)
	own, opened := store.Open(ctx, address, store.Options{})
	if opened != nil {
		return errors.Join(err, r.inMemory(ctx, opened))
	}
	r.own = own
	return err
}

// removeStore removes the files of an SQLite store, but for its lock.
func removeStore(path string) error {
	var errs []error
	for _, tail := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + tail); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// spool opens the store of results: in memory where its file cannot be used, since judging alone matters more.
func (r *refuge) spool(ctx context.Context) (*store.Store, error) {
	base := r.path()
	options := store.Options{RawBytes: spoolBytes, RawFor: spoolFor}
	if base != "" {
		s, err := store.Open(ctx, "sqlite:"+base+"-results.db", options)
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		r.log.Warn("results of the time alone are kept in memory; those that are in their file are lost", "err", err)
		r.done = 0
	}
	return store.Open(ctx, "sqlite::memory:", options)
}

// spooled reports whether there are results of an earlier life.
func (r *refuge) spooled() bool {
	if r.path() == "" {
		return false
	}
	_, err := os.Stat(r.path() + "-results.db")
	return err == nil
}

// pourWait is how long the shared store may take for a chunk before the spool, which the writer may wait for, is let go.
const pourWait = 2 * time.Second

var errBrokenOff = errors.New("the rest of the results is brought later")

// pour moves the results of a time alone to the shared store, a chunk at a time while it may, and returns how many. A pour that is broken off
// goes on where it was. It returns when the last chunk is known to be stored or not.
func (r *refuge) pour(ctx context.Context, spool *store.Store, shared Store, may func() bool) (poured int, err error) {
	base := r.path()
	var list []probes.Result
	var late chan error // of a chunk that takes long
	stored := func(err error) error {
		if err != nil {
			return err
		}
		poured, r.done = poured+len(list), r.done+len(list)
		list = list[:0]
		if base == "" {
			return nil
		}
		return os.WriteFile(base+pouredTail, []byte(strconv.Itoa(r.done)), 0o600)
	}
	flush := func() error {
		if len(list) == 0 {
			return nil
		}
		if !may() {
			return errBrokenOff
		}
		done := make(chan error, 1)
		go func() { done <- shared.AppendResults(ctx, list) }()
		select {
		case err := <-done:
			return stored(err)
		case <-time.After(pourWait):
			late = done
			return errBrokenOff
		}
	}
	skip := r.done
	err = spool.EachResult(ctx, nil, time.Time{}, time.Time{}, func(result probes.Result) error {
		if skip > 0 {
			skip--
			return nil
		}
		if list = append(list, result); len(list) < chunk {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if late != nil {
		if failed := stored(<-late); failed != nil {
			err = failed
		}
	}
	return poured, err
}

// dropSpool removes the store of results.
func (r *refuge) dropSpool(spool *store.Store) error {
	base := r.path()
	err := spool.Close()
	r.done = 0
	if base == "" {
		return err
	}
	if marker := os.Remove(base + pouredTail); marker != nil && !errors.Is(marker, fs.ErrNotExist) {
		err = errors.Join(err, marker)
	}
	return errors.Join(err, removeStore(base+"-results.db"))
}

// close ends it; what is owed stays in its files.
func (r *refuge) close() error { return r.own.Close() }

// where says where a time alone is kept.
func (r *refuge) where() string {
	if r.path() == "" {
		return "memory"
	}
	return r.path() + ".db"
}
