package cli

import "github.com/spf13/cobra"

// filtered gives a command that lists its --filter. The control plane reads
// the filter, and says which field it does not know.
func filtered(to *string, c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(to, "filter", "", "only those that meet this `condition` on their fields as -o json names them: FIELD = VALUE or FIELD != VALUE, joined by AND")
	return c
}
