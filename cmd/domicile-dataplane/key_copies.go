package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/domicile-io/domicile/dataplane"
)

// keyCopies runs `keys restore` and `keys end-copy`.
func keyCopies(ctx context.Context, verb string, cfg dataplane.Config, asJSON bool, stdout, stderr io.Writer) int {
	o := dataplane.Options{Logger: slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))}
	var report dataplane.KeyRestoreReport
	var err error
	if verb == "restore" {
		report, err = dataplane.RestoreKeys(ctx, cfg, dataplane.KeyRestoreOptions{Options: o})
	} else {
		err = dataplane.EndKeyCopies(ctx, cfg, o)
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitFailed
	case verb != "restore":
		fmt.Fprintln(stdout, "the copy is removed; take keys.copy_s3 out of the configuration of every node before it starts")
	case asJSON:
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		_ = e.Encode(report)
	default:
		printRestoredKeys(stdout, report)
	}
	return exitOK
}

func printRestoredKeys(w io.Writer, r dataplane.KeyRestoreReport) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintf(t, "GENERATION\t%d\n", r.Generation)
	fmt.Fprintf(t, "KEYS\t%d places in blocks, %d names\n", r.Keys, r.Names)
	fmt.Fprintf(t, "ERASURES\t%d in the ledger\n", r.Erasures)
	fmt.Fprintf(t, "CHANGED\t%s, change %d\n", r.Changed.Format(time.RFC3339), r.Number)
	fmt.Fprintf(t, "NEXT\tstart the region's nodes; destroy what is left of the lost database\n")
}
