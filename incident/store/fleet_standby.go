package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// latestStandby is how far a standby may be behind: agents, which beat each second, would seem silent soon after.
const latestStandby = 30 * time.Second

// whereabouts is a database's position, as SQL.
const whereabouts = `pg_is_in_recovery(), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
	coalesce((extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint, 0),
	coalesce((SELECT pid FROM pg_stat_wal_receiver), 0), coalesce(pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn(), false),
	(SELECT setting::bigint FROM pg_settings WHERE name = 'wal_receiver_timeout')`

// position is where a database stands among those of its cluster.
type position struct {
	standby  bool
	now      int64 // µs of its clock
	newest   int64 // µs, when its newest transaction was made; 0: it had none since it started
	receiver int64 // the process that receives from the primary; 0: there is none
	whole    bool  // all that came from the primary is applied
	timeout  int64 // ms, after which a receiver that hears nothing from the primary ends; 0: it never does
}

func (p *position) fields() []any {
	return []any{&p.standby, &p.now, &p.newest, &p.receiver, &p.whole, &p.timeout}
}

// lull is since when a standby has had the same newest transaction and the same receiver.
type lull struct{ newest, receiver, since int64 }

// current is an error where a standby may be behind: what it has says nothing of who lives now. That its newest transaction is old may come from a
// primary that is away, or from agents that are. A receiver lives only as long as it hears from the primary (wal_receiver_timeout): where one
// outlived that time, and brought nothing, it is the agents (or, of a standby of a standby, that one's primary).
func (f *Fleet) current(p position) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	late := time.Duration(p.now-p.newest) * time.Microsecond
	if p.newest != f.lull.newest || p.receiver != f.lull.receiver || p.now < f.lull.since {
		f.lull = lull{newest: p.newest, receiver: p.receiver, since: p.now}
	}
	quiet := time.Duration(p.now-f.lull.since) * time.Microsecond
	patience := time.Duration(p.timeout) * time.Millisecond
	switch {
	case !p.standby:
		return nil
	case p.newest == 0:
		return fmt.Errorf("store: cannot read the fleet: %s is a standby that had nothing of its primary since it started: read from the primary, or try again soon", f.pg.name)
	case late <= f.latest:
		return nil
	case p.receiver == 0:
		return fmt.Errorf("store: cannot read the fleet: %s is a standby whose newest transaction is %s old, and nothing comes from its primary: that is away; read from the primary", f.pg.name, late.Round(time.Second))
	case patience > 0 && p.whole && quiet > patience:
		return nil
	}
	return fmt.Errorf("store: cannot read the fleet: %s is a standby whose newest transaction is %s old: its primary is away, no agent writes there, or the standby's clock is wrong; read from the primary", f.pg.name, late.Round(time.Second))
}

// sees reads whether the role sees every tenant, and whether the database knows who lives now.
func (f *Fleet) sees(ctx context.Context, tx *sql.Tx) error {
	var sees bool
	var p position
	if err := tx.QueryRowContext(ctx, "SELECT "+seesAll+", "+whereabouts+" FROM pg_roles WHERE rolname = current_user").Scan(append([]any{&sees}, p.fields()...)...); err != nil {
		return f.pg.fault("read the fleet", err)
	}
	if !sees {
		return f.oneOnly()
	}
	return f.current(p)
}
