package config

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/firstcall-agent/firstcall/config/secret"
)

const byteOrderMark = "\ufeff"

// minSecret is the shortest text that is looked for in messages to keep it out of them: shorter ones occur by chance.
const minSecret = 4

var (
	variable         = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)
	escaped          = regexp.MustCompile(`^\$\$+\{[A-Za-z_][A-Za-z0-9_]*\}$`) // one $ is taken away, so that every text can be written
	unquotedVariable = regexp.MustCompile(`[{\[].*[^"'$]\$\{`)
	decimal          = regexp.MustCompile(`^[+-]?(0|[1-9][0-9]*)$`)
)

// scalar is one word, number or switch of the file, or of a tag or the environment, which know no types.
type scalar struct {
	text string
	node ast.Node // nil when it is not from the file itself
	name string   // of the variable it came from: then text is never shown
}

// String returns the scalar fit for a message.
func (s scalar) String() string {
	if s.name != "" {
		return "the value of ${" + s.name + "}"
	}
	return quote(s.text)
}

// scalar reads a node that must be one value, and looks up a variable.
func (d *decoder) scalar(n ast.Node, path string, t reflect.Type) (scalar, bool) {
	var s scalar
	switch n := n.(type) {
	case *ast.StringNode:
		s = scalar{text: n.Value, node: n}
	case *ast.LiteralNode:
		s = scalar{text: n.Value.Value, node: n}
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		s = scalar{text: n.GetToken().Value, node: n}
	default:
		d.mismatch(n, path, wanted(t), "", t)
		return s, false
	}
	switch {
	case escaped.MatchString(s.text):
		s.text = s.text[1:]
	case variable.MatchString(s.text):
		s.name = variable.FindStringSubmatch(s.text)[1]
		text, ok := d.env(s.name)
		if !ok {
			d.fault(path, "set it in the environment of the agent, or write $${"+s.name+"} for the text itself", "${%s} is not set", s.name)
			return s, false
		}
		s.text, s.node = text, nil
		d.keepOut(text, "${"+s.name+"}")
	}
	return s, true
}

// wanted names what a type takes, for a sentence.
func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration"
	case t == quantityType:
		return "a duration or a number"
	case t == secretType || reflect.PointerTo(t).Implements(textType) || t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

// set gives v the value that the scalar stands for.
func (d *decoder) set(v reflect.Value, s scalar, path string, enum []string) {
	if len(enum) > 0 && !slices.Contains(enum, s.text) {
		d.fault(path, d.suggest(s.text, enum), "%s is not one of the words allowed here", s)
		return
	}
	if v.Type() == secretType {
		d.setSecret(v, s, path)
		return
	}
	if v.Type() == durationType {
		d.setDuration(v, s, path)
		return
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		d.setText(u, s, path)
		return
	}
	if hint, err := setPlain(v, s); err != nil {
		d.fault(path, hint, "%s", err)
	}
}

func (d *decoder) setSecret(v reflect.Value, s scalar, path string) {
	if _, text := s.node.(ast.ScalarNode); text && kindOf(s.node) != "text" {
		d.fault(path, "put it in quotes", "want text, got %s", kindOf(s.node))
		return
	}
	d.keepOut(s.text, secret.Mask)
	v.Set(reflect.ValueOf(secret.New(s.text)))
}

const durationHint = "write for example 30s, 5m, 1h30m or 21d"

func (d *decoder) setDuration(v reflect.Value, s scalar, path string) {
	parsed, err := parseDuration(s.text)
	if err == nil && s.node != nil && kindOf(s.node) != "text" {
		err = errDuration // 0 without a unit
	}
	if err != nil {
		hint := durationHint
		if decimal.MatchString(s.text) && s.name == "" {
			hint = fmt.Sprintf("write the unit: %ss", strings.TrimLeft(s.text, "+-"))
		}
		d.fault(path, hint, "%s %s", s, err)
		return
	}
	v.Set(reflect.ValueOf(parsed))
}

func (d *decoder) setText(u encoding.TextUnmarshaler, s scalar, path string) {
	err := errors.New("is empty")
	if s.text != "" {
		err = u.UnmarshalText([]byte(s.text))
	}
	switch {
	case err == nil:
	case s.name != "":
		d.fault(path, "", "%s does not fit", s)
	default:
		d.fault(path, "", "%s", d.redact(err.Error()))
	}
}

