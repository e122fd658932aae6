// Command packaging makes a release of Domicile: programs, .deb and .rpm packages,
// container images, Helm chart, bills of materials and their checksums.
//
//	packaging --source .. --out DIR [--arch amd64,arm64] [--only packages,images,…]
//
// The same commit gives the same bytes, whatever the folder, machine and time:
// version, date and names come from git, nothing from the clock. --version, --commit
// and --date are for sources without git.
//
// It is a module of its own, so that what makes packages is in no product.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

// parts of a release in the order in which they are made.
var parts = []struct {
	name string
	make func(*Release, context.Context) error
}{
	{"programs", (*Release).buildPrograms},
	{"archives", (*Release).buildArchives},
	{"packages", (*Release).buildPackages},
	{"images", (*Release).buildImages},
	{"chart", (*Release).buildChart},
	{"sums", (*Release).buildSums},
}

func run(ctx context.Context, args []string) error {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	r := &Release{}
	flags := flag.NewFlagSet("packaging", flag.ContinueOnError)
	flags.StringVar(&r.Source, "source", "..", "`folder` of Domicile's source")
	flags.StringVar(&r.Out, "out", "", "`folder` to make and fill (required)")
	arches := flags.String("arch", "amd64,arm64", "architectures of servers, packages and images")
	only := flags.String("only", strings.Join(names, ","), "parts to make")
	flags.BoolVar(&r.Short, "short", false, "the command line for this platform only, and no bills of materials")
	flags.StringVar(&r.CycloneDX, "cyclonedx", "cyclonedx-gomod", "the `program` that writes bills of materials")
	flags.StringVar(&r.Version, "version", "", "semantic version; from git's tags without it")
	flags.StringVar(&r.Commit, "commit", "", "revision; from git without it")
	date := flags.String("date", "", "RFC 3339; the revision's without it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if r.Out == "" || flags.NArg() > 0 {
		return errors.New("give --out FOLDER and no arguments")
	}
	r.Arches = strings.Split(*arches, ",")
	if err := r.identify(ctx, *date); err != nil {
		return err
	}
	for _, dir := range []*string{&r.Source, &r.Out} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = abs
	}
	if err := os.MkdirAll(r.Out, 0o755); err != nil {
		return err
	}
	wanted := strings.Split(*only, ",")
	for _, w := range wanted {
		if !slices.Contains(names, w) {
			return fmt.Errorf("--only: there is no part %q; there are %s", w, strings.Join(names, ", "))
		}
	}
	for _, p := range parts {
		if !slices.Contains(wanted, p.name) {
			continue
		}
		began := time.Now()
		if err := p.make(r, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		// Minutes pass between two parts; whoever waits should see that it goes on.
		fmt.Fprintf(os.Stderr, "packaging: %s made in %s\n", p.name, time.Since(began).Round(time.Second))
	}
	return nil
}
