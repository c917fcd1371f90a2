package pgsql

import (
	"slices"
	"strconv"
	"strings"
)

// perVoter are the tables whose rows are a voter's own, which the schema adds to them.
var perVoter = []string{"baselines", "seeds", "result_totals", "result_log", "probes", "vantage_state"}

// Translate returns a statement written for SQLite as PostgreSQL takes it: ? and ?N become $N, LIKE takes letters in either case
// (ILIKE), and rows conflict within their tenant only, or their voter. Texts in quotes stay as they are.
func Translate(query string) string {
	within := "ON CONFLICT (tenant, "
	if table, _, _ := strings.Cut(strings.TrimPrefix(query, "INSERT INTO "), " "); slices.Contains(perVoter, table) {
		within = "ON CONFLICT (tenant, voter, "
	}
	var b strings.Builder
	next := 1
	for n, part := range strings.Split(query, "'") {
		if n > 0 {
			b.WriteByte('\'')
		}
		if n%2 == 1 { // within quotes
			b.WriteString(part)
			continue
		}
		part = strings.ReplaceAll(part, " LIKE ", " ILIKE ")
		part = strings.ReplaceAll(part, "ON CONFLICT (", within)
		for {
			before, after, found := strings.Cut(part, "?")
			b.WriteString(before)
			if !found {
				break
			}
			b.WriteByte('$')
			if after == "" || after[0] < '0' || after[0] > '9' {
				b.WriteString(strconv.Itoa(next))
				next++
			}
			part = after
		}
	}
	return b.String()
}
