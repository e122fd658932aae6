// Command bench measures this machine and Domicile on it, in one run: the
// disk's fsync rate first, because it bounds everything durable, then policy
// decisions, policy writes over REST, and ingest over HTTPS, sealed and
// indexed. Numbers of different runs or machines are not comparable; ratios
// within one run are. It asserts nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	short := flag.Bool("short", false, "fit in two minutes")
	dir := flag.String("dir", "", "where to keep data (default: a temporary folder; choose the disk you want measured)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *short); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, short bool) error {
	if dir == "" {
		made, err := os.MkdirTemp("", "domicile-bench")
		if err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		defer os.RemoveAll(made)
		dir = made
	}
	length := 20 * time.Second
	if short {
		length = 6 * time.Second
	}
	fmt.Printf("machine: %s/%s, %d cores, %s\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	r := &report{}
	if err := physical(dir, r); err != nil {
		return err
	}
	decisions(r)
	if err := system(ctx, dir, length, r); err != nil {
		return err
	}
	r.print(os.Stdout)
	return nil
}
