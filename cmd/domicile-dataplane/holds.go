package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/domicile-io/domicile/dataplane"
)

const holdsUsage = `domicile-dataplane region holds: legal holds of tenants whose end was ordered

  holds list --config FILE              list them, released ones included
  holds release --config FILE LH…       end one; it stays listed, and the region's log tells of it

While one stands, no node destroys anything of the tenant, and the tenant's own
keys are gone. They ask the running node over its socket in data_dir, as the
node's own user; when the last is released the purge goes on within seconds.
Holds of a tenant that lives are its own: domicile subjects holds.

  --config FILE   the configuration that the node has (required)
  -o json         for machines
`

// regionHolds runs `domicile-dataplane region holds VERB`.
func regionHolds(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	usage := func() int { fmt.Fprint(stderr, holdsUsage); return exitUsage }
	if len(args) == 0 {
		return usage()
	}
	flags := flag.NewFlagSet("domicile-dataplane region holds "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, holdsUsage) }
	path := flags.String("config", "", "the node's configuration")
	format := flags.String("o", "table", "table or json")
	if err := flags.Parse(args[1:]); err != nil {
		return exitUsage
	}
	releases := args[0] == "release"
	if *path == "" || *format != "table" && *format != "json" || args[0] != "list" && !releases || releases != (flags.NArg() == 1) || flags.NArg() > 1 {
		return usage()
	}
	cfg, err := dataplane.LoadConfig(*path)
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitUsage
	}
	method, target := http.MethodGet, "/region/holds"
	if releases {
		method, target = http.MethodPost, "/region/holds:release?"+url.Values{"hold": {flags.Arg(0)}}.Encode()
	}
	holds, err := askHolds(ctx, cfg, method, target)
	if err == nil || len(holds) > 0 {
		err = errors.Join(printHolds(stdout, *format, holds), err)
	}
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitFailed
	}
	return exitOK
}

// askHolds gives what the node answers: holds, an error, or of some tenants the one and
// of others the other.
func askHolds(ctx context.Context, cfg dataplane.Config, method, target string) ([]dataplane.EndedHold, error) {
	resp, err := onSocket(ctx, cfg, method, target)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var a dataplane.HoldsAnswer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return nil, fmt.Errorf("the node's answer broke off: %w; `holds list` shows what became of it", err)
	}
	if a.Error != "" {
		return a.Holds, errors.New(a.Error)
	}
	return a.Holds, nil
}

// printHolds writes holds in order of tenants and creation.
func printHolds(w io.Writer, format string, holds []dataplane.EndedHold) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(dataplane.HoldsAnswer{Holds: append([]dataplane.EndedHold{}, holds...)})
	}
	if len(holds) == 0 {
		_, err := fmt.Fprintln(w, "no tenant whose end was ordered has a legal hold here")
		return err
	}
	moment := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.UTC().Format(time.RFC3339)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "HOLD\tTENANT\tORDER\tOF\tREASON\tREFERENCE\tPLACED\tUNTIL\tRELEASED\tSTANDS")
	for _, h := range holds {
		of, reference := "a person", h.Reference
		if h.Everybody {
			of = "everybody"
		}
		if reference == "" {
			reference = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.ID, h.Tenant, h.Order, of, h.Reason, reference,
			moment(h.Created), moment(h.Until), moment(h.Released), strconv.FormatBool(h.Stands))
	}
	return t.Flush()
}
