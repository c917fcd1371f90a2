package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// zammadSystem is the user that Zammad itself acts as: triggers, schedulers, reminders.
const zammadSystem = 1

// zammadHistory is the answer of ticket_history.
type zammadHistory struct {
	History *[]struct {
		ID        int64  `json:"id"`
		Object    string `json:"object"`
		Type      string `json:"type"`
		Attribute string `json:"attribute"`
		From      text   `json:"value_from"`
		To        text   `json:"value_to"`
		By        int64  `json:"created_by_id"`
		At        string `json:"created_at"`
	} `json:"history"`
	Assets struct {
		User map[string]struct {
			ID        int64  `json:"id"`
			Login     string `json:"login"`
			Firstname string `json:"firstname"`
			Lastname  string `json:"lastname"`
		}
	} `json:"assets"`
}

// zammadArticle is an entry of ticket_articles/by_ticket with expand=true.
type zammadArticle struct {
	ID        int64  `json:"id"`
	Body      string `json:"body"`
	Type      string `json:"content_type"`
	Sender    string `json:"sender"`
	By        int64  `json:"created_by_id"`
	CreatedBy string `json:"created_by"`
	At        string `json:"created_at"`
	at        time.Time
}

func (a zammadArticle) text() string {
	if strings.HasPrefix(a.Type, "text/html") {
		return unmarked(a.Body)
	}
	return secret.Plain(a.Body, maxReason)
}

// zammadStep is one entry of a ticket's history or one of its articles.
type zammadStep struct {
	incident.Transition
	article bool
	id      int64
}

// Transitions returns changes of state and articles. Zammad's times are milliseconds; what happened in the same one is told apart
// by the order of the ids.
func (d *zammad) Transitions(ctx context.Context, ref string, since time.Time) ([]incident.Transition, error) {
	t, err := d.ticket(ctx, ref)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	history, err := d.history(ctx, ref)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	articles, err := d.articles(ctx, ref)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	steps := append(d.moves(t, history, articles), d.said(t, history, articles)...)
	slices.SortStableFunc(steps, func(a, b zammadStep) int {
		switch {
		case !a.At.Equal(b.At):
			return a.At.Compare(b.At)
		case a.article != b.article:
			return map[bool]int{false: -1, true: 1}[a.article]
		}
		return cmp.Compare(a.id, b.id)
	})
	all := make([]incident.Transition, len(steps))
	for i, s := range steps {
		all[i] = s.Transition
	}
	risingSteps(all)
	return stepsAfter(all, since), nil
}

// moves returns the changes of state; the agent's own have no actor.
func (d *zammad) moves(t zammadTicket, history zammadHistory, articles []zammadArticle) []zammadStep {
	var steps []zammadStep
	for _, h := range *history.History {
		at, err := time.Parse(time.RFC3339, h.At)
		if err != nil || h.Object != "Ticket" || h.Type != "updated" || h.Attribute != "state" {
			continue
		}
		s := zammadStep{id: h.ID, Transition: incident.Transition{At: at.UTC(), To: d.config.States.read(string(h.To)), Customer: h.By == t.Customer}}
		was := d.config.States.read(string(h.From))
		if h.By != t.CreatedBy && was != s.To {
			s.Actor, s.Text = history.who(h.By), secret.Plain(string(h.To), maxActor)
			for _, a := range articles { // written with the change
				if a.By == h.By && a.at.Sub(at).Abs() < 2*time.Second {
					s.Text += ": " + a.text()
					break
				}
			}
		}
		steps = append(steps, s)
	}
	return steps
}

// said returns the articles; the agent's own have no actor.
func (d *zammad) said(t zammadTicket, history zammadHistory, articles []zammadArticle) []zammadStep {
	steps := make([]zammadStep, 0, len(articles))
	for _, a := range articles {
		s := zammadStep{id: a.ID, article: true, Transition: incident.Transition{At: a.at, Text: a.text()}}
		if a.By != t.CreatedBy && a.By != zammadSystem && a.Sender != "System" {
			s.Actor, s.Customer = history.who(a.By), a.Sender == "Customer"
			if s.Actor == zammadUnknown {
				s.Actor = cmp.Or(secret.Plain(a.CreatedBy, maxActor), zammadUnknown)
			}
		}
		steps = append(steps, s)
	}
	return steps
}

const zammadUnknown = "a user of Zammad"

// who names a user.
func (h zammadHistory) who(id int64) string {
	if id == zammadSystem {
		return "Zammad"
	}
	for _, u := range h.Assets.User {
		if u.ID == id {
			return cmp.Or(secret.Plain(strings.TrimSpace(u.Firstname+" "+u.Lastname), maxActor), secret.Plain(u.Login, maxActor), zammadUnknown)
		}
	}
	return zammadUnknown
}

func (d *zammad) history(ctx context.Context, ref string) (zammadHistory, error) {
	address := d.url + "/api/v1/ticket_history/" + ref
	raw, err := d.link.get(ctx, address)
	if err != nil {
		return zammadHistory{}, err
	}
	var h zammadHistory
	if json.Unmarshal(raw, &h) != nil || h.History == nil {
		return zammadHistory{}, d.strange(address, raw, nil)
	}
	return h, nil
}

func (d *zammad) articles(ctx context.Context, ref string) ([]zammadArticle, error) {
	address := d.url + "/api/v1/ticket_articles/by_ticket/" + ref + "?expand=true"
	raw, err := d.link.get(ctx, address)
	if err != nil {
		return nil, err
	}
	var list []zammadArticle
	if json.Unmarshal(raw, &list) != nil || list == nil {
		return nil, d.strange(address, raw, nil)
	}
	kept := list[:0]
	for _, a := range list {
		if at, err := time.Parse(time.RFC3339, a.At); err == nil {
			a.at = at.UTC()
			kept = append(kept, a)
		}
	}
	return kept, nil
}
