package cli

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/screen"
)

func (a *app) quarantineCommand() *cobra.Command {
	return group("quarantine", "Look at payloads that could not be parsed, and replay them", a.quarantineList(), a.quarantineReplay())
}

func (a *app) quarantineList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List what could not be parsed, and why", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			all := data.Quarantine{Items: []data.Quarantined{}}
			for token := ""; ; {
				page, err := r.Quarantine(ctx, token)
				if err != nil {
					return err
				}
				all.Items = append(all.Items, page.Items...)
				if token = page.NextPageToken; token == "" {
					break
				}
			}
			return a.plain(all, func() {
				if a.none(len(all.Items), "quarantined payloads", "everything that came in was understood") {
					return
				}
				rows := make([][]string, 0, len(all.Items))
				for _, q := range all.Items {
					rows = append(rows, []string{q.ID, when(q.ReceiveTime), q.Source + "/" + q.Instance, screen.Bytes(int64(len(q.Payload))), q.Problem})
				}
				a.out.Table([]string{"ID", "RECEIVED", "FEED", "SIZE", "PROBLEM"}, rows)
			})
		})}
}

func (a *app) quarantineReplay() *cobra.Command {
	var file string
	c := &cobra.Command{Use: "replay [ID…]", Short: "Parse quarantined payloads again; without ids, all",
		RunE: a.run(func(ctx context.Context, args []string) error {
			in := data.Replay{IDs: args}
			if file != "" {
				if len(args) != 1 {
					return usagef("--payload corrects exactly one item: give its id")
				}
				var err error
				if in.Payload, err = os.ReadFile(file); err != nil {
					return usagef("the payload cannot be read: %v", err)
				}
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			out, err := r.Replay(ctx, in)
			if err != nil {
				return err
			}
			return a.plain(out, func() { a.out.Line("%d replayed, %d remain", out.Replayed, out.Remaining) })
		})}
	c.Flags().StringVar(&file, "payload", "", "`file` that replaces the broken payload of the one item first")
	return c
}
