package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// names are the keys that name a row, the first that an object has.
var names = []string{"id", "name", "probe", "channel", "priority", "date"}

// writeCSV writes the JSON form as one table: each figure with its table, its row, its key, its value and its unit. Lists of plain values
// stand in one cell, with spaces between.
func (r *Report) writeCSV(to io.Writer) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	root, err := readValue(d)
	if err != nil {
		return err
	}
	out := csv.NewWriter(to)
	flat := &flattener{write: out.Write}
	flat.put([]string{"table", "row", "figure", "value", "unit"})
	flat.object("report", "", "", root.(object))
	out.Flush()
	if flat.err != nil {
		return flat.err
	}
	return out.Error()
}

// object is a JSON object in its own order.
type object []member

type member struct {
	key   string
	value any // object, []any, or what a token is
}

func readValue(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := readValue(d)
			if err != nil {
				return nil, err
			}
			o = append(o, member{key.(string), value})
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := readValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = d.Token()
		return list, err
	}
	return t, nil
}

type flattener struct {
	write func([]string) error
	err   error
}

func (f *flattener) put(record []string) {
	if f.err == nil {
		f.err = f.write(record)
	}
}

// object writes every figure of an object: of lists of objects a table of their own, of objects in it keys with dots.
func (f *flattener) object(table, row, prefix string, o object) {
	for _, m := range o {
		key := prefix + m.key
		switch v := m.value.(type) {
		case object:
			f.object(table, row, key+".", v)
		case []any:
			f.list(table, row, key, v)
		case nil:
			f.put([]string{table, row, key, "", unit(key)})
		case string:
			f.put([]string{table, row, key, plainCell(v), unit(key)})
		default:
			f.put([]string{table, row, key, fmt.Sprint(v), unit(key)})
		}
	}
}

func (f *flattener) list(table, row, key string, list []any) {
	var plain []string
	for i, v := range list {
		o, ok := v.(object)
		if !ok {
			plain = append(plain, fmt.Sprint(v))
			continue
		}
		f.object(strings.TrimPrefix(table+"."+key, "report."), plainCell(strings.TrimPrefix(row+"/"+nameOf(o, i), "/")), "", o)
	}
	if len(plain) > 0 || len(list) == 0 {
		f.put([]string{table, row, key, plainCell(strings.Join(plain, " ")), unit(key)})
	}
}

// plainCell keeps a spreadsheet from taking a text that somebody wrote for a formula.
func plainCell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// nameOf returns what names a row: the first of names that it has, or its number.
func nameOf(o object, i int) string {
	for _, name := range names {
		for _, m := range o {
			if m.key == name {
				return fmt.Sprint(m.value)
			}
		}
	}
	return fmt.Sprint(i + 1)
}

// unit returns the unit of a figure: s, ratio (0 to 1), time (RFC 3339, UTC), or none for counts and words.
func unit(key string) string {
	last := key[strings.LastIndexByte(key, '.')+1:]
	switch {
	case strings.HasSuffix(last, "_seconds"), strings.HasPrefix(key, "method.reaction_limits."):
		return "s"
	case strings.HasPrefix(last, "availability_"), last == "share", last == "error":
		return "ratio"
	case last == "from", last == "to", last == "until", last == "made", last == "started", last == "opened", last == "ended", last == "reaction_due", last == "reacted":
		return "time"
	}
	return ""
}
