package cli

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/firstcall-agent/firstcall/agent/setup"
)

// question is one that init asks on a terminal.
type question struct {
	flag  string // that answers it
	ask   string
	help  string
	when  func(setup.Answers) bool  // nil: always
	usual func(*initSession) string // what Enter means; nil: nothing
	take  func(*initSession, string) error
}

// word is a question whose answer is one text.
func word(q question, needed bool, into func(*setup.Answers) *string) question {
	q.take = func(s *initSession, text string) error {
		if text == "" {
			if needed {
				return errors.New("this is needed")
			}
			*into(&s.answers) = ""
			return nil
		}
		was := *into(&s.answers)
		*into(&s.answers) = text
		if err := s.answers.Normal().CheckOne(q.flag, *into(new(s.answers.Normal()))); err != nil {
			*into(&s.answers) = was
			return err
		}
		return nil
	}
	return q
}

// list is a question whose answer is any number of words.
func list(q question, into func(*setup.Answers) *[]string) question {
	q.take = func(s *initSession, text string) error {
		*into(&s.answers) = strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
		for _, value := range *into(new(s.answers.Normal())) {
			if err := s.answers.CheckOne(q.flag, value); err != nil {
				*into(&s.answers) = nil
				return errors.New(value + ": " + err.Error())
			}
		}
		return nil
	}
	return q
}

var questions = []question{
	word(question{
		flag: "tenant", ask: "The customer's short name",
		help: "It stands in every case key, metric and mail, and is not changed later: lower-case letters, digits and hyphens, at most 24, such as acme.",
	}, true, func(a *setup.Answers) *string { return &a.Tenant }),
	word(question{
		flag: "name", ask: "The customer's name for people", help: "Stands in cases and mails, such as ACME A/S.",
		usual: func(s *initSession) string { return s.answers.Tenant },
	}, false, func(a *setup.Answers) *string { return &a.Name }),
	word(question{
		flag: "time-zone", ask: "Time zone", help: "The IANA zone in which the customer reads times, such as Europe/Copenhagen.",
		usual: func(s *initSession) string { return s.machine },
	}, true, func(a *setup.Answers) *string { return &a.TimeZone }),
	word(question{
		flag: "language", ask: "Language of the customer's mails, en or da", help: "English or Danish.",
		usual: func(*initSession) string { return "en" },
	}, true, func(a *setup.Answers) *string { return &a.Language }),
	list(question{
		flag: "url", ask: "Address of the Web Client",
		help: "What users open in a browser, such as https://acme.perfioncloud.com. Several, with spaces between them, where several hosts stand in for one another.",
	}, func(a *setup.Answers) *[]string { return &a.URLs }),
	list(question{
		flag: "perfion-api", ask: "Address of the Perfion API service",
		help:  "What integrations ask, such as https://acme-api.perfioncloud.com, without /Perfion/GetData.asmx. Several, with spaces between them.",
		usual: func(s *initSession) string { return apiOf(s.answers.URLs) },
	}, func(a *setup.Answers) *[]string { return &a.PerfionAPIs }),
	word(question{
		flag: "perfion-user", ask: "Perfion user to ask as", when: func(a setup.Answers) bool { return len(a.PerfionAPIs) > 0 },
		help: "A user of its own with no right but to read. Without one only the version is asked, which needs none. The password is asked for later, and lies in a file.",
	}, false, func(a *setup.Answers) *string { return &a.PerfionUser }),
	list(question{
		flag: "rdp", ask: "Remote Desktop server",
		help: "Host, or host:port, that people log on to. Several, with spaces between them, where they stand in for one another. No account is needed.",
	}, func(a *setup.Answers) *[]string { return &a.RDP }),
	{
		flag: "avd", ask: "Azure Virtual Desktop, y or n", usual: func(s *initSession) string { return yesNo(s.answers.AVDPool != "") },
		help: "Whether the customer's users have desktops there. Microsoft's front doors are then watched, which needs no account.",
		take: func(s *initSession, text string) error {
			switch strings.ToLower(text) {
			case "y", "yes":
				s.answers.AVD = true
			case "n", "no", "":
				s.answers.AVD = false
			default:
				return errors.New("y or n")
			}
			return nil
		},
	},
	word(question{
		flag: "avd-pool", ask: "Its host pool, as subscription/group/pool", when: func(a setup.Answers) bool { return a.AVD },
		help: "Whether the customer's own session hosts serve, and how many sessions are left. An identity in Azure is needed that may read the pool; see docs/probes-avd.md.",
	}, false, func(a *setup.Answers) *string { return &a.AVDPool }),
	word(question{
		flag: "customer", ask: "The customer's contact, as name <mail>",
		help: "Stands in every case, and gets the contract's mails where there is a mail server: case number, status every 30 minutes, end.",
	}, false, func(a *setup.Answers) *string { return &a.Customer }),
	word(question{
		flag: "on-call", ask: "The engineer on call, as name <mail>", help: "Is told of priority 1 and 2 where there is a mail server.",
	}, false, func(a *setup.Answers) *string { return &a.OnCall }),
	word(question{
		flag: "smtp", ask: "Mail server", when: func(a setup.Answers) bool { return a.Customer != "" || a.OnCall != "" },
		help: "smtp://host:587, which must offer STARTTLS, or smtps://host. Without one nobody gets a mail; cases are opened all the same.",
	}, false, func(a *setup.Answers) *string { return &a.SMTP }),
	word(question{
		flag: "mail-from", ask: "Sender of the mails", when: func(a setup.Answers) bool { return a.SMTP != "" },
		help: "An address that the mail server lets the agent send from.", usual: func(s *initSession) string { return senderOf(s.answers.Normal().SMTP) },
	}, true, func(a *setup.Answers) *string { return &a.MailFrom }),
	word(question{
		flag: "smtp-user", ask: "User to log on there", when: func(a setup.Answers) bool { return a.SMTP != "" },
		help: "None where the server takes mails from this host without. The password is asked for later, and lies in a file.",
	}, false, func(a *setup.Answers) *string { return &a.SMTPUser }),
	word(question{
		flag: "desk", ask: "Where cases are opened", usual: func(*initSession) string { return setup.Builtin },
		help: "builtin needs nothing: cases are on the agent's own page and in 'firstcall cases'. Or a ticket system: " + strings.Join(deskKinds(), ", ") + ".",
	}, true, func(a *setup.Answers) *string { return &a.Desk }),
}

func yesNo(yes bool) string {
	if yes {
		return "y"
	}
	return "n"
}

// apiOf guesses where the API service of a Web Client in Perfion's cloud is; "" for any other.
func apiOf(pages []string) string {
	if len(pages) != 1 {
		return ""
	}
	page := pages[0]
	if !strings.Contains(page, "://") {
		page = "https://" + page
	}
	u, err := url.Parse(page)
	if err != nil {
		return ""
	}
	name, domain, ok := strings.Cut(u.Hostname(), ".")
	if !ok || !strings.HasPrefix(domain, "perfioncloud.") {
		return ""
	}
	return "https://" + name + "-api." + domain
}

// senderOf guesses a sender from the name of a mail server; "" where it has none.
func senderOf(server string) string {
	u, err := url.Parse(server)
	if err != nil || net.ParseIP(u.Hostname()) != nil {
		return ""
	}
	_, domain, ok := strings.Cut(u.Hostname(), ".")
	if !ok || !strings.Contains(domain, ".") {
		domain = u.Hostname()
	}
	if !strings.Contains(domain, ".") {
		return ""
	}
	return "firstcall@" + domain
}
