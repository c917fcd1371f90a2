package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/sla"
)

// The words in a notifier's to that stand for the tenant's contacts.
const (
	customer   = "customer"
	functional = "functional"
	onCall     = "on_call"
	centre     = "operations_centre" // of phoneKind alone
)

var roles = []string{customer, functional, onCall}

// builtin is the kind and the name of the desk that there is unless others are given.
const builtin = "builtin"

// mailKind is the kind of notifier that writes to e-mail addresses: the contacts that it is for must have one.
const mailKind = "email"

// phoneKind is the kind of notifier that calls telephone numbers.
const phoneKind = "phone"

// rules checks what an operator decides about the cases at a desk.
func (d *decoder) rules(c *Config) {
	for i, k := range c.Desks {
		path := fmt.Sprintf("desks[%d]", i)
		d.check(k.FallbackAfter >= 0 && k.FallbackAfter <= 24*time.Hour, path+".fallback_after", "", "must be between 0s and 24h")
		d.check(i > 0 || k.FallbackAfter == 0, path+".fallback_after", "put the desk that is used first before it",
			"the first desk is the primary one and cannot be a fallback")
		d.check(k.ResolvedEarlyAfter >= 0 && k.ResolvedEarlyAfter <= 7*24*time.Hour, path+".resolved_early_after", "", "must be between 0s and 168h")
		d.check(k.ResolveAfter >= 0 && k.ResolveAfter <= 7*24*time.Hour, path+".resolve_after", "", "must be between 0s and 168h")
		d.check(k.ResolveAfter == 0 || k.ResolvedBy != people, path+".resolve_after", "leave one of them out", "has no effect: resolved_by is people")
		if secret := k.WebhookSecret.Reveal(); secret != "" {
			d.check(len(secret) >= 16, path+".webhook_secret", "", "is shorter than 16 characters: anybody could find it out")
		}
	}
}

// people is the word of resolved_by for those who work at the desk.
const people = "people"

// quiet reads the quiet hours of a notifier.
func (d *decoder) quiet(c *Config, n *Notifier, path string) {
	if len(n.Quiet) == 0 {
		return
	}
	hours, err := sla.ParseCalendar(n.Quiet, c.Tenant.Zone, "")
	for _, fault := range unjoin(err) {
		d.check(false, path+".quiet", `such as ["Mon-Sun 22:00-07:00"]`, "%s", fault)
	}
	d.check(!slices.Contains(n.Quiet, "24x7"), path+".quiet", "leave the notifier out instead", "24x7: nobody would ever be told")
	n.QuietHours = &hours
}

func (d *decoder) desks(c *Config) {
	if !d.given("desks") || len(c.Desks) == 0 {
		own := Desk{Kind: builtin, Name: builtin}
		own.choose(builtin)
		c.Desks = []Desk{own}
		return
	}
	seen := map[string]string{}
	for i, k := range c.Desks {
		path := fmt.Sprintf("desks[%d]", i)
		d.name(path, k.Name, entryName, nameHint, seen)
		d.caseTexts(k, path)
	}
	d.rules(c)
}

func (d *decoder) notices(c *Config) {
	seen := map[string]string{}
	for i := range c.Notices {
		n, path := &c.Notices[i], fmt.Sprintf("notices[%d]", i)
		d.name(path, n.Name, entryName, nameHint, seen)
		d.quiet(c, n, path)
		d.check(n.Kind != phoneKind || len(n.To) > 0, path+".to", "on_call, or telephone numbers such as \"+45 00 00 00 01\"", "is missing: nobody would be called")
		d.check(n.Kind != mailKind || len(n.To) > 0, path+".to", "customer, functional, on_call, or e-mail addresses", "is missing: nobody would get the mails")
		if !d.clean(path + ".kind") {
			continue // whom it may tell is not known
		}
		for j, to := range n.To {
			d.recipient(c, n, to, fmt.Sprintf("%s.to[%d]", path, j))
		}
	}
}

// recipient resolves one entry of a notifier's to.
func (d *decoder) recipient(c *Config, n *Notifier, to, path string) {
	people := c.Tenant.Contacts
	contacts := map[string]incident.Contact{customer: people.Customer, functional: people.Functional, onCall: people.OnCall}
	contact, named := contacts[to]
	switch {
	case named && n.Kind == phoneKind:
		d.check(contact.Phone != "", path, "give tenant.contacts."+to+" a phone", "%s has no telephone number", to)
		n.Recipients = append(n.Recipients, Recipient{Role: to, Contact: contact})
	case n.Kind == phoneKind && to == centre:
		n.Recipients = append(n.Recipients, Recipient{Role: to, Contact: incident.Contact{Name: c.OperationsCentre.Name, Phone: c.OperationsCentre.Phone}})
	case n.Kind == phoneKind:
		if _, err := notify.PhoneNumber(to); err == nil {
			n.Recipients = append(n.Recipients, Recipient{Contact: incident.Contact{Phone: to}})
			return
		}
		hint := "write customer, functional, on_call, operations_centre or a telephone number such as +45 33 36 63 00"
		if near, ok := nearest(to, append(slices.Clone(roles), centre)); ok {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		d.check(false, path, hint, "%s is neither a contact nor a telephone number", quote(to))
	case named:
		d.check(n.Kind != mailKind || contact.Email != "", path, "give tenant.contacts."+to+" an email", "%s has no e-mail address", to)
		n.Recipients = append(n.Recipients, Recipient{Role: to, Contact: contact})
	case n.Kind == mailKind && isMail(to):
		n.Recipients = append(n.Recipients, Recipient{Contact: incident.Contact{Email: to}})
	case n.Kind == mailKind:
		hint := "write customer, functional, on_call or name@host"
		if near, ok := nearest(to, roles); ok {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		d.check(false, path, hint, "%s is neither a contact nor an e-mail address", quote(to))
	default:
		d.check(false, path, d.suggest(to, roles), "%s is not a contact", quote(to))
	}
}
