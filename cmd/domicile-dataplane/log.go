package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"

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
	socket := filepath.Join(cfg.DataDir, dataplane.AdminSocket)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node/log", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the node: %w; is it running, and are you its user?", errors.Unwrap(err))
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