// setPlain sets text, switches and numbers. A scalar without a node may be any of them.
func setPlain(v reflect.Value, s scalar) (hint string, err error) {
	got := "text"
	if s.node != nil {
		got = kindOf(s.node)
	}
	want := wanted(v.Type())
	switch v.Kind() {
	case reflect.String:
		if got != want {
			return fmt.Sprintf("put it in quotes: %q", s.text), fmt.Errorf("want text, got %s", got)
		}
		v.SetString(s.text)
		return "", nil
	case reflect.Bool:
		on := s.text == "true"
		if s.node != nil && got != want || !on && s.text != "false" {
			return "write true or false", fmt.Errorf("want true or false, got %s", s)
		}
		v.SetBool(on)
		return "", nil
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(s.text, v.Type().Bits())
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return "", fmt.Errorf("want a number, got %s", s)
		}
		v.SetFloat(f)
		return "", nil
	default:
		return setWhole(v, s)
	}
}

func setWhole(v reflect.Value, s scalar) (hint string, err error) {
	if !decimal.MatchString(s.text) || s.node != nil && kindOf(s.node) != "a number" {
		return "write it in decimal digits, without quotes", fmt.Errorf("want a whole number, got %s", s)
	}
	text := strings.TrimPrefix(s.text, "+")
	if v.CanUint() {
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return "", fmt.Errorf("%s is out of range", s)
		}
		v.SetUint(n)
		return "", nil
	}
	n, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err != nil {
		return "", fmt.Errorf("%s is out of range", s)
	}
	v.SetInt(n)
	return "", nil
}

// secretFile reads the secret that lies in a file.
func (d *decoder) secretFile(e entry, v reflect.Value) {
	var path string
	d.value(e.value, e.path, reflect.ValueOf(&path).Elem(), nil)
	defer func() {
		if !d.clean(e.path) {
			d.taint(strings.TrimSuffix(e.path, fileSuffix))
		}
	}()
	if !d.clean(e.path) {
		return
	}
	if text, ok := d.content(e.path, path, "the path is relative to the configuration file"); ok {
		d.keepOut(text, secret.Mask)
		v.Set(reflect.ValueOf(secret.New(text)))
	}
}

// textFile puts what lies in the file that v names in its place, unless v is the text itself: it begins with one of inline.
func (d *decoder) textFile(e entry, inline string, v reflect.Value) {
	text := strings.TrimSpace(v.String())
	if !d.clean(e.path) || text != "" && strings.ContainsRune(inline, rune(text[0])) {
		return
	}
	hint := fmt.Sprintf("write the text, which begins with %s, or the path of a file, relative to the configuration file", strings.Join(strings.Split(inline, ""), " or "))
	if text, ok := d.content(e.path, v.String(), hint); ok {
		v.SetString(text)
	}
}

// content returns the text of a file that the key at key names, without the line breaks at its end.
func (d *decoder) content(key, path, hint string) (string, bool) {
	if path == "" {
		d.fault(key, "", "is empty")
		return "", false
	}
	path = d.beside(path)
	d.files[path] = struct{}{}
	data, err := readFile(path, maxSecret+1)
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case err != nil:
		d.fault(key, hint, "the file cannot be read: %s", plain(err))
	case len(data) > maxSecret:
		d.fault(key, "", "the file is larger than %d bytes", maxSecret)
	case text == "":
		d.fault(key, "", "the file is empty")
	case !utf8.ValidString(text):
		d.fault(key, "", "the file is not UTF-8 text")
	default:
		return text, true
	}
	return "", false
}

// keepOut makes sure that text is never part of a message.
func (d *decoder) keepOut(text, instead string) {
	if len(text) >= minSecret {
		d.secret[text] = instead
		if quoted := strconv.Quote(text); quoted[1:len(quoted)-1] != text {
			d.secret[quoted[1:len(quoted)-1]] = instead
		}
	}
}

// redact returns a message with every secret and every value of a variable replaced, the longest first, since one may be part
// of another.
func (d *decoder) redact(message string) string {
	longestFirst := func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }
	for _, text := range slices.SortedFunc(maps.Keys(d.secret), longestFirst) {
		message = strings.ReplaceAll(message, text, d.secret[text])
	}
	return message
}
