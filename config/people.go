package config

import (
	"fmt"

	"github.com/firstcall-agent/firstcall/incident"
)

// The words in a notifier's to that stand for the tenant's contacts.
const (
	customer   = "customer"
	functional = "functional"
	onCall     = "on_call"
)

var roles = []string{customer, functional, onCall}

// builtin is the kind and the name of the desk that there is unless others are given.
const builtin = "builtin"

// mailKind is the kind of notifier that writes to e-mail addresses: the contacts that it is for must have one.
const mailKind = "email"

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
}

func (d *decoder) notices(c *Config) {
	seen := map[string]string{}
	for i := range c.Notices {
		n, path := &c.Notices[i], fmt.Sprintf("notices[%d]", i)
		d.name(path, n.Name, entryName, nameHint, seen)
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
