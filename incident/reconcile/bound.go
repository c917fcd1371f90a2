package reconcile

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
)

// Bounds on an operator's template, far above what a case needs: one that goes round for ever without a word, or builds an endless
// text in a variable, ends with an error instead.
const (
	maxSteps = 20_000   // rounds of loops, and uses of templates
	maxMade  = 16 << 20 // bytes of all texts that functions return
)

var (
	errSteps = fmt.Errorf("the template goes round more than %d times", maxSteps)
	errMade  = errors.New("the texts grow too long")
)

// stepFunc is the function that count puts into loops. No name within a template can be like it: it is not offered, and says nothing.
const stepFunc = "_step"

// growing are Go's own functions that return a text, and so can make it grow.
var growing = map[string]func(...any) string{
	"print": fmt.Sprint, "println": fmt.Sprintln,
	"printf": func(args ...any) string {
		format, _ := args[0].(string)
		return fmt.Sprintf(format, args[1:]...)
	},
	"html": template.HTMLEscaper, "js": template.JSEscaper, "urlquery": template.URLQueryEscaper,
}

// limits are the functions of one execution: they count its steps and bound its texts.
func limits() template.FuncMap {
	steps, made := 0, 0
	room := func(size int) error {
		if made += size; made > maxMade {
			return errMade
		}
		return nil
	}
	funcs := template.FuncMap{
		stepFunc: func() (string, error) {
			if steps++; steps > maxSteps {
				return "", errSteps
			}
			return "", nil
		},
		"join": func(between string, list []string) (string, error) {
			size := len(between) * len(list)
			for _, text := range list {
				size += len(text)
			}
			if err := room(size); err != nil {
				return "", err
			}
			return strings.Join(list, between), nil
		},
	}
	for name, f := range growing {
		funcs[name] = func(args ...any) (string, error) {
			if name == "printf" && len(args) == 0 {
				return "", errors.New("wrong number of args for printf: want at least 1 got 0")
			}
			text := f(args...)
			return text, room(len(text))
		}
	}
	return funcs
}

// count makes every round of a loop and every use of a template call stepFunc first.
func count(t *template.Template) {
	t.Funcs(limits())
	for _, named := range t.Templates() {
		if named.Tree == nil || named.Root == nil {
			continue
		}
		tree := named.Copy()
		countList(tree, tree.Root)
		prepend(tree, tree.Root)
		named.Tree = tree // the templates of the agent share theirs
	}
}

// countList looks for loops in a list of nodes.
func countList(tree *parse.Tree, list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		var branch *parse.BranchNode
		switch n := n.(type) {
		case *parse.RangeNode:
			branch = &n.BranchNode
			countList(tree, branch.List)
			prepend(tree, branch.List)
			countList(tree, branch.ElseList)
			continue
		case *parse.IfNode:
			branch = &n.BranchNode
		case *parse.WithNode:
			branch = &n.BranchNode
		default:
			continue
		}
		countList(tree, branch.List)
		countList(tree, branch.ElseList)
	}
}

// prepend puts a call of stepFunc before what a list says, in its place: errors name it.
func prepend(tree *parse.Tree, list *parse.ListNode) {
	call := parse.NewIdentifier(stepFunc).SetTree(tree).SetPos(list.Pos)
	step := &parse.ActionNode{NodeType: parse.NodeAction, Pos: list.Pos, Pipe: &parse.PipeNode{
		NodeType: parse.NodePipe, Pos: list.Pos,
		Cmds: []*parse.CommandNode{{NodeType: parse.NodeCommand, Pos: list.Pos, Args: []parse.Node{call}}},
	}}
	list.Nodes = append([]parse.Node{step}, list.Nodes...)
}
