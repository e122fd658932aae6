package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/domicile-io/domicile/dataplane"
)

const restoreUsage = `domicile-dataplane restore: put a stopped node's stored data back from a backup

  --config FILE      the node's configuration (required)
  --from FOLDER      the repository; default backup.folder, or the bucket backup.s3
  --snapshot ID      default the newest
  --ledger PATH      a further copy of the erasure ledger: its folder, or the file
  -o json            for machines

data_dir must hold nothing that was stored; the key table must be there, or its
copy. With store.kind sql it is put into the database of store.dsn_file, which must
be empty, and every node of the region must be stopped. Nothing is half restored. Read docs/operations/region-backup.md first.
`

// restore runs `domicile-dataplane restore`.
func restore(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("domicile-dataplane restore", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, restoreUsage) }
	path := flags.String("config", "", "the node's configuration")
	format := flags.String("o", "table", "table or json")
	var o dataplane.RestoreOptions
	flags.StringVar(&o.From, "from", "", "the repository")
	flags.StringVar(&o.Snapshot, "snapshot", "", "a snapshot's id")
	flags.StringVar(&o.Ledger, "ledger", "", "a copy of the erasure ledger")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	if *path == "" || flags.NArg() > 0 || *format != "table" && *format != "json" {
		fmt.Fprint(stderr, restoreUsage)
		return exitUsage
	}
	cfg, err := dataplane.LoadConfig(*path)
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitUsage
	}
	bar := newBar(stderr)
	o.Progress, o.Logger = bar.show, slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	report, err := dataplane.Restore(ctx, cfg, o)
	bar.end()
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitFailed
	}
	if *format == "json" {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		_ = e.Encode(report)
		return exitOK
	}
	printRestored(stdout, report)
	return exitOK
}

func printRestored(w io.Writer, r dataplane.RestoreReport) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	row := func(name string, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	s := r.Store
	row("SNAPSHOT", "%s, taken %s", r.Snapshot.ID, r.Snapshot.Began.Format(time.RFC3339))
	row("RECORDS", "%d calls of %d tenants", s.Calls, s.Tenants)
	row("FORGOTTEN", "%d calls that an erasure or a retention had taken out since", s.Forgotten)
	if s.Lost > 0 {
		row("LOST", "%d calls that stood beside those, under keys that were destroyed, and of which no note was found: bring them in again from their sources", s.Lost)
	}
	row("NOTES", "%d read; %d frames and documents are as they were left after the snapshot", r.Notes, s.Renewed)
	row("GONE", "%d quarantined payloads and %d versions of documents that had been let go since", s.Quarantined, s.Items)
	if s.Ended > 0 {
		row("ENDED", "%d tenants that had ended", s.Ended)
	}
	if b := r.Behind; b != nil {
		row("BEHIND", "snapshots %d to %d, which cannot be restored any more once this node has erased or aged out anything", b.After+1, b.Until)
	}
	row("ERASURES", "%d in the ledger (%s), %d of them after the snapshot; what the records lack is applied before anything is shown", r.Erasures, r.Ledger, r.Later)
	row("EXPORTS", "%d transfers wait, %d were given up because somebody was erased since, %d deletions are told to receivers again", r.Exports.Waiting, r.Exports.GivenUp, r.Exports.Tombstones)
	row("RECEIVED", "%d rows that had been deleted since are deleted again", r.Received)
	row("NEXT", "start the node; let the sources send again what came after the snapshot: what is there already is a duplicate")
}
