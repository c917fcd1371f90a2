package desk

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// Bounds on a file, as probes.Attachment has them.
const (
	maxFile     = 1 << 20
	maxFileName = 60
)

// check returns an error when the file has no name that is fit everywhere, no media type, or is too large.
func (f File) check() error {
	fit := f.Name != "" && len(f.Name) <= maxFileName && f.Name[0] != '.' && !strings.ContainsFunc(f.Name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
	if !fit {
		return fmt.Errorf("%q is no name of a file that is fit everywhere", secret.Plain(f.Name, maxFileName))
	}
	if len(f.Content) == 0 || len(f.Content) > maxFile {
		return fmt.Errorf("the file %s has %d bytes: want 1 to %d", f.Name, len(f.Content), maxFile)
	}
	if _, _, err := mime.ParseMediaType(f.Type); err != nil {
		return errors.New("the file " + f.Name + " has no media type")
	}
	return nil
}

// form returns the file as the body of an HTML form, in the field "file" beside others, and the header that goes with it.
func (f File) form(others map[string]string) ([]byte, http.Header, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range others {
		if err := w.WriteField(name, value); err != nil {
			return nil, nil, err
		}
	}
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {fmt.Sprintf(`form-data; name="file"; filename=%q`, f.Name)}, "Content-Type": {f.Type},
	})
	if err == nil {
		_, err = part.Write(f.Content)
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), http.Header{"Content-Type": {w.FormDataContentType()}}, err
}
