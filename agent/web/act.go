package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// actions are what an operator may do through the API, each at an address of its own.
var actions = [...]desk.Action{desk.Acknowledge, desk.Hold, desk.Resume, desk.AddNote, desk.Answer, desk.Rectify, desk.Resolve}

// Bounds on an operator's words, in characters.
const (
	maxActor  = 100
	maxReason = 2000
)

// order is the body of an operator's call.
type order struct {
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
}

// act returns what performs one action on the case in the address.
func (s *site) act(action desk.Action) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		o, err := readOrder(r)
		if err != nil {
			return nil, err
		}
		number := r.PathValue("number")
		if err := s.perform(r.Context(), number, action, o); err != nil {
			return nil, err
		}
		return struct {
			Number string      `json:"number"`
			Action desk.Action `json:"action"`
		}{number, action}, nil
	}
}

// perform checks an operator's order and carries it out. An action that began is not broken off because the client hung up.
func (s *site) perform(ctx context.Context, number string, action desk.Action, o order) error {
	if f := o.check(action); f != nil {
		return f
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	if err := s.Agent.Act(ctx, number, action, o.Actor, o.Reason); err != nil {
		return s.actFault(ctx, number, err)
	}
	s.Log.Info("case worked on", "case", number, "action", string(action), "actor", o.Actor)
	return nil
}

// actFault says why an action failed: no such case, a case of a desk where people work themselves, or a state that does not
// allow it.
func (s *site) actFault(ctx context.Context, number string, err error) error {
	switch {
	case errors.Is(err, incident.ErrNotFound):
		c, lookup := s.Store.CaseByNumber(ctx, number)
		if lookup == nil {
			return &fault{
				Status: http.StatusConflict, Message: fmt.Sprintf("case %s is not at the built-in desk", number),
				Hint: fmt.Sprintf("work on it at desk %q", c.Desk),
			}
		}
		return &fault{
			Status: http.StatusNotFound, Message: fmt.Sprintf("there is no case %q", bounded(number, 60)),
			Hint: "GET /api/v1/cases lists the cases",
		}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	}
	return &fault{Status: http.StatusConflict, Message: err.Error()}
}

func readOrder(r *http.Request) (o order, err error) {
	return o, readJSON(r, &o, `send {"actor": "your name", "reason": "why"}`)
}

func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

func (o *order) check(action desk.Action) *fault {
	o.Actor, o.Reason = strings.TrimSpace(o.Actor), strings.TrimSpace(o.Reason)
	bad := func(message, hint string) *fault {
		return &fault{Status: http.StatusBadRequest, Message: message, Hint: hint}
	}
	switch {
	case o.Actor == "":
		return bad("actor is missing", "say who acts: it stands in the timeline")
	case o.Actor == incident.ActorAgent:
		return bad(`actor must not be "firstcall"`, "that name is the agent's own")
	case utf8.RuneCountInString(o.Actor) > maxActor:
		return bad("actor is too long", fmt.Sprintf("at most %d characters", maxActor))
	case utf8.RuneCountInString(o.Reason) > maxReason:
		return bad("reason is too long", fmt.Sprintf("at most %d characters", maxReason))
	case o.Reason == "" && slices.Contains([]desk.Action{desk.Hold, desk.AddNote, desk.Answer, desk.Rectify}, action):
		return bad("reason is missing", "hold, note, answer and rectify need one: it stands in the case")
	}
	return nil
}

// healthy is for the thing that restarts the agent: it answers 200 while the judging loop moves.
func (s *site) healthy(w http.ResponseWriter, _ *http.Request) {
	if !s.Agent.Health().Alive {
		writeText(w, http.StatusServiceUnavailable, "the judging loop has not moved for 30 s")
		return
	}
	writeText(w, http.StatusOK, "alive")
}

// ready is for the thing that waits for the agent's start: every frequent probe has run once.
func (s *site) ready(w http.ResponseWriter, _ *http.Request) {
	if !s.Agent.Health().Ready {
		writeText(w, http.StatusServiceUnavailable, "not ready: "+learning(s.Agent.View()))
		return
	}
	writeText(w, http.StatusOK, "ready")
}

// reload reads the configuration again and answers with its faults, one a line.
func (s *site) reload(w http.ResponseWriter, r *http.Request) {
	err := s.Agent.Reload(context.WithoutCancel(r.Context()))
	if err == nil {
		writeText(w, http.StatusOK, "the configuration is in force")
		return
	}
	status := http.StatusBadRequest
	if unreadable(err) {
		status = http.StatusInternalServerError
	}
	writeText(w, status, "the old configuration goes on:\n"+err.Error())
}

// unreadable tells a configuration that cannot be had from one that is wrong.
func unreadable(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
