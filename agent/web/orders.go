package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Bounds on what a person may order.
const (
	maxMinutes    = 30 * 24 * 60 // 30 days
	maxComponents = 200
)

// OrderAsked is the body of POST /api/v1/maintenance and of POST /api/v1/silences.
type OrderAsked struct {
	Actor      string   `json:"actor"`
	Reason     string   `json:"reason"`
	Minutes    int      `json:"minutes"`              // how long, from now
	Components []string `json:"components,omitempty"` // empty: all, or what Incident says
	Incident   string   `json:"incident,omitempty"`   // of a silence: only that one
	Customer   bool     `json:"customer,omitempty"`   // of a silence: the customer's mails too
}

// ListedOrder is an order and whether it is in force.
type ListedOrder struct {
	incident.Order
	Active bool `json:"active"`
}

// Orders is the answer of GET /api/v1/silences.
type Orders struct {
	At     time.Time     `json:"at"`
	Orders []ListedOrder `json:"orders"` // newest first, in force or over for less than 30 days
}

// Upkeep is the answer of GET /api/v1/maintenance.
type Upkeep struct {
	Orders
	Windows []Window `json:"windows"` // configured and ordered, that are open or open within 14 days, by their start
}

// Window is a stretch of maintenance.
type Window struct {
	Name       string    `json:"name"`
	From       time.Time `json:"from"`
	Until      time.Time `json:"until"`
	Components []string  `json:"components"` // empty: all
	Open       bool      `json:"open"`
}

// windowsAhead is how far ahead the windows are listed, and maxWindows how many.
const (
	windowsAhead = 14 * 24 * time.Hour
	maxWindows   = 100
)

func (s *site) orders(kind incident.OrderKind) Orders {
	answer := Orders{At: s.Now(), Orders: []ListedOrder{}}
	for _, o := range s.Agent.Orders() {
		if o.Kind == kind {
			answer.Orders = append(answer.Orders, ListedOrder{o, o.Active(answer.At)})
		}
	}
	return answer
}

func (s *site) upkeep() Upkeep {
	answer := Upkeep{Orders: s.orders(incident.OrderMaintenance), Windows: []Window{}}
	for _, w := range s.Agent.Maintenance(answer.At, answer.At.Add(windowsAhead)) {
		if w.To.After(answer.At) && len(answer.Windows) < maxWindows {
			answer.Windows = append(answer.Windows, Window{w.Name, w.From, w.To, list(w.Components), w.Active(answer.At)})
		}
	}
	return answer
}

func (s *site) apiMaintenance(*http.Request) (any, error) { return s.upkeep(), nil }
func (s *site) apiSilences(*http.Request) (any, error) {
	return s.orders(incident.OrderSilence), nil
}

// apiOrder returns what takes an order of a kind.
func (s *site) apiOrder(kind incident.OrderKind) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var asked OrderAsked
		if err := readJSON(r, &asked, `send {"actor": "your name", "reason": "why", "minutes": 120, "components": ["backend"]}`); err != nil {
			return nil, err
		}
		return s.take(r.Context(), kind, asked)
	}
}

// take checks an order and hands it on.
func (s *site) take(ctx context.Context, kind incident.OrderKind, asked OrderAsked) (ListedOrder, error) {
	who := order{asked.Actor, asked.Reason}
	if f := who.check(""); f != nil {
		return ListedOrder{}, f
	}
	if f := s.checkOrder(kind, &asked, who.Reason); f != nil {
		return ListedOrder{}, f
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	now := s.Now()
	o, err := s.Agent.Order(ctx, incident.Order{
		Kind: kind, Components: asked.Components, Incident: asked.Incident, Customer: asked.Customer, From: now,
		Until: now.Add(time.Duration(asked.Minutes) * time.Minute), Actor: who.Actor, Reason: who.Reason,
	})
	if err != nil {
		return ListedOrder{}, orderRefused(err)
	}
	return ListedOrder{o, true}, nil
}

func (s *site) checkOrder(kind incident.OrderKind, asked *OrderAsked, reason string) *fault {
	bad := func(message, hint string) *fault {
		return &fault{Status: http.StatusBadRequest, Message: message, Hint: hint}
	}
	var known []string
	for _, c := range s.Agent.View().Components {
		known = append(known, c.Name)
	}
	for _, name := range asked.Components {
		if !slices.Contains(known, name) {
			hint := "GET /api/v1/components lists them"
			if near := nearest(name, known); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return bad(fmt.Sprintf("there is no component %q", bounded(clean(name), 60)), hint)
		}
	}
	slices.Sort(asked.Components)
	asked.Components = slices.Compact(asked.Components)
	switch {
	case reason == "":
		return bad("reason is missing", "say why: it stands on the page and in the timeline")
	case asked.Minutes < 1 || asked.Minutes > maxMinutes:
		return bad("minutes is out of range", fmt.Sprintf("1 to %d, which is 30 days; a window that comes again belongs into the configuration", maxMinutes))
	case len(asked.Components) > maxComponents:
		return bad("components are too many", fmt.Sprintf("at most %d, or none for all", maxComponents))
	case kind == incident.OrderMaintenance && (asked.Incident != "" || asked.Customer):
		return bad("incident and customer are for silences", "maintenance names components")
	case asked.Incident != "" && len(asked.Components) > 0:
		return bad("incident and components exclude each other", "name one of them")
	}
	return nil
}

// orderRefused says why the agent did not take an order.
func orderRefused(err error) error {
	switch {
	case errors.Is(err, incident.ErrNotFound):
		return &fault{Status: http.StatusNotFound, Message: err.Error()}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	}
	return &fault{Status: http.StatusConflict, Message: err.Error()}
}

// apiEnd returns what ends an order of a kind before its time.
func (s *site) apiEnd(kind incident.OrderKind) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		o, err := readOrder(r)
		if err != nil {
			return nil, err
		}
		return s.endOrder(r, kind, o)
	}
}

func (s *site) endOrder(r *http.Request, kind incident.OrderKind, o order) (ListedOrder, error) {
	if f := o.check(""); f != nil {
		return ListedOrder{}, f
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return ListedOrder{}, &fault{Status: http.StatusNotFound, Message: fmt.Sprintf("there is no %s %q", kind, bounded(clean(r.PathValue("id")), 40))}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), requestTimeout)
	defer cancel()
	ended, err := s.Agent.EndOrder(ctx, kind, id, o.Actor, o.Reason)
	if err != nil {
		return ListedOrder{}, orderRefused(err)
	}
	return ListedOrder{ended, false}, nil
}

// readJSON reads the one object of a body; hint says what should have been sent.
func readJSON(r *http.Request, into any, hint string) error {
	if !isJSON(r) {
		return &fault{Status: http.StatusUnsupportedMediaType, Message: "the body must be JSON", Hint: "send Content-Type: application/json"}
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if rest := dec.Decode(&struct{}{}); errors.Is(rest, io.EOF) {
			return nil
		}
		err = errors.New("more follows after the object")
	}
	if _, tooBig := errors.AsType[*http.MaxBytesError](err); tooBig {
		return err
	}
	return &fault{Status: http.StatusBadRequest, Message: "the body cannot be read: " + err.Error(), Hint: hint}
}
