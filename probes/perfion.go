package probes

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// Words of the perfion kind's interface and auth.
const (
	perfionAuto = "auto"

	perfionSOAP = "soap"
	perfionREST = "rest"

	authBasic   = "basic"
	authHeaders = "headers"
	authToken   = "token"
	authFile    = "file" // never configured: token_file says it
)

// Perfion asks a Perfion API service for data, as an integration does: over SOAP (Data Web Service) or REST. What each answer
// means is in perfion_judge.go.
type Perfion struct {
	URL          string       `yaml:"url" required:"true" doc:"Address of the Perfion API service, https://host or https://host/path."`
	Query        string       `yaml:"query" inline:"<{" doc:"A Perfion query, XML or JSON, or the file that holds it. Take one with maxCount 1. Without it only GetVersion is asked, which does not prove that the database answers."`
	Interface    string       `yaml:"interface" default:"auto" enum:"auto,soap,rest" doc:"How the query is asked: soap takes XML and JSON, rest takes JSON; auto is rest for JSON and soap else."`
	User         string       `yaml:"user" doc:"Perfion user; an account of its own, with no right but to read what the query asks for."`
	Password     secret.Value `yaml:"password" doc:"Its password. Only its hash is sent; once it is refused, the account is not tried again until the secret changes or an operator resets it."`
	PasswordHash secret.Value `yaml:"password_hash" doc:"The hash in place of password: BASE64(SHA256(password)). It is as good as the password."`
	Auth         string       `yaml:"auth" default:"auto" enum:"auto,basic,headers,token" doc:"How the user is shown: basic for SOAP since Perfion 5.0, headers (user and pwd) for SOAP before, token asks token_path for a bearer token; auto is basic for soap and token for rest."`
	TokenFile    string       `yaml:"token_file" doc:"In place of user, a file with a bearer token that Entra issued; read at each run, so that a renewed one is used at once."`
	SOAPPath     string       `yaml:"soap_path" default:"/Perfion/GetData.asmx" doc:"Path of the Data Web Service, after url."`
	DataPath     string       `yaml:"data_path" default:"/data" doc:"Path of the REST data endpoint, after url."`
	TokenPath    string       `yaml:"token_path" default:"/token" doc:"Path of the token endpoint, after url."`

	ExpiresWithin time.Duration `yaml:"expires_within" default:"0s" doc:"Less time left than this on the certificate is a passed threshold (priority 4), as with limits: { certificate_days: 21 }; 0 turns it off."`
	Proxy         secret.Value  `yaml:"proxy" doc:"Address of an HTTP or HTTPS proxy, with its credentials; none is taken from the environment."`
	CAFile        string        `yaml:"ca_file" doc:"PEM file with the authorities that are trusted instead of the system's; read when the configuration is loaded."`
	ServerName    string        `yaml:"server_name" doc:"Name that the certificate must be for; the host of url unless given."`
	MaxBody       int64         `yaml:"max_body" default:"262144" doc:"Bytes of an answer, decompressed, after which reading stops; what was read is judged. At most 64 MiB."`

	client   *HTTP // transport and its rules
	question question
	version  question // GetVersion
	soap     bool
	account  perfionAccount
	latch    Latch // nil: the process'
}

func init() {
	Register(Kind{
		Name:    "perfion",
		Doc:     "Asks a Perfion API service for data over SOAP or REST, with a user or without, and tells infrastructure from functional failures.",
		New:     func() Probe { return new(Perfion) },
		Phases:  []string{PhaseDNS, PhaseConnect, PhaseTLS, PhaseToken, PhaseServer, PhaseFirstByte, PhaseTransfer},
		Numbers: []NumberKind{certificateDays},
	})
}

// OwnLimit returns what expires_within sets.
func (p *Perfion) OwnLimit(number string) (float64, string) {
	return expiresWithin(number, p.ExpiresWithin)
}

// Validate checks everything, the query's form among it, reads ca_file and prepares the questions.
func (p *Perfion) Validate() field.Errors {
	p.client = nil
	client := &HTTP{
		URL: p.URL, Method: http.MethodPost, Proxy: p.Proxy, CAFile: p.CAFile, ServerName: p.ServerName,
		MaxBody: p.MaxBody, ExpiresWithin: p.ExpiresWithin, Version: "auto",
	}
	faults := client.Validate()
	p.checkURL(&faults, client.target)
	p.checkQuery(&faults)
	p.checkAccount(&faults)
	paths := []struct {
		key   string
		value *string
		usual string
	}{{"soap_path", &p.SOAPPath, "/Perfion/GetData.asmx"}, {"data_path", &p.DataPath, "/data"}, {"token_path", &p.TokenPath, "/token"}}
	for _, path := range paths {
		if *path.value == "" {
			*path.value = path.usual
		}
		if u, err := url.Parse(*path.value); err != nil || !strings.HasPrefix(*path.value, "/") || strings.HasPrefix(*path.value, "//") || u.RawQuery != "" || u.Fragment != "" {
			faults.AddHint(path.key, "write "+path.usual, "is not a path")
		}
	}
	if len(faults) > 0 {
		return faults
	}
	p.prepare(client.target)
	p.client = client
	return nil
}

