package probes

import (
	"net"
	"net/url"
	"strconv"
)

// Aim is where a probe goes: the host, a name or an address, and the TCP port there; Port is 0 where it asks none. The zero value
// is nowhere.
type Aim struct {
	Host string
	Port uint16
}

// Aimed is a Probe that goes to one host, so that others can look at the way there. Aim is asked after Validate found no fault.
type Aimed interface {
	Probe
	Aim() Aim
}

// Aim returns the host and port of address.
func (p *TCP) Aim() Aim { return aimAt(p.Address) }

// Aim returns the host and port of address.
func (p *TLSProbe) Aim() Aim { return aimAt(p.Address) }

// Aim returns the host.
func (p *ICMP) Aim() Aim { return Aim{Host: p.Host} }

// Aim returns the server that is asked; nowhere for the system's resolver.
func (p *DNSProbe) Aim() Aim { return aimAt(p.Server) }

// Aim returns the gateway, where there is one, and otherwise the host and port of address.
func (p *RDP) Aim() Aim {
	if p.gateway != nil {
		return aimOf(p.gateway)
	}
	return aimAt(p.target)
}

// Aim returns the proxy, where there is one, and otherwise the host and port of url.
func (p *HTTP) Aim() Aim {
	if u, err := url.Parse(p.Proxy.Reveal()); err == nil && u.Hostname() != "" {
		return aimOf(u)
	}
	if p.target == nil {
		return Aim{}
	}
	return aimOf(p.target)
}

// Aim returns the host and port of address.
func (p *MSSQL) Aim() Aim { return aimAt(p.Address) }

// Aim returns the host and port of url.
func (p *Browser) Aim() Aim {
	if p.target == nil {
		return Aim{}
	}
	return aimOf(p.target)
}

// Aim returns the proxy, where there is one, and otherwise the host and port of url.
func (p *Perfion) Aim() Aim {
	for _, address := range []string{p.Proxy.Reveal(), p.URL} {
		if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
			return aimOf(u)
		}
	}
	return Aim{}
}

// aimAt reads host:port.
func aimAt(address string) Aim {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Aim{}
	}
	return Aim{Host: host, Port: portNumber(port)}
}

// aimOf returns where requests to an address of http or https go.
func aimOf(u *url.URL) Aim {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	return Aim{Host: u.Hostname(), Port: portNumber(port)}
}

func portNumber(text string) uint16 {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}
