package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/data"
)

func (a *app) subjectsHolds() *cobra.Command {
	return group("holds", "Legal holds: who may not be erased now", a.holdsList(), a.holdsPlace(), a.holdsRelease())
}

func (a *app) holdsList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List holds, released ones included", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			all := data.Holds{Holds: []data.Hold{}}
			for token := ""; ; {
				page, err := r.Holds(ctx, token)
				if err != nil {
					return err
				}
				all.Holds = append(all.Holds, page.Holds...)
				if token = page.NextPageToken; token == "" {
					break
				}
			}
			return a.plain(all, func() {
				if !a.none(len(all.Holds), "legal holds", "place one: domicile subjects holds place NUMBER --reason LITIGATION") {
					a.showHolds(all.Holds)
				}
			})
		})}
}

func (a *app) showHolds(holds []data.Hold) {
	rows := make([][]string, 0, len(holds))
	for _, h := range holds {
		who := "everybody"
		if !h.Everybody && len(h.Owners) > 0 {
			who = h.Owners[0].Subject
			if len(h.Owners) > 1 {
				who += fmt.Sprintf(" and %d more", len(h.Owners)-1)
			}
		}
		rows = append(rows, []string{h.ID, who, h.Reason, dash(h.Reference), when(h.Created), whenP(h.Until), whenP(h.Released)})
	}
	a.out.Table([]string{"HOLD", "WHO", "REASON", "REFERENCE", "PLACED", "UNTIL", "RELEASED"}, rows)
}

func (a *app) holdsPlace() *cobra.Command {
	var w whose
	var in data.HoldRequest
	var until string
	c := &cobra.Command{Use: "place [NUMBER]", Short: "Stand against the erasure of a person, or of everybody", Args: cobra.MaximumNArgs(1),
		Long: `While a hold stands, neither the person nor anybody that the person spoke with can be erased, and retention
passes their calls over. Reasons: LITIGATION, REGULATOR, INVESTIGATION, CONTRACT. A reference is a file number
of yours; it must hold no name and no telephone number.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			if (len(args) == 0) != in.Everybody {
				return usagef("give a number, or --everybody")
			}
			end, err := parseTime("--until", until)
			if err != nil {
				return err
			}
			if !end.IsZero() {
				in.Until = &end
			}
			if len(args) == 1 {
				if in.SubjectRef, err = a.ref(w, args[0]); err != nil {
					return err
				}
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			h, err := r.PutHold(ctx, in)
			if err != nil {
				return err
			}
			return a.plain(h, func() { a.showHolds([]data.Hold{h}) })
		})}
	w.flags(c)
	c.Flags().BoolVar(&in.Everybody, "everybody", false, "hold everybody of the tenant")
	c.Flags().StringVar(&in.Reason, "reason", "", "`reason`: LITIGATION, REGULATOR, INVESTIGATION or CONTRACT")
	c.Flags().StringVar(&in.Reference, "reference", "", "`number` of your file, such as 2026/114-b")
	c.Flags().StringVar(&until, "until", "", "ends by itself at this `time`")
	return c
}

func (a *app) holdsRelease() *cobra.Command {
	return &cobra.Command{Use: "release HOLD", Short: "End a hold; it stays listed", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			h, err := r.ReleaseHold(ctx, args[0])
			if err != nil {
				return err
			}
			return a.plain(h, func() { a.showHolds([]data.Hold{h}) })
		})}
}
