package history

import (
	"fmt"
	"math"
	"strconv"
)

// parseNumber reads a decimal number that is neither infinite nor none.
func parseNumber(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return n, nil
}
