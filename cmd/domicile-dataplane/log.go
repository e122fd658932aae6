package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"

	"github.com/domicile-io/domicile/dataplane"
)

const logUsage = `domicile-dataplane log: the region's log

  log export   write every record, with the newest checkpoint, as JSON on standard output;
               domicile audit verify --leaves FILE checks it

  --config FILE   the node's configuration; the node must run
`

// exportLog runs `domicile-dataplane log export`.
func exportLog(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("domicile-dataplane log", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, logUsage) }
	path := flags.String("config", "", "the node's configuration")
	if len(args) == 0 || args[0] != "export" || flags.Parse(args[1:]) != nil || *path == "" || flags.NArg() > 0 {
		fmt.Fprint(stderr, logUsage)
		return exitUsage
	}
	cfg, err := dataplane.LoadConfig(*path)
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitUsage
	}
	if err := copyLog(ctx, cfg, stdout); err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitFailed
	}
	return exitOK
}

func copyLog(ctx context.Context, cfg dataplane.Config, stdout io.Writer) error {
	resp, err := onSocket(ctx, cfg, http.MethodGet, "/log")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the node answered %s; it may be of a version without a log: start it anew with this one", resp.Status)
	}
	if _, err := io.Copy(stdout, resp.Body); err != nil {
		return fmt.Errorf("the node stopped before the end of its log: %w; its own log says why", err)
	}
	return nil
}
