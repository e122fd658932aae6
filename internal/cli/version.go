package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/internal/release"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version of this program", Args: cobra.NoArgs,
		RunE: a.run(func(context.Context, []string) error {
			v := release.Of()
			return a.plain(v, func() { a.out.Line("domicile %s", v) })
		})}
}
