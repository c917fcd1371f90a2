package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/firstcall-agent/firstcall/agent/plot"
)

// Format is a form of the report.
type Format string

// The formats.
const (
	HTML     Format = "html"     // one file without links to others, for the screen and for A4
	Markdown Format = "markdown" // the same words and tables, without plots
	CSV      Format = "csv"      // one table: table, row, figure, value, unit
	JSON     Format = "json"     // the Report
)

// Formats lists every format.
var Formats = []Format{HTML, Markdown, CSV, JSON}

//go:embed templates
var templates embed.FS

var (
	htmlPage = template.Must(template.New("report.html").Funcs(template.FuncMap{"right": isFigure}).ParseFS(templates, "templates/report.html"))
	textPage = texttemplate.Must(texttemplate.New("report.md").Funcs(texttemplate.FuncMap{
		"cell": markdownCell, "rule": markdownRule, "row": func(cells []string) string { return markdownRow(cells) },
	}).ParseFS(templates, "templates/report.md"))
)

// Write writes the report. HTML and Markdown are in the report's language; CSV and JSON have the same keys in any.
func (r *Report) Write(to io.Writer, f Format) error {
	switch f {
	case HTML:
		return r.writeHTML(to, newWords(r.Language, r.zone))
	case Markdown:
		var out bytes.Buffer
		if err := textPage.Execute(&out, r.document(newWords(r.Language, r.zone))); err != nil {
			return err
		}
		_, err := to.Write(out.Bytes())
		return err
	case CSV:
		return r.writeCSV(to)
	case JSON:
		e := json.NewEncoder(to)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	return fmt.Errorf("a report cannot be %q: want html, markdown, csv or json", f)
}

func (r *Report) writeHTML(to io.Writer, w *words) error {
	page := struct {
		*document
		Drawn map[string]template.HTML // plots by caption
	}{r.document(w), map[string]template.HTML{}}
	for _, s := range page.Sections {
		for _, p := range s.Plots {
			svg, err := p.chart.Render(plot.SVG)
			if err != nil {
				return err
			}
			page.Drawn[p.Caption] = template.HTML(svg) //nolint:gosec // drawn by us, and its texts are escaped there
		}
	}
	var out bytes.Buffer
	if err := htmlPage.Execute(&out, page); err != nil {
		return err
	}
	_, err := to.Write(out.Bytes())
	return err
}

// fingerprint returns what is the same for the same figures: the start of the SHA-256 of the JSON form without what says when, by which
// version and in which language it was made.
func (r *Report) fingerprint() string {
	bare := *r
	bare.Made, bare.Agent, bare.Language, bare.Fingerprint = time.Time{}, "", "", ""
	data, err := json.Marshal(&bare)
	if err != nil {
		return "" // it has no value that JSON cannot say
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// isFigure reports whether column i of a table holds figures.
func isFigure(t table, i int) bool { return i >= t.Left && i < len(t.Head)-t.Tail }

// markdownCell escapes what has a meaning in a table of Markdown.
func markdownCell(text string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "\n", " ", "<", "&lt;", "*", "\\*", "_", "\\_", "`", "\\`", "[", "\\[").Replace(text)
}

func markdownRow(cells []string) string {
	escaped := make([]string, len(cells))
	for i, c := range cells {
		escaped[i] = markdownCell(c)
	}
	return "| " + strings.Join(escaped, " | ") + " |"
}

func markdownRule(t table) string {
	marks := make([]string, len(t.Head))
	for i := range marks {
		marks[i] = "---"
		if isFigure(t, i) {
			marks[i] = "---:"
		}
	}
	return "| " + strings.Join(marks, " | ") + " |"
}
