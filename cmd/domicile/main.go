// Command domicile is the operator's command line, and, as `domicile dev`, the
// whole system in one process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/domicile-io/domicile/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