func (p *Perfion) checkURL(faults *field.Errors, target *url.URL) {
	if target == nil {
		return
	}
	path := strings.ToLower(target.Path)
	switch {
	case target.RawQuery != "":
		faults.Add("url", "holds a query (?…)")
	case strings.HasSuffix(path, ".asmx"), strings.HasSuffix(strings.TrimRight(path, "/"), "/data"), strings.HasSuffix(strings.TrimRight(path, "/"), "/token"):
		faults.AddHint("url", "write it without, and soap_path, data_path or token_path where they are not the usual ones", "holds the path of an endpoint")
	}
}

// checkQuery finds out what the query is, and which interface takes it.
func (p *Perfion) checkQuery(faults *field.Errors) {
	query := strings.TrimSpace(strings.TrimPrefix(p.Query, "\ufeff"))
	isJSON := strings.HasPrefix(query, "{")
	switch p.Interface {
	case "", perfionAuto:
		p.soap = !isJSON
	case perfionSOAP:
		p.soap = true
	case perfionREST:
		p.soap = false
		if query == "" {
			faults.AddHint("query", "give a query in JSON, or use interface: soap", "is required for interface: rest")
		} else if !isJSON {
			faults.AddHint("query", "write it in JSON, or use interface: soap", "is XML, which interface: rest does not take")
		}
	default:
		faults.AddHint("interface", "auto, soap or rest", "is no interface")
	}
	switch {
	case query == "":
	case isJSON:
		var root struct{ Query json.RawMessage }
		if err := json.Unmarshal([]byte(query), &root); err != nil {
			faults.Add("query", "is no proper json: %s", clause(err))
		} else if len(root.Query) == 0 {
			faults.AddHint("query", `begin with { "Query": { "Select": …`, "is json without Query")
		}
	default:
		if err := checkQueryXML(query); err != nil {
			faults.AddHint("query", "begin with <Query><Select …", "%s", clause(err))
		}
	}
}

// checkQueryXML wants well-formed XML with the root Query.
func checkQueryXML(query string) error {
	decoder := newXMLReader([]byte(query))
	root, err := firstElement(decoder)
	if err == nil && root.Name.Local != "Query" {
		return errors.New("its root is <" + Printable(root.Name.Local, 60) + ">, not <Query>")
	}
	for err == nil {
		_, err = decoder.Token()
	}
	if !errors.Is(err, io.EOF) {
		return errors.New("is no proper xml: " + clause(err))
	}
	return nil
}

// question is what can be asked.
type question struct {
	url    *url.URL
	method string // of SOAP: the operation; "" for REST
	body   string
	header http.Header
}

func (p *Perfion) prepare(base *url.URL) {
	at := func(path string) *url.URL {
		u := *base
		u.Path, u.RawPath = strings.TrimRight(base.Path, "/")+path, ""
		return &u
	}
	query := strings.TrimSpace(strings.TrimPrefix(p.Query, "\ufeff"))
	p.version = soapQuestion(at(p.SOAPPath), "GetVersion", "")
	switch {
	case query == "":
		p.question = p.version
	case p.soap:
		p.question = soapQuestion(at(p.SOAPPath), "ExecuteQuery", "<query>"+escapeXML(query)+"</query>")
	default:
		p.question = question{url: at(p.DataPath), body: query, header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}}
	}
	p.question.header.Set("User-Agent", userAgent)
	p.version.header.Set("User-Agent", userAgent)
	p.account.endpoint = at(p.TokenPath)
}

// soapQuestion is an operation of the Data Web Service, in SOAP 1.1.
func soapQuestion(at *url.URL, method, arguments string) question {
	const namespace = "http://perfion.com/"
	return question{
		url: at, method: method,
		body: `<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="` + soap11 + `"><soap:Body><` + method + ` xmlns="` + namespace + `">` +
			arguments + `</` + method + `></soap:Body></soap:Envelope>`,
		header: http.Header{"Content-Type": {"text/xml; charset=utf-8"}, "Accept": {"text/xml, application/soap+xml"}, "Soapaction": {`"` + namespace + method + `"`}},
	}
}

func escapeXML(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder does not fail
	return b.String()
}
