package probes

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// perfionAnswer is what an answer of a Perfion API service says, or of whatever stands in its place. The zero value says nothing.
type perfionAnswer struct {
	status   int    // of HTTP
	line     string // the status with its words
	software string // that the server says it is
	user     string // that was shown to it; "" for none, or a token
	location string // where it redirects to, fit to print
	html     bool   // it is a page
	title    string // of the page
	cut      bool   // it is longer than what was read

	data       bool // it is data of Perfion
	server     time.Duration
	took       string // totalExecutionTime, as it stands
	rows       int    // items of the data
	features   int    // definitions of features beside them
	totalCount string
	version    string // of the API service
	token      string
	lifetime   time.Duration // of the token; 0 when it is not known

	complaint string // what the application says is wrong
	fault     bool   // the complaint is a SOAP fault
	client    bool   // the fault blames the request
	wrong     string // what is wrong with the form of the body
}

// Bounds on what is looked at.
const (
	maxNesting   = 200
	maxTag       = 16 << 10
	maxComplaint = 400
	maxToken     = 16 << 10
)

// Namespaces of SOAP 1.1 and 1.2.
const (
	soap11 = "http://schemas.xmlsoap.org/soap/envelope/"
	soap12 = "http://www.w3.org/2003/05/soap-envelope"
)

var errTag = fmt.Errorf("holds a tag longer than %d bytes", maxTag)

// xmlReader is an xml.Decoder that bounds the length of a tag, since it holds all attributes of one in memory.
type xmlReader struct {
	*xml.Decoder
	data      []byte
	at, token int // the next byte, and that of the token
}

func newXMLReader(data []byte) *xmlReader {
	r := &xmlReader{data: data}
	r.Decoder = xml.NewDecoder(r)
	return r
}

// Token returns the next token.
func (r *xmlReader) Token() (xml.Token, error) {
	r.token = int(r.InputOffset())
	return r.Decoder.Token()
}

// ReadByte is how the decoder reads.
func (r *xmlReader) ReadByte() (byte, error) {
	if r.at >= len(r.data) {
		return 0, io.EOF
	}
	if r.at-r.token > maxTag && r.data[r.token] == '<' && !bytes.HasPrefix(r.data[r.token:], []byte("<![CDATA[")) {
		return 0, errTag
	}
	r.at++
	return r.data[r.at-1], nil
}

// Read is there because the decoder asks for it; it reads by bytes.
func (r *xmlReader) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

var errNesting = fmt.Errorf("is nested deeper than %d levels", maxNesting)

// isHTML reports whether body begins as a page does.
func isHTML(body []byte) bool {
	head := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(body[:min(len(body), 512)], []byte("\xef\xbb\xbf"))))
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
}

// readSOAP takes a SOAP envelope, 1.1 or 1.2, apart: the text of methodResult in methodResponse, or a fault.
func (a *perfionAnswer) readSOAP(body []byte, method string) {
	e := envelope{result: method + "Result"}
	err := e.read(body, a.cut)
	switch {
	case e.faulted:
		a.fault, a.client, a.complaint = true, e.client(), complaint(e.text[faultText12], e.text[faultText11])
		if a.complaint == "" {
			a.complaint = "a soap fault without words"
		}
	case err != nil:
		a.wrong = "is no soap answer: " + clause(err)
	case !e.found:
		a.wrong = "is no answer to " + method
	case method == "GetVersion":
		a.version = Printable(strings.TrimSpace(e.text[e.result].String()), 80)
		if a.version == "" {
			a.wrong = "holds no version"
		}
	default:
		a.readData(e.text[e.result].Bytes())
	}
}

// Places of a fault's words and code, by what they are called and in what.
const (
	faultText11 = "faultstring"
	faultCode11 = "faultcode"
	faultText12 = "Text"
	faultCode12 = "Value"
)

// envelope reads the few texts of a SOAP envelope that matter.
type envelope struct {
	result  string // the element whose text is the answer
	text    map[string]*bytes.Buffer
	found   bool // the result is there
	faulted bool
	rooted  bool
	depth   int
	in      *bytes.Buffer // where text goes now
	until   int           // down to what depth
}

// client reports whether the fault blames the request.
func (e *envelope) client() bool {
	for _, place := range []string{faultCode12, faultCode11} {
		if b := e.text[place]; b != nil {
			_, code, found := strings.Cut(strings.TrimSpace(b.String()), ":")
			if !found {
				code = strings.TrimSpace(b.String())
			}
			return code == "Client" || code == "Sender" || strings.HasPrefix(code, "Client.")
		}
	}
	return false
}

