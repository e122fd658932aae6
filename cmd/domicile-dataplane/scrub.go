package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/plainlog"
)

// scrub checks everything that a stopped node has stored.
func scrub(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("domicile-dataplane scrub", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "", "the node's configuration, a YAML file (required)")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	if *path == "" || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "domicile-dataplane scrub: give --config and nothing else")
		return exitUsage
	}
	cfg, err := dataplane.LoadConfig(*path)
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitUsage
	}
	shown := -1
	found, err := dataplane.Scrub(ctx, cfg, slog.New(plainlog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))), func(share float64) {
		if percent := int(share * 100); percent/10 > shown/10 || percent == 100 && shown < 100 {
			shown = percent
			fmt.Fprintf(stderr, "%3d %%\n", percent)
		}
	})
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane: the check did not end:", err)
		return exitFailed
	}
	fmt.Fprintf(stderr, "%d values checked, %d are not what was written, %d are kept aside\n", found.Checked, found.Corrupt, found.Aside)
	if found.Corrupt > 0 {
		return exitFailed
	}
	return exitOK
}
