package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// done says what a form did, by the word in the address that it leads to.
var done = map[string]string{
	string(desk.Acknowledge): "Acknowledged.",
	string(desk.Hold):        "Put on hold: the time is deducted from downtime.",
	string(desk.Resume):      "Resumed.",
	string(desk.AddNote):     "Noted.",
	string(desk.Answer):      "The customer's answer is noted.",
	string(desk.Rectify):     "Noted as temporarily rectified.",
	string(desk.Resolve):     "Resolved; measuring goes on.",
	"maintenance":            "Maintenance has begun: no case is opened for what is covered, and measuring goes on.",
	"silence":                "Silenced: people are told of the end, and of nothing else.",
	"maintenance-end":        "Maintenance is over: what fails now is judged at once.",
	"silence-end":            "The silence is over.",
	"parent":                 "The parent case will be opened.",
}

// actForm performs an operator's action on a case, and leads back to its incident.
func (s *site) actForm(r *http.Request, who string) (string, error) {
	action, number := desk.Action(r.PostForm.Get("action")), r.PathValue("number")
	if !slices.Contains(actions[:], action) {
		return "", &fault{Status: http.StatusBadRequest, Message: fmt.Sprintf("there is no action %q", bounded(clean(string(action)), 40))}
	}
	if err := s.perform(r.Context(), number, action, order{who, r.PostForm.Get("reason")}); err != nil {
		return "", err
	}
	c, err := s.byNumber(r.Context(), number)
	if err != nil {
		return "", err
	}
	return "incidents/" + url.PathEscape(c.Incident) + "?done=" + string(action), nil
}

// orderForm takes maintenance or a silence.
func (s *site) orderForm(r *http.Request, who string) (string, error) {
	kind := incident.OrderKind(r.PostForm.Get("kind"))
	if kind != incident.OrderMaintenance && kind != incident.OrderSilence {
		return "", &fault{Status: http.StatusBadRequest, Message: "kind is neither maintenance nor silence"}
	}
	minutes, err := strconv.Atoi(r.PostForm.Get("minutes"))
	if err != nil {
		return "", &fault{Status: http.StatusBadRequest, Message: "the time is no number of minutes"}
	}
	asked := OrderAsked{
		Actor: who, Reason: r.PostForm.Get("reason"), Minutes: minutes, Incident: r.PostForm.Get("incident"), Customer: r.PostForm.Get("customer") != "",
	}
	if asked.Incident == "" && r.PostForm.Get("all") == "" {
		asked.Components = r.PostForm["component"]
		if len(asked.Components) == 0 {
			return "", &fault{Status: http.StatusBadRequest, Message: "no component is chosen", Hint: "choose some, or all"}
		}
	}
	if _, err := s.take(r.Context(), kind, asked); err != nil {
		return "", err
	}
	if asked.Incident != "" {
		return "incidents/" + url.PathEscape(asked.Incident) + "?done=silence", nil
	}
	return "maintenance?done=" + string(kind), nil
}

// endForm ends maintenance or a silence before its time.
func (s *site) endForm(r *http.Request, who string) (string, error) {
	kind := incident.OrderKind(r.PostForm.Get("kind"))
	o, err := s.endOrder(r, kind, order{who, r.PostForm.Get("reason")})
	if err != nil {
		return "", err
	}
	return "maintenance?done=" + string(o.Kind) + "-end", nil
}
