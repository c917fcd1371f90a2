package config

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkParse reads a configuration of 5,000 probes.
func BenchmarkParse(b *testing.B) {
	var data strings.Builder
	data.WriteString(head + "components:\n")
	for i := range 5000 {
		fmt.Fprintf(&data, "  - name: c%d\n    probes:\n      - kind: test\n        address: host%d.example:443\n        password: secret%d\n        interval: 10s\n", i, i, i)
	}
	b.SetBytes(int64(data.Len()))
	for b.Loop() {
		if _, err := Parse("firstcall.yaml", []byte(data.String()), environment); err != nil {
			b.Fatal(err)
		}
	}
}
