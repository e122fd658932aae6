// Command domicile-controlplane runs one voter of the policy store.
//
//	domicile-controlplane --config FILE
//	domicile-controlplane --config FILE --check
//	domicile-controlplane --version
//	domicile-controlplane recover --config FILE --statement FILE
//	domicile-controlplane recover --config FILE --statement FILE --signature FILE --signature FILE --token-file FILE
//
// recover is for a voter that survived when the others are lost for good:
// docs/operations/lost-quorum.md.
//
// It logs JSON to standard error. Exit codes: 0 stopped by a signal; 1 the voter
// could not go on; 2 bad flags or configuration; 4 this member was removed from
// the cluster; 5 this program is older than what the cluster has been upgraded to.
// Whoever starts it should start it again after 1, and not after 4 or 5 (systemd:
// Restart=on-failure, RestartPreventExitStatus=2 4 5).
//
// The environment's GOGC and GOMEMLIMIT work as in any Go program; without GOGC it
// is 400, and more as long as that is below 128 MiB. Where memory is short, set GOMEMLIMIT below what the machine grants.
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

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/internal/plainlog"
	"github.com/domicile-io/domicile/internal/release"
	"github.com/domicile-io/domicile/internal/supervisor"
	"github.com/domicile-io/domicile/internal/watchdog"
)

const (
	exitFailed  = 1
	exitUsage   = 2
	exitRemoved = 4
	exitOld     = 5

	hungLimit = 2 * time.Second  // for handing leadership over when the disk does not answer
	stopLimit = 20 * time.Second // for requests in flight and handing leadership over
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	collectLess(ctx)
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// run is main without the process, for tests.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "recover" {
		return recoverQuorum(ctx, args[1:], stderr)
	}
	flags := flag.NewFlagSet("domicile-controlplane", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "", "configuration `file` (YAML; an unknown key stops the start)")
	check := flags.Bool("check", false, "check the configuration and exit")
	version := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitUsage
	}
	if *version {
		_, _ = fmt.Fprintln(stderr, "domicile-controlplane", release.Of())
		return 0
	}
	if *path == "" || flags.NArg() > 0 {
		_, _ = fmt.Fprintln(stderr, "domicile-controlplane: give --config FILE and nothing else")
		return exitUsage
	}
	cfg, err := controlplane.LoadConfig(*path)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "domicile-controlplane:", err)
		return exitUsage
	}
	if *check {
		_, _ = fmt.Fprintf(stderr, "%s is in order: voter %s at %s; the files that it names are read at the start\n", *path, cfg.Name, cfg.RESTAddress)
		return 0
	}
	log := slog.New(plainlog.New(slog.NewJSONHandler(stderr, nil)))
	plane, err := controlplane.Open(ctx, cfg, controlplane.Options{Logger: log})
	if err != nil {
		log.Error("voter did not start", "cause", err)
		return codeOf(err)
	}
	defer supervisor.Serve(ctx, log)()
	code := 0
	select {
	case <-ctx.Done():
	case <-plane.Done():
		code = codeOf(plane.Err()) // why is in the log already
	}
	limit := stopLimit
	if errors.Is(plane.Err(), watchdog.ErrHung) {
		limit = hungLimit
	}
	if err := closeWithin(plane, limit); err != nil {
		log.Error("voter did not stop cleanly", "cause", err)
		return exitFailed
	}
	return code
}

// closeWithin gives up after half the limit more: on a disk that does not answer,
// what waits for it never ends, and the process must.
func closeWithin(plane *controlplane.Plane, limit time.Duration) error {
	closing, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- plane.Close(closing) }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit + limit/2):
		return errors.New("something does not end")
	}
}

// codeOf tells what a restart may mend from what it does not.
func codeOf(err error) int {
	switch {
	case errors.Is(err, controlplane.ErrRemoved):
		return exitRemoved
	case errors.Is(err, controlplane.ErrOld):
		return exitOld
	}
	return exitFailed
}
