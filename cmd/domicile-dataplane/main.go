// Command domicile-dataplane runs one node of one region.
//
//	domicile-dataplane --config /etc/domicile/dataplane.yaml
//	domicile-dataplane --version
//	domicile-dataplane keys status|rotate|escrow|recover|restore|end-copy --config /etc/domicile/dataplane.yaml
//	domicile-dataplane backup create|list|verify|prune --config /etc/domicile/dataplane.yaml
//	domicile-dataplane restore --config /etc/domicile/dataplane.yaml
//	domicile-dataplane log export --config /etc/domicile/dataplane.yaml
//	domicile-dataplane scrub --config /etc/domicile/dataplane.yaml
//	domicile-dataplane region migrate-store check|start|status|watch|switch|stop|abort|finish --config /etc/domicile/dataplane.yaml
//	domicile-dataplane region holds list|release --config /etc/domicile/dataplane.yaml
//
// scrub reads and checks everything that a stopped node has stored; a running
// one does so by itself.
//
// Exit codes: 0 ended by SIGINT or SIGTERM after requests in flight were
// answered, or after its records had moved to the region's database; 1 failed to start, or to end cleanly; 2 wrong usage or
// configuration; 74 a write or sync of its files failed: nothing was acknowledged
// after it. scrub: 0 all is as it was written; 1 it is not, or the check
// did not end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // time zones of feeds, where the machine has none, as in the image

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/plainlog"
	"github.com/domicile-io/domicile/internal/release"
	"github.com/domicile-io/domicile/internal/supervisor"
)

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2

	exitStorage = 74 // EX_IOERR of sysexits.h

	drainFor = 30 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == "keys" {
		os.Exit(keys(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "backup" {
		os.Exit(backups(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "log" {
		os.Exit(exportLog(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "restore" {
		os.Exit(restore(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "region" {
		os.Exit(region(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

func run(ctx context.Context, args []string, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "scrub" {
		return scrub(ctx, args[1:], stderr)
	}
	flags := flag.NewFlagSet("domicile-dataplane", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "", "the node's configuration, a YAML file (required)")
	version := flags.Bool("version", false, "print the version and exit")
	check := flags.Bool("check", false, "check the configuration and exit")
	level := slog.LevelInfo
	flags.TextVar(&level, "log-level", level, "debug, info, warn or error")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	if *version {
		fmt.Fprintln(stderr, "domicile-dataplane", release.Of())
		return exitOK
	}
	if *path == "" || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "domicile-dataplane: give --config and nothing else; --help lists the flags")
		return exitUsage
	}
	cfg, err := dataplane.LoadConfig(*path)
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitUsage
	}
	if *check {
		fmt.Fprintf(stderr, "%s is in order: a node of region %s at %s; the files that it names are read at the start\n", *path, cfg.Region, cfg.ListenAddress)
		return exitOK
	}
	log := slog.New(plainlog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level})))
	limitMemory(log, cfg.MemoryLimit)
	node, err := dataplane.Open(ctx, cfg, dataplane.Options{Logger: log})
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitFailed
	}
	defer supervisor.Serve(ctx, log)()
	err = node.Failed(ctx)
	if err != nil && !errors.Is(err, dataplane.ErrMoved) {
		fmt.Fprintln(stderr, "domicile-dataplane: the node ends, because it can keep nothing any more; check the disk, then start it again, which finds all that was acknowledged:", err)
		return exitStorage
	}
	if err != nil {
		log.Info("the records are in the region's database: start the node with the configuration that was given with --to")
	}
	log.Info("node ends; requests in flight are answered first", "at_most", drainFor.String())
	drain, cancel := context.WithTimeout(context.Background(), drainFor)
	defer cancel()
	if err := node.Close(drain); err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitFailed
	}
	return exitOK
}
