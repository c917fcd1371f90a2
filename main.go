// Command firstcall probes a customer's solution and has the case open at the Operations Centre before the customer calls.
package main

import (
	"os"
	_ "time/tzdata" // time zones in an image that has none

	"github.com/firstcall-agent/firstcall/agent/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
