package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

// devDir is where dev leaves addresses and token, in the folder that it runs in.
const devDir = ".domicile"

// devCommand says where dev runs: voters and nodes are programs for Unix.
func (a *app) devCommand() *cobra.Command {
	c := &cobra.Command{Use: "dev", Short: "Run the whole system on this machine (not on Windows)", Args: cobra.ArbitraryArgs, DisableFlagParsing: true}
	c.RunE = a.run(func(context.Context, []string) error {
		return errors.New("voters and nodes do not run on Windows: run `domicile dev` in WSL or on another machine, and give this program its addresses with --env-file")
	})
	return c
}
