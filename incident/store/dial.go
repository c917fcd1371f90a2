package store

import (
	"net"
	"time"
)

// silentFor is how long a server may acknowledge nothing that was sent, or that asks whether it is there, before its connection is given up:
// what waits for an answer fails then, and the next connection is tried, also where the network swallows every packet.
const silentFor = 10 * time.Second

// dialer returns what makes the connections to PostgreSQL.
func dialer(connectTimeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout: connectTimeout, Control: giveUpSilence,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silentFor / 2, Interval: silentFor / 4, Count: 2},
	}
}
