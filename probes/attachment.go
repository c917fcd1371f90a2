package probes

// Bounds on the files of a result.
const (
	MaxAttachments = 4       // of a result
	MaxAttachment  = 1 << 20 // bytes of one
)

// Attachment is a file that a run took as evidence, as a picture of the page or a record of its requests. It holds no secret.
type Attachment struct {
	Name    string // of the file, such as "screenshot.png": at most 60 of a-z, 0-9, dot, hyphen and underscore
	Type    string // media type
	Content []byte // at most MaxAttachment bytes; not changed once the result is delivered
}

// Attach adds a file to the result. What is too large, has no fit name, or is one more than MaxAttachments is left out; a name
// that is already there gets the new content. The content is not masked: the caller has done that.
func (r *Recorder) Attach(a Attachment) {
	if len(a.Content) == 0 || len(a.Content) > MaxAttachment || !fitName(a.Name) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	for i, there := range r.result.Attachments {
		if there.Name == a.Name {
			r.result.Attachments[i] = a
			return
		}
	}
	if len(r.result.Attachments) < MaxAttachments {
		r.result.Attachments = append(r.result.Attachments, a)
	}
}

// fitName reports whether a file may have that name everywhere.
func fitName(name string) bool {
	if name == "" || len(name) > 60 || name[0] == '.' {
		return false
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
