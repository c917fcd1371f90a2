package reference

import (
	"os"
	"path/filepath"
)

// Files returns what the generated files of the docs directory should hold, by path. The examples are read from there.
func Files(docs string) (map[string][]byte, error) {
	smallest, err := os.ReadFile(filepath.Join(docs, "examples", "smallest.yaml"))
	if err != nil {
		return nil, err
	}
	everyday, err := os.ReadFile(filepath.Join(docs, "examples", "everyday.yaml"))
	if err != nil {
		return nil, err
	}
	page, err := Markdown(smallest, everyday)
	if err != nil {
		return nil, err
	}
	schema, err := Schema()
	if err != nil {
		return nil, err
	}
	cases, err := os.ReadFile(filepath.Join(docs, "cases.md"))
	if err != nil {
		return nil, err
	}
	if cases, err = withJudgements(cases); err != nil {
		return nil, err
	}
	values, err := os.ReadFile(filepath.Join(docs, "..", "charts", "values.schema.json"))
	if err != nil {
		return nil, err
	}
	if values, err = Chart(values, schema); err != nil {
		return nil, err
	}
	return map[string][]byte{
		filepath.Join(docs, "..", "charts", "firstcall", "values.schema.json"): values,
		filepath.Join(docs, "cases.md"):                                        cases,
		filepath.Join(docs, "configuration.md"):                                page,
		filepath.Join(docs, "firstcall.schema.json"):                           schema,
	}, nil
}
