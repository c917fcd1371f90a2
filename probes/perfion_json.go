package probes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// readJSON takes a JSON answer apart: data, a token, or the application's complaint.
func (a *perfionAnswer) readJSON(body []byte) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
	decoder.UseNumber()
	var said bytes.Buffer
	w := jsonWalk{decoder: decoder, see: func(place string, token json.Token) { a.see(&said, place, token) }}
	err := w.value("", 0)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			err = errors.New("something follows it")
		}
	}
	a.complaint = complaint(&said)
	switch {
	case a.complaint != "":
		a.data = false
	case err != nil && (!a.cut || !a.data || errors.Is(err, errNesting)):
		a.data, a.wrong = false, "is no proper json: "+clause(err)
	case !a.data && a.token == "":
		a.wrong = "is json without data"
	}
}

// see notes what stands at a place of a JSON answer.
func (a *perfionAnswer) see(said *bytes.Buffer, place string, token json.Token) {
	text, _ := token.(string)
	number, _ := token.(json.Number)
	delim, _ := token.(json.Delim)
	switch place {
	case "data":
		a.data = a.data || delim != 0
	case "data.items[]", "data[]":
		a.rows++
	case "data.features[]":
		a.features++
	case "data.totalexecutiontime":
		a.timed(text)
	case "data.totalcount", "totalcount":
		a.totalCount = Printable(text+number.String(), 20)
	case "access_token":
		if len(text) <= maxToken {
			a.token = text
		}
	case "expires_in":
		if n, err := strconv.ParseInt(text+number.String(), 10, 32); err == nil {
			a.lifetime = max(time.Duration(n)*time.Second, time.Nanosecond) // none is over at once
		}
	case "message", "message[]", "exceptionmessage", "error", "error[]", "error_description":
		if text != "" && said.Len() < 4*maxComplaint {
			said.WriteString(text[:min(len(text), maxComplaint)] + " ")
		}
	}
}

// jsonWalk goes through one JSON value without building it.
type jsonWalk struct {
	decoder *json.Decoder
	see     func(place string, token json.Token) // has every scalar and every beginning; the place of what lies deep is ""
}

const deepPlace = 4 // levels whose places are told

// value reads one value at a place: keys in lower case, joined by dots, [] for the entries of a list.
func (w *jsonWalk) value(place string, depth int) error {
	if depth > maxNesting {
		return errNesting
	}
	token, err := w.decoder.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if depth == 0 && token != json.Delim('{') {
		return errors.New("it is no object")
	}
	if depth < deepPlace {
		w.see(place, token)
	}
	delim, nested := token.(json.Delim)
	for nested && w.decoder.More() {
		inner := place + "[]"
		if delim == '{' {
			key, err := w.decoder.Token()
			if err != nil {
				return err
			}
			inner = place + "." + strings.ToLower(fmt.Sprint(key))
			if place == "" {
				inner = inner[1:]
			}
		}
		if depth+1 >= deepPlace {
			inner = ""
		}
		if err := w.value(inner, depth+1); err != nil {
			return err
		}
	}
	if nested {
		_, err = w.decoder.Token()
	}
	return err
}

// parseTimeSpan reads a .NET TimeSpan in its constant form, [d.]hh:mm:ss[.fffffff], which is not negative.
func parseTimeSpan(text string) (time.Duration, bool) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return 0, false
	}
	day, hour, found := strings.Cut(parts[0], ".")
	if !found {
		day, hour = "0", parts[0]
	}
	second, fraction, _ := strings.Cut(parts[2], ".")
	if len(fraction) > 7 {
		return 0, false
	}
	var total time.Duration
	for _, field := range []struct {
		text string
		most int
		unit time.Duration
	}{
		{day, 10_000, 24 * time.Hour},
		{hour, 23, time.Hour},
		{parts[1], 59, time.Minute},
		{second, 59, time.Second},
		{(fraction + "0000000")[:7], 9_999_999, 100 * time.Nanosecond},
	} {
		n, err := strconv.ParseUint(field.text, 10, 32)
		if err != nil || n > uint64(field.most) {
			return 0, false
		}
		total += time.Duration(n) * field.unit
	}
	return total, true
}
