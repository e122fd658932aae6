package cli

import (
	"context"

	"github.com/spf13/cobra"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func (a *app) violationsCommand() *cobra.Command {
	return group("violations", "Show what was seen to be against the rules, and what to type", a.violationsList(), a.violationsShow(), a.violationsAcknowledge())
}

func (a *app) violationsList() *cobra.Command {
	var state, filter string
	c := &cobra.Command{Use: "list", Short: "List violations", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			vs, err := cp.Violations(ctx, state, filter)
			if err != nil {
				return err
			}
			return list(a, "violations", vs, func() {
				if a.none(len(vs), "violations", "nothing was seen to be against the rules") {
					return
				}
				rows := make([][]string, 0, len(vs))
				for _, v := range vs {
					rows = append(rows, []string{v.GetId(), v.GetState(), v.GetCategory(), v.GetCause(), v.GetResource(), number(v.GetCount()), stamp(v.GetLastSeen())})
				}
				a.out.Table([]string{"VIOLATION", "STATE", "CATEGORY", "CAUSE", "RESOURCE", "SEEN", "LAST"}, rows)
			})
		})}
	c.Flags().StringVar(&state, "state", "", "only those in one `state`: open, acknowledged or resolved")
	return filtered(&filter, c)
}

func (a *app) violationsShow() *cobra.Command {
	return &cobra.Command{Use: "show VIOLATION", Aliases: []string{"get"}, Short: "Show one violation and what to type", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			v, err := cp.Violation(ctx, args[0])
			if err != nil {
				return err
			}
			return a.result(v, func() { a.showViolation(v) })
		})}
}

func (a *app) showViolation(v *controlv1.Violation) {
	fields := [][2]string{{"violation", v.GetId()}, {"state", v.GetState()}, {"category", v.GetCategory()}, {"cause", v.GetCause()}, {"resource", v.GetResource()},
		{"at revision", number(v.GetRevision())}, {"seen", number(v.GetCount()) + " times, first " + stamp(v.GetFirstSeen()) + ", last " + stamp(v.GetLastSeen())}}
	if v.GetAcknowledgedBy() != "" {
		fields = append(fields, [2]string{"acknowledged", v.GetAcknowledgedBy() + ", " + v.GetReasonCode() + ", " + stamp(v.GetAcknowledgeTime())})
	}
	if v.GetResolveTime() != nil {
		fields = append(fields, [2]string{"resolved", stamp(v.GetResolveTime())})
	}
	a.out.Fields(fields...)
	for _, c := range v.GetCommands() {
		a.out.Line("  → %s", c)
	}
}

func (a *app) violationsAcknowledge() *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "acknowledge VIOLATION --reason REASON", Aliases: []string{"ack"}, Short: "Say that a person knows of a violation", Args: cobra.ExactArgs(1),
		Long: `Reasons: INVESTIGATING, MAINTENANCE, KNOWN_FAULT, ACCEPTED_RISK. It is resolved by itself when its
cause is gone, and not before.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			if reason == "" {
				return usagef("--reason is missing: INVESTIGATING, MAINTENANCE, KNOWN_FAULT or ACCEPTED_RISK")
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			v, err := cp.AcknowledgeViolation(ctx, &controlv1.AcknowledgeViolationRequest{Violation: args[0], ReasonCode: reason})
			if err != nil {
				return err
			}
			return a.result(v, func() { a.showViolation(v) })
		})}
	c.Flags().StringVar(&reason, "reason", "", "`why`: INVESTIGATING, MAINTENANCE, KNOWN_FAULT or ACCEPTED_RISK")
	return c
}
