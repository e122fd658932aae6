package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/internal/screen"
)

// Tree is the command line without streams and environment, for what describes
// it: docs/reference/cli.md.
func Tree() *cobra.Command {
	a := &app{out: screen.New(io.Discard), err: screen.New(io.Discard), getenv: func(string) string { return "" }}
	return a.root()
}
