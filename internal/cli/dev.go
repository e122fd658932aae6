package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) devCommand() *cobra.Command {
	return &cobra.Command{Use: "dev", Short: "Run the whole system on this machine", Args: cobra.NoArgs,
		RunE: a.run(func(context.Context, []string) error { return errors.New("not wired yet") })}
}
