package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// suggest returns a hint that names the word nearest to the one written, or, when none is near, all words that are allowed;
// nothing when so many faults are there already that this one is not printed.
func (d *decoder) suggest(written string, allowed []string) string {
	if len(d.faults) >= maxShown {
		return ""
	}
	if near, ok := nearest(written, allowed); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(allowed) == 0 {
		return "there is none yet"
	}
	return "want one of " + list(allowed)
}

// nearest returns the allowed word with the smallest edit distance, if that is at most a third of the length.
func nearest(written string, allowed []string) (string, bool) {
	plain := strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(written))
	if len(plain) < 3 || len(plain) > 64 {
		return "", false
	}
	best, distance := "", max(1, len(plain)/3)+1
	for _, word := range allowed {
		if d := editDistance(plain, strings.ReplaceAll(strings.ToLower(word), "-", "_")); d < distance && d < len(word) {
			best, distance = word, d
		}
	}
	return best, best != ""
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string
// alignment, in bytes).
func editDistance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// list joins words for a sentence, at most forty of them.
func list(words []string) string {
	if len(words) > 40 {
		words = append(words[:40:40], ellipsis)
	}
	return strings.Join(words, ", ")
}

// quote returns a text fit for a sentence: quoted, escaped and short.
func quote(text string) string {
	if runes := []rune(text); len(runes) > 60 {
		text = string(runes[:60]) + ellipsis
	}
	return fmt.Sprintf("%q", text)
}

// printable escapes control characters: a terminal obeys them.
func printable(text string) string {
	if !strings.ContainsFunc(text, unicode.IsControl) {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
