package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/backup"
)

const backupUsage = `domicile-dataplane backup: snapshots of what a region's node has stored

  backup create   take one now: what no snapshot has is copied, and read back
  backup list     those that there are
  backup verify   read every byte and check it
  backup prune    remove all but the newest

They ask the running node over its socket in data_dir, as the node's own user.
list, verify and prune work on a stopped node as well. No backup holds keys: what
is in one opens with the region's key table alone, which has its own copy.

  --config FILE      the node's configuration (required)
  --full             create: copy everything anew, also what the last snapshot has
  --snapshot ID      verify: this one; default all
  --keep N           prune: how many stay; default backup.keep
  --dry-run          prune: only say what would go
  -o json            for machines
`

// backupFlags are those of all verbs.
type backupFlags struct {
	config, format, snapshot string
	full, dry                bool
	keep                     int
}

// backups runs `domicile-dataplane backup VERB`.
func backups(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, backupUsage)
		return exitUsage
	}
	var f backupFlags
	flags := flag.NewFlagSet("domicile-dataplane backup "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, backupUsage) }
	flags.StringVar(&f.config, "config", "", "the node's configuration")
	flags.StringVar(&f.format, "o", "table", "table or json")
	flags.StringVar(&f.snapshot, "snapshot", "", "a snapshot's id")
	flags.BoolVar(&f.full, "full", false, "copy everything")
	flags.BoolVar(&f.dry, "dry-run", false, "only say it")
	flags.IntVar(&f.keep, "keep", 0, "how many stay")
	if err := flags.Parse(args[1:]); err != nil {
		return exitUsage
	}
	if f.config == "" || flags.NArg() > 0 || f.format != "table" && f.format != "json" || f.keep < 0 {
		fmt.Fprint(stderr, backupUsage)
		return exitUsage
	}
	cfg, err := dataplane.LoadConfig(f.config)
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitUsage
	}
	b := &backupCommand{ctx: ctx, cfg: cfg, f: f, stdout: stdout, bar: newBar(stderr)}
	run, ok := map[string]func() error{"create": b.create, "list": b.list, "verify": b.verify, "prune": b.prune}[args[0]]
	if !ok {
		fmt.Fprint(stderr, backupUsage)
		return exitUsage
	}
	err = run()
	b.bar.end()
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitFailed
	}
	return exitOK
}

type backupCommand struct {
	ctx    context.Context
	cfg    dataplane.Config
	f      backupFlags
	stdout io.Writer
	bar    *bar
}

// ask sends one request over the node's socket, and shows its progress.
func (b *backupCommand) ask(method, path string, query url.Values, into any) error {
	resp, err := onSocket(b.ctx, b.cfg, method, path+"?"+query.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for in := json.NewDecoder(resp.Body); ; {
		var a dataplane.BackupAnswer
		if err := in.Decode(&a); err != nil {
			return fmt.Errorf("the node's answer broke off, %s: %w; its log says more", resp.Status, err)
		}
		if a.Progress != nil {
			b.bar.show(*a.Progress)
			continue
		}
		if a.Error != "" {
			err = errors.New(a.Error)
		}
		if a.Result != nil {
			err = errors.Join(err, json.Unmarshal(a.Result, into))
		}
		return err
	}
}

// offline opens the repository of a node that does not run.
func (b *backupCommand) offline(use backup.Use, do func(*dataplane.OfflineBackups) error) error {
	o, err := dataplane.OpenBackups(b.ctx, b.cfg, use, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return errors.Join(do(o), o.Close())
}

func (b *backupCommand) create() error {
	var s backup.Snapshot
	if err := b.ask(http.MethodPost, "/backup:create", url.Values{"full": {strconv.FormatBool(b.f.full)}}, &s); err != nil {
		return err
	}
	return b.print(s, func(w io.Writer) {
		fmt.Fprintf(w, "%s\t%d files, %s; %s copied and read back\n", s.ID, s.Files, size(s.Bytes), size(s.Copied))
	})
}

func (b *backupCommand) list() error {
	var l dataplane.BackupList
	err := b.ask(http.MethodGet, "/backup", nil, &l)
	if errors.Is(err, errNotRunning) {
		err = b.offline(backup.Read, func(o *dataplane.OfflineBackups) (err error) { l, err = o.List(b.ctx); return err })
	}
	if err != nil {
		return err
	}
	return b.print(l, func(w io.Writer) {
		fmt.Fprintln(w, "SNAPSHOT\tTAKEN\tFILES\tSIZE\tCOPIED\tKEYS\tERASURES\tRESTORE")
		for _, s := range l.Snapshots {
			can := "yes"
			if slices.Contains(l.GivenUp, s.ID) {
				can = "no: an older one was restored since"
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\tgeneration %d\t%d\t%s\n", s.ID, s.Began.Format(time.RFC3339), s.Files, size(s.Bytes), size(s.Copied), s.KeyGeneration, s.Erasures, can)
		}
	})
}

func (b *backupCommand) verify() error {
	var v backup.Verified
	err := b.ask(http.MethodPost, "/backup:verify", url.Values{"snapshot": {b.f.snapshot}}, &v)
	if errors.Is(err, errNotRunning) {
		err = b.offline(backup.Read, func(o *dataplane.OfflineBackups) (err error) {
			v, err = o.Verify(b.ctx, b.f.snapshot, b.bar.show)
			return err
		})
	}
	if err != nil && v.Snapshots == 0 {
		return err
	}
	return errors.Join(err, b.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%d snapshots, %d files of %s and %d notes read; %d missing or changed\n", v.Snapshots, v.Objects, size(v.Bytes), v.Notes, v.Damaged)
		for _, p := range v.Problems {
			fmt.Fprintln(w, p)
		}
	}))
}

func (b *backupCommand) prune() error {
	var p backup.Pruned
	err := b.ask(http.MethodPost, "/backup:prune", url.Values{"keep": {strconv.Itoa(b.f.keep)}, "dry_run": {strconv.FormatBool(b.f.dry)}}, &p)
	if errors.Is(err, errNotRunning) {
		err = b.offline(backup.Write, func(o *dataplane.OfflineBackups) (err error) {
			p, err = o.Prune(b.ctx, b.f.keep, b.f.dry)
			return err
		})
	}
	if err != nil {
		return err
	}
	return b.print(p, func(w io.Writer) {
		verb := "removed"
		if b.f.dry {
			verb = "would go"
		}
		fmt.Fprintf(w, "%d snapshots, %d files, %d notes, %s %s\n", len(p.Snapshots), p.Objects, p.Notes, size(p.Bytes), verb)
	})
}

func (b *backupCommand) print(v any, table func(io.Writer)) error {
	b.bar.end()
	if b.f.format == "json" {
		e := json.NewEncoder(b.stdout)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	t := tabwriter.NewWriter(b.stdout, 0, 0, 2, ' ', 0)
	table(t)
	return t.Flush()
}
