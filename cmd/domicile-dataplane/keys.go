package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/local"
)

const keysUsage = `domicile-dataplane keys: the key table of a region's node

  keys status   what generation it is of, who keeps it, its copy, what waits to be final
  keys rotate   begin the next generation now and destroy the one before it

  keys escrow   write the root key, encrypted to its keepers, for the safe
  keys recover  put the root key back from there; the node must be stopped

  keys restore  put the key table and the erasure ledger back from their copy
                (keys.copy_s3) into an empty database of the keys; every node of
                the region must be stopped (docs/operations/several-nodes.md)
  keys end-copy remove the copy from its bucket; then take keys.copy_s3 out of the
                configuration of every node; all must be stopped

status and rotate ask the running node over its socket in data_dir, as the node's
own user. escrow and recover are for the custodian that is a file.

  --config FILE      the node's configuration (required)
  -o json            status, rotate, restore: for machines
  --recipient AGE1…  escrow: a keeper's public key; may be repeated, each alone can recover
  --out FILE         escrow: where to write; must not exist
  --escrow FILE      recover: the file of escrow
  --identity FILE    recover: a keeper's age identity
`

// keysAnswer is what the node's socket answers.
type keysAnswer struct {
	Error  string       `json:"error"`
	Status local.Status `json:"status"`
}

// keys runs `domicile-dataplane keys VERB`.
func keys(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, keysUsage)
		return exitUsage
	}
	flags := flag.NewFlagSet("domicile-dataplane keys "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, keysUsage) }
	path := flags.String("config", "", "the node's configuration")
	var e escrowFlags
	e.add(flags)
	format := flags.String("o", "table", "table or json")
	if err := flags.Parse(args[1:]); err != nil {
		return exitUsage
	}
	if *path == "" || flags.NArg() > 0 || *format != "table" && *format != "json" {
		fmt.Fprint(stderr, keysUsage)
		return exitUsage
	}
	cfg, err := dataplane.LoadConfig(*path)
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitUsage
	}
	if args[0] == "restore" || args[0] == "end-copy" {
		return keyCopies(ctx, args[0], cfg, *format == "json", stdout, stderr)
	}
	var answer keysAnswer
	switch args[0] {
	case "status":
		answer, err = askNode(ctx, cfg, http.MethodGet, "/keys")
	case "rotate":
		answer, err = rotate(ctx, cfg, stderr)
	case "escrow", "recover":
		if err := e.run(args[0], cfg); err != nil {
			fmt.Fprintln(stderr, "domicile-dataplane:", err)
			return exitFailed
		}
		return exitOK
	default:
		fmt.Fprint(stderr, keysUsage)
		return exitUsage
	}
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitFailed
	}
	printKeys(stdout, answer.Status, *format == "json")
	if answer.Error != "" {
		fmt.Fprintln(stderr, "domicile-dataplane:", answer.Error)
		return exitFailed
	}
	return exitOK
}

// askNode sends one request over the node's socket.
func askNode(ctx context.Context, cfg dataplane.Config, method, path string) (out keysAnswer, err error) {
	resp, err := onSocket(ctx, cfg, method, path)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("read the node's answer, %s: %w", resp.Status, err)
	}
	return out, nil
}

// rotate asks for a rotation and shows meanwhile how far it is.
func rotate(ctx context.Context, cfg dataplane.Config, stderr io.Writer) (keysAnswer, error) {
	type result struct {
		answer keysAnswer
		err    error
	}
	done := make(chan result, 1)
	go func() {
		answer, err := askNode(ctx, cfg, http.MethodPost, "/keys:rotate")
		done <- result{answer, err}
	}()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case r := <-done:
			return r.answer, r.err
		case <-t.C:
			if a, err := askNode(ctx, cfg, http.MethodGet, "/keys"); err == nil && a.Status.Total > 0 {
				fmt.Fprintf(stderr, "wrapped anew %d of %d keys\n", a.Status.Done, a.Status.Total)
			}
		}
	}
}

func printKeys(w io.Writer, s local.Status, asJSON bool) {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(s)
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	row := func(name string, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("GENERATION", "%d, began %s", s.Generation, s.Created.Format(time.RFC3339))
	row("NEXT", "%s", moment(s.NextTime, "only when asked"))
	row("CUSTODIAN", "%s, %s; keys are held for %s without it", s.Custodian, s.Service, time.Duration(s.HeldSecs)*time.Second)
	row("TABLES", "%d with surviving keys; %d names; %d keys cached", s.Tables, s.Names, s.Cached)
	row("COPY", "%s, compared %s; %d mended, %d damaged in both", s.Copy, moment(s.Verified, "never"), s.Mended, s.Corrupt)
	row("ROTATIONS", "%d since the start, the last %s", s.Rotations, moment(s.LastRotation, "none"))
	if s.LastError != "" {
		row("FAILED", "%s", s.LastError)
	}
	for _, f := range s.Pending {
		row("PENDING", "generation %d, destroyed %s, final %s", f.Generation, moment(f.Destroyed, "not yet"), moment(f.Final, "not known"))
	}
}

func moment(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.Format(time.RFC3339)
}
