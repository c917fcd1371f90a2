//go:build !windows

package service

import (
	"context"
	"io"
)

// Run does nothing and returns false: there is no service control manager here.
func Run(error, func(context.Context, io.Writer) int) (code int, is bool) { return 0, false }
