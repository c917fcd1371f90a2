package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// The service of the Desktop Notifications Specification, version 1.2.
const (
	notifications     = "org.freedesktop.Notifications"
	notificationsPath = "/org/freedesktop/Notifications"
)

// maxBus bounds what a bus may say in one exchange, in bytes.
const maxBus = 1 << 20

// sessionBus shows notifications by the service on a session bus. It connects for each one and leaves nothing behind: the bus
// comes and goes with the user's session.
type sessionBus struct{ address string }

func newScreen(bus string) screen { return sessionBus{bus} }

// fitBus reports whether text is an address that can be connected to.
func fitBus(text string) bool {
	return !slices.ContainsFunc(strings.Split(text, ";"), func(one string) bool { _, _, err := endpoint(one); return err != nil })
}

// endpoint parses one address of a bus (D-Bus Specification, "Server Addresses"): unix:path=, unix:abstract= or tcp:.
func endpoint(address string) (network, at string, err error) {
	method, rest, _ := strings.Cut(address, ":")
	keys := map[string]string{}
	for pair := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(pair, "=")
		if value, err = url.PathUnescape(value); err != nil {
			return "", "", errors.New("is no address of a bus")
		}
		keys[key] = value
	}
	switch {
	case method == "unix" && keys["path"] != "":
		return "unix", keys["path"], nil
	case method == "unix" && keys["abstract"] != "":
		return "unix", "@" + keys["abstract"], nil
	case method == "tcp" && keys["host"] != "" && keys["port"] != "":
		return "tcp", net.JoinHostPort(keys["host"], keys["port"]), nil
	}
	return "", "", errors.New("is no address of a bus")
}

// find returns the address of the session bus of the agent's user; "" where there is none.
func (s sessionBus) find() string {
	if address := cmp.Or(s.address, os.Getenv("DBUS_SESSION_BUS_ADDRESS")); address != "" {
		return address
	}
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/run/user/" + strconv.Itoa(os.Getuid())} {
		if info, err := os.Stat(dir + "/bus"); dir != "" && err == nil && info.Mode()&os.ModeSocket != 0 {
			return "unix:path=" + dir + "/bus"
		}
	}
	return ""
}

func (s sessionBus) show(ctx context.Context, b bubble) (string, error) {
	bus, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = bus.Close() }()
	service := bus.Object(notifications, notificationsPath)
	var capabilities []string
	if err := service.CallWithContext(ctx, notifications+".GetCapabilities", 0).Store(&capabilities); err != nil {
		return "", refusedBy(err)
	}
	body := b.body
	if slices.Contains(capabilities, "body-markup") {
		body = html.EscapeString(body)
	}
	icon, urgency, expire := "dialog-information", byte(1), int32(-1) // as the desktop likes
	if b.urgent {
		icon, urgency, expire = "dialog-error", 2, 0 // never
	}
	hints := map[string]dbus.Variant{
		"urgency": dbus.MakeVariant(urgency), "category": dbus.MakeVariant("network.error"), "suppress-sound": dbus.MakeVariant(!b.sound),
	}
	if b.sound {
		hints["sound-name"] = dbus.MakeVariant("dialog-warning")
	}
	var id uint32
	err = service.CallWithContext(ctx, notifications+".Notify", 0, "firstcall", uint32(0), icon, b.title, body, []string{}, hints, expire).Store(&id)
	if err != nil {
		return "", refusedBy(err)
	}
	return shown(id), nil
}

// connect connects to the bus and says hello.
func (s sessionBus) connect(ctx context.Context) (*dbus.Conn, error) {
	address := s.find()
	if address == "" {
		return nil, errors.New("there is no session bus, and so no desktop: run the agent in the user's session, or set bus")
	}
	var raw net.Conn
	err := errors.New("is no address of a bus")
	for one := range strings.SplitSeq(address, ";") {
		var network, at string
		if network, at, err = endpoint(one); err != nil {
			continue
		}
		if raw, err = (&net.Dialer{}).DialContext(ctx, network, at); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the session bus cannot be reached: %w: check that the user is logged on, and bus", err)
	}
	// The library closes the connection when ctx ends; it has no other bound on what is said to it.
	bus, err := dbus.NewConn(&boundedConn{Conn: raw, left: maxBus}, dbus.WithContext(ctx))
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("the session bus cannot be used: %w: check bus", err)
	}
	if err := bus.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))}); err != nil {
		_ = bus.Close()
		return nil, fmt.Errorf("the session bus does not let the agent in: %w: check that the agent runs as the desktop's user", err)
	}
	if err := bus.Hello(); err != nil {
		_ = bus.Close()
		return nil, fmt.Errorf("the session bus does not answer: %w: check bus", err)
	}
	return bus, nil
}

// boundedConn reads at most left bytes. The bus's library reads from one goroutine.
type boundedConn struct {
	net.Conn

	left int
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errors.New("the session bus said more than a notification has to say")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// refusedBy is the error of a notification that was not taken.
func refusedBy(err error) error {
	if refused, ok := errors.AsType[dbus.Error](err); ok {
		if refused.Name == "org.freedesktop.DBus.Error.ServiceUnknown" || refused.Name == "org.freedesktop.DBus.Error.NameHasNoOwner" {
			return errors.New("no notification service runs in the user's session: check that a desktop runs there, or install one, such as dunst")
		}
	}
	return fmt.Errorf("the desktop did not take the message: %w: see the log of its notification service", err)
}
