package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

func isNotFound(err error) bool { return errors.Is(err, &policy.Error{Reason: policy.NotFound}) }

func (a *app) rollupsCommand() *cobra.Command {
	var day string
	c := &cobra.Command{Use: "rollups", Short: "Show counters that the region keeps, per day, direction and country", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			out, err := r.Rollups(ctx, day)
			if err != nil {
				return err
			}
			return a.plain(out, func() {
				if a.none(len(out.Rollups), "calls counted", "choose another --day or bring records in") {
					return
				}
				rows := make([][]string, 0, len(out.Rollups))
				for _, u := range out.Rollups {
					rows = append(rows, []string{u.Day, dash(u.Direction), dash(u.Country), number(u.Calls), number(u.Answered),
						fmt.Sprintf("%.1f", u.Minutes), fmt.Sprintf("%.0f %%", 100*u.AnswerSeizure), fmt.Sprintf("%.0f s", u.AverageDuration)})
				}
				a.out.Table([]string{"DAY", "DIRECTION", "COUNTRY", "CALLS", "ANSWERED", "MINUTES", "ASR", "ACD"}, rows)
			})
		})}
	c.Flags().StringVar(&day, "day", "", "only this UTC `day`, such as 2026-03-14")
	return c
}

func (a *app) egressCommand() *cobra.Command {
	return &cobra.Command{Use: "egress", Short: "Show what left the region, where to, why, and how many bytes", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			out, err := r.Egress(ctx)
			if err != nil {
				return err
			}
			return a.plain(out, func() { a.showEgress(out) })
		})}
}

func (a *app) showEgress(l data.EgressLedger) {
	if a.none(len(l.Entries), "egress", "nothing has left "+l.Region) {
		return
	}
	rows := make([][]string, 0, len(l.Entries))
	for _, e := range l.Entries {
		rows = append(rows, []string{e.Class, e.Destination, dash(e.Region), dash(e.Boundary), dash(e.Basis), dash(e.Tenant), number(e.Connections), screen.Bytes(e.BytesOut), screen.Bytes(e.BytesIn)})
	}
	a.out.Table([]string{"CLASS", "DESTINATION", "REGION", "BOUNDARY", "BASIS", "TENANT", "CONNS", "OUT", "IN"}, rows)
}

func (a *app) transfersCommand() *cobra.Command {
	c := &cobra.Command{Use: "transfers [TRANSFER]", Short: "Show the record of each export, or of one", Args: cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				t, err := r.Transfer(ctx, args[0])
				if err != nil {
					return err
				}
				return a.plain(t, func() { a.showTransfer(t) })
			}
			all := data.Transfers{Transfers: []data.Transfer{}}
			for token := ""; ; {
				page, err := r.Transfers(ctx, token)
				if err != nil {
					return err
				}
				all.Transfers = append(all.Transfers, page.Transfers...)
				if token = page.NextPageToken; token == "" {
					break
				}
			}
			return a.plain(all, func() { a.showTransfers(all.Transfers) })
		})}
	c.AddCommand(a.transfersRun())
	return c
}

func (a *app) showTransfers(ts []data.Transfer) {
	if a.none(len(ts), "transfers", "nothing of this tenant has been exported") {
		return
	}
	rows := make([][]string, 0, len(ts))
	for _, t := range ts {
		rows = append(rows, []string{t.ID, number(t.Sequence), t.ToRegion, t.Purpose, t.Basis, t.State, number(t.Rows), number(t.Suppressed), when(t.CreateTime)})
	}
	a.out.Table([]string{"TRANSFER", "SEQ", "TO", "PURPOSE", "BASIS", "STATE", "ROWS", "SUPPRESSED", "CREATED"}, rows)
}

func (a *app) showTransfer(t data.Transfer) {
	a.out.Fields([2]string{"transfer", t.ID}, [2]string{"recipient", t.Recipient}, [2]string{"to region", t.ToRegion},
		[2]string{"purpose", t.Purpose}, [2]string{"basis", t.Basis}, [2]string{"sequence", number(t.Sequence)},
		[2]string{"policy revision", number(t.Revision)}, [2]string{"state", t.State}, [2]string{"why", t.Why},
		[2]string{"rows", number(t.Rows)}, [2]string{"suppressed", number(t.Suppressed)}, [2]string{"bytes", number(t.Bytes)},
		[2]string{"SHA-256", t.SHA256}, [2]string{"window", when(t.WindowFrom) + " to " + when(t.WindowTo)},
		[2]string{"created", when(t.CreateTime)}, [2]string{"acknowledged", when(t.AckTime)}, [2]string{"fields", strings.Join(t.Fields, ", ")})
}

func (a *app) transfersRun() *cobra.Command {
	return &cobra.Command{Use: "run", Short: "Judge and send every closed window now", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			out, err := r.RunExports(ctx)
			if err != nil {
				return err
			}
			return a.plain(out, func() {
				a.showTransfers(out.Transfers)
				for _, s := range out.Suppressed {
					a.err.Line("suppressed: %d rows of class %s have %d distinct subjects, %d are needed", s.Rows, s.Class, s.Subjects, s.Needed)
				}
			})
		})}
}

func (a *app) receivedCommand() *cobra.Command {
	var recipient string
	c := &cobra.Command{Use: "received --recipient RECIPIENT", Short: "Show, with a recipient's key, the pseudonyms that reached its region", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if recipient == "" {
				return usagef("--recipient is missing: give RP and 32 hex digits")
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			all := data.Received{Rows: []data.PseudonymRow{}}
			for cursor := ""; ; {
				page, err := r.Received(ctx, recipient, cursor)
				if err != nil {
					return err
				}
				all.Rows = append(all.Rows, page.Rows...)
				if len(page.Rows) == 0 || page.NextCursor == "" || page.NextCursor == cursor {
					break
				}
				cursor = page.NextCursor
			}
			return a.plain(all, func() {
				if a.none(len(all.Rows), "rows received", "windows are judged after they close") {
					return
				}
				rows := make([][]string, 0, len(all.Rows))
				for _, p := range all.Rows {
					rows = append(rows, []string{p.From, dash(p.FromCC), p.To, dash(p.ToCC), p.Direction, p.Outcome, p.Hour, p.Duration})
				}
				a.out.Table([]string{"FROM", "CC", "TO", "CC", "DIRECTION", "OUTCOME", "HOUR", "DURATION"}, rows)
			})
		})}
	c.Flags().StringVar(&recipient, "recipient", "", "`id` of the recipient")
	return c
}