// read goes through the envelope once. Of a body that was cut, what is there counts.
func (e *envelope) read(body []byte, cut bool) error {
	e.text = map[string]*bytes.Buffer{}
	if cut { // the text before the cut is handed out when an element begins
		if i := bytes.LastIndexByte(body, '&'); i >= 0 && bytes.IndexByte(body[i:], ';') < 0 {
			body = body[:i]
		}
		body = append(slices.Clip(body), '<')
	}
	decoder := newXMLReader(body)
	for {
		token, err := decoder.Token()
		switch {
		case errors.Is(err, io.EOF) && e.rooted:
			return nil
		case err != nil && cut && e.found && !errors.Is(err, errNesting) && !errors.Is(err, errTag):
			return nil
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
		if err := e.take(token); err != nil {
			return err
		}
	}
}

// take goes one token further.
func (e *envelope) take(token xml.Token) error {
	switch t := token.(type) {
	case xml.Directive:
		return errors.New("it holds a document type")
	case xml.StartElement:
		e.depth++
		return e.open(t.Name)
	case xml.CharData:
		if e.in != nil && e.depth == e.until {
			e.in.Write(t)
		}
	case xml.EndElement:
		if e.depth == e.until {
			e.in = nil
		}
		e.depth--
	}
	return nil
}

func (e *envelope) open(name xml.Name) error {
	soap := name.Space == soap11 || name.Space == soap12
	switch {
	case e.depth > maxNesting:
		return errNesting
	case e.depth == 1 && (name.Local != "Envelope" || !soap):
		return fmt.Errorf("its root is <%s>", Printable(name.Local, 60))
	case e.depth == 1:
		e.rooted = true
	case e.depth == 3 && name.Local == "Fault" && soap:
		e.faulted = true
	case e.depth == 4 && !e.faulted && name.Local == e.result:
		e.found = true
		e.collect(name.Local)
	case e.faulted && (name.Local == faultText11 || name.Local == faultCode11) && e.depth == 4,
		e.faulted && (name.Local == faultText12 || name.Local == faultCode12) && soap && e.depth == 5:
		e.collect(name.Local)
	}
	return nil
}

// collect makes the text of the element that has just begun go to its place; the first of a name counts.
func (e *envelope) collect(name string) {
	if e.text[name] != nil {
		return
	}
	e.text[name] = new(bytes.Buffer)
	e.in, e.until = e.text[name], e.depth
}

// readData judges the text that ExecuteQuery returned: XML whose root is Data. Only that and its children's names are looked at.
func (a *perfionAnswer) readData(text []byte) {
	text = bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(text), []byte("\xef\xbb\xbf")))
	switch {
	case len(text) == 0:
		a.wrong = "holds an empty result"
		return
	case isHTML(text):
		a.html, a.title = true, title(text)
		return
	case text[0] != '<':
		a.complaint = complaint(bytes.NewBuffer(text))
		return
	}
	decoder := newXMLReader(text)
	decoder.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is text already, whatever it says
	root, err := firstElement(decoder)
	if err == nil && root.Name.Local != "Data" {
		a.readOther(decoder, root)
		return
	}
	if err == nil {
		a.data = true
		for _, attribute := range root.Attr {
			switch attribute.Name.Local {
			case "totalExecutionTime":
				a.timed(attribute.Value)
			case "totalCount":
				a.totalCount = Printable(attribute.Value, 20)
			}
		}
		err = a.countChildren(decoder)
	}
	if err != nil && (!a.cut || !a.data || errors.Is(err, errNesting) || errors.Is(err, errTag)) {
		a.data, a.wrong = false, "holds a result that is no proper xml: "+clause(err)
	}
}

// timed notes what the server says of its own time.
func (a *perfionAnswer) timed(span string) {
	a.took = Printable(span, 40)
	a.server, _ = parseTimeSpan(span)
}

// firstElement skips what comes before the root.
func firstElement(decoder *xmlReader) (xml.StartElement, error) {
	for {
		token, err := decoder.Token()
		if err != nil {
			return xml.StartElement{}, err
		}
		switch t := token.(type) {
		case xml.Directive:
			return xml.StartElement{}, errors.New("it holds a document type")
		case xml.StartElement:
			return t, nil
		}
	}
}

// countChildren goes through the rest of Data: one child holds the definitions of features, the others are items.
func (a *perfionAnswer) countChildren(decoder *xmlReader) error {
	depth, defining := 1, false
	for depth > 0 {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth++
			switch {
			case depth > maxNesting:
				return errNesting
			case depth == 2 && t.Name.Local == "Features":
				defining = true
			case depth == 2:
				defining = false
				a.rows++
			case depth == 3 && defining:
				a.features++
			}
		case xml.EndElement:
			depth--
		}
	}
	return nil
}

// readOther judges XML with another root: the application's way to say that something is wrong, or what nobody knows.
func (a *perfionAnswer) readOther(decoder *xmlReader, root xml.StartElement) {
	name := strings.ToLower(root.Name.Local)
	says := strings.Contains(name, "error") || strings.Contains(name, "exception") || strings.Contains(name, "fault") || name == "response" || name == "message"
	var words bytes.Buffer
	for _, attribute := range root.Attr {
		if key := strings.ToLower(attribute.Name.Local); key == "message" || key == "error" {
			words.WriteString(attribute.Value + " ")
			says = true
		}
	}
	for words.Len() < maxComplaint {
		token, err := decoder.Token()
		if err != nil {
			break
		}
		if t, ok := token.(xml.CharData); ok {
			words.Write(t)
			words.WriteByte(' ')
		} else if decoder.InputOffset() > maxComplaint*16 {
			break
		}
	}
	if says {
		a.complaint = complaint(&words, bytes.NewBufferString("an element "+root.Name.Local))
		return
	}
	a.wrong = fmt.Sprintf("holds <%s> where <Data> is expected", Printable(root.Name.Local, 60))
}

// complaint returns the first of some texts that has words, on one line, without what may be a token, and bounded.
func complaint(texts ...*bytes.Buffer) string {
	for _, b := range texts {
		if b == nil {
			continue
		}
		text := b.Bytes()
		if words := strings.Join(strings.Fields(string(text[:min(len(text), 4*maxComplaint)])), " "); words != "" {
			return Printable(maskTokens(words), maxComplaint)
		}
	}
	return ""
}
