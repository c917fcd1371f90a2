package config

import (
	"strings"
	"testing"
)

// TestNoSecretStandsInAFault puts a secret in every way YAML knows beside every sort of fault.
func TestNoSecretStandsInAFault(t *testing.T) {
	const s = "hunter2"
	values := []string{
		s, `"hunter2"`, `'hunter2'`, `"hunter2\t"`, `"x\
          hunter2"`, "|\n          x\n          hunter2", ">-\n          hunter2\n          hunter2", "x\n          hunter2", "\"x\n          hunter2\"",
		"[hunter2]", "{ hunter2: x }", "{ x: hunter2 }", "[[hunter2, x], { a: hunter2 }]", "- hunter2", "!!str hunter2", "&a hunter2", "hunter2 # hunter too",
		"hunter2: x", "'it''s hunter2'", "\"hunter2\\u0000\"", "\thunter2", "?\n          hunter2", "*hunter2",
	}
	keys := []string{"password", "pasword", "headers", "steps", "nonsense", "pw"}
	for _, key := range keys {
		for _, value := range values {
			if key == "headers" && strings.HasPrefix(value, "{ hunter2") {
				continue // the name of a header is no secret
			}
			block := head + "components:\n  - name: web\n    probes:\n      - kind: test\n        " + key + ": " + value + "\n        timeout: 5\n"
			flow := head + "components: [{ name: web, probes: [{ timeout: 5, kind: test, " + key + ": " + value + ", nonsense: 1, address: a }] }]\n"
			other := head + "components: [{ name: web, probes: [{ kind: tset, " + key + ": " + value + " }] }]\n"
			broken := strings.TrimSuffix(block, "\n") + " : ]\n"
			for _, data := range []string{block, flow, other, broken, block + "        " + key + ": " + value + "\n"} {
				_, err := Parse("firstcall.yaml", []byte(data), environment)
				if err == nil {
					t.Errorf("no fault in\n%s", data)
					continue
				}
				if text := err.Error(); strings.Contains(text, s) {
					t.Errorf("of\n%s\nis printed\n%s", data, text)
				}
			}
		}
	}
}
