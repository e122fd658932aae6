package cli

import (
	"context"

	"github.com/spf13/cobra"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func (a *app) changesCommand() *cobra.Command {
	return group("changes", "Look at changes that would loosen a policy, and decide them",
		a.changesList(), a.changesGet(), a.changesApprove(), a.changesReject())
}

func (a *app) changesList() *cobra.Command {
	var state, filter string
	c := &cobra.Command{Use: "list", Short: "List pending changes", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			cs, err := cp.Changes(ctx, state, filter)
			if err != nil {
				return err
			}
			return list(a, "changes", cs, func() {
				if a.none(len(cs), "changes", "nothing waits for approval") {
					return
				}
				rows := make([][]string, 0, len(cs))
				for _, c := range cs {
					rows = append(rows, []string{c.GetId(), c.GetTenant(), c.GetState(), number(len(c.GetFields())), stamp(c.GetCreateTime())})
				}
				a.out.Table([]string{"CHANGE", "TENANT", "STATE", "FIELDS", "SINCE"}, rows)
			})
		})}
	c.Flags().StringVar(&state, "state", "", "only this `state`: pending, rejected, applied or lapsed")
	return filtered(&filter, c)
}

func (a *app) showChange(c *controlv1.Change) {
	a.out.Fields([2]string{"change", c.GetId()}, [2]string{"tenant", c.GetTenant()}, [2]string{"state", c.GetState()},
		[2]string{"hash", c.GetHash()}, [2]string{"since", stamp(c.GetCreateTime())})
	a.out.Line("")
	rows := make([][]string, 0, len(c.GetFields()))
	for _, f := range c.GetFields() {
		rows = append(rows, []string{f.GetField(), f.GetEffect(), dash(f.GetFrom()), dash(f.GetTo())})
	}
	a.out.Table([]string{"FIELD", "EFFECT", "FROM", "TO"}, rows)
}

func (a *app) changesGet() *cobra.Command {
	return &cobra.Command{Use: "get CHANGE", Short: "Show what a change would do, field by field", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			c, err := cp.Change(ctx, args[0])
			if err != nil {
				return err
			}
			return a.result(c, func() { a.showChange(c) })
		})}
}

func (a *app) changesReject() *cobra.Command {
	return &cobra.Command{Use: "reject CHANGE", Short: "End a pending change", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			c, err := cp.RejectChange(ctx, args[0])
			if err != nil {
				return err
			}
			return a.result(c, func() { a.out.Line("change %s is %s", c.GetId(), c.GetState()) })
		})}
}
