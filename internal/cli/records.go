package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/screen"
)

func (a *app) recordsCommand() *cobra.Command {
	return group("records", "Read a tenant's call records at home, bring them in, delete one",
		a.recordsList(), a.recordsGet(), a.recordsSearch(), a.recordsImport(), a.recordsExport(), a.recordsDelete())
}

// window is the flags that narrow a list of calls.
type window struct{ start, end, status, direction string }

func (w *window) flags(c *cobra.Command) {
	c.Flags().StringVar(&w.start, "start", "", "from this `time` on: RFC 3339, or a UTC day such as 2026-03-14")
	c.Flags().StringVar(&w.end, "end", "", "before this `time`")
	c.Flags().StringVar(&w.status, "status", "", "only this `status`: completed, busy, no-answer, failed, canceled, …")
	c.Flags().StringVar(&w.direction, "direction", "", "only this `direction`: inbound, outbound or internal")
}

func (w *window) filter() (client.Filter, error) {
	f := client.Filter{Status: w.status, Direction: w.direction}
	var err error
	if f.Start, err = parseTime("--start", w.start); err != nil {
		return f, err
	}
	f.End, err = parseTime("--end", w.end)
	return f, err
}

func parseTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%s must be RFC 3339, such as 2026-03-14T09:00:00Z, or a day, such as 2026-03-14", flag)
}

var callHeader = []string{"CALL", "START", "DIRECTION", "FROM", "TO", "STATUS", "SECONDS", "SOURCE"}

func callRow(c data.Call) []string {
	return []string{c.ID, whenP(c.StartTime), dash(c.Direction), party(c.From), party(c.To), dash(c.Status),
		fmt.Sprintf("%.0f", float64(c.DurationMS)/1000), c.Source + "/" + c.Instance}
}

func party(p data.Party) string {
	if p.E164 != "" {
		return p.E164
	}
	return dash(p.Raw)
}

func (a *app) showCalls(calls []data.Call) {
	rows := make([][]string, 0, len(calls))
	for _, c := range calls {
		rows = append(rows, callRow(c))
	}
	a.out.Table(callHeader, rows)
}

func (a *app) recordsList() *cobra.Command {
	var w window
	var limit int
	c := &cobra.Command{Use: "list", Short: "List calls, by time", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			f, err := w.filter()
			if err != nil {
				return err
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			f.PageSize = min(max(limit, 1), 1000)
			out := data.Calls{Calls: []data.Call{}}
			enough := errors.New("enough")
			err = r.AllCalls(ctx, f, func(c data.Call) error {
				if len(out.Calls) == limit {
					return enough
				}
				out.Calls = append(out.Calls, c)
				return nil
			})
			if err != nil && !errors.Is(err, enough) {
				return err
			}
			return a.plain(out, func() {
				if a.none(len(out.Calls), "calls", "bring some in: domicile records import --source SOURCE --feed NAME PATH…") {
					return
				}
				a.showCalls(out.Calls)
				if errors.Is(err, enough) {
					a.err.Line("there are more: raise --limit, narrow with --start and --end, or use `domicile records export`")
				}
			})
		})}
	w.flags(c)
	c.Flags().IntVar(&limit, "limit", 50, "at most this `number` of calls")
	return c
}

func (a *app) recordsGet() *cobra.Command {
	return &cobra.Command{Use: "get CALL", Short: "Show one call", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			c, err := r.Call(ctx, args[0])
			if err != nil {
				return err
			}
			return a.plain(c, func() { a.showCall(c) })
		})}
}

func (a *app) recordsDelete() *cobra.Command {
	return &cobra.Command{Use: "delete CALL", Short: "Destroy a call for good, with its recordings and transcripts", Args: cobra.ExactArgs(1),
		Long: `Destroys one call: recordings and transcripts, the record in every version, what it adds to counters,
and rows of it that left by export. Its source sending it again does not bring it back, and neither does a
backup. To forget a person, use ` + "`domicile subjects erase`" + `. A legal hold stands against both (LEGAL_HOLD).`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			if err := r.DeleteCall(ctx, args[0]); err != nil {
				return err
			}
			return a.plain(map[string]string{"id": args[0], "state": "destroyed"}, func() { a.out.Line("%s is destroyed", args[0]) })
		})}
}

func (a *app) showCall(c data.Call) {
	stir := ""
	if c.STIR != nil {
		stir = strings.TrimSpace(c.STIR.Attest + " " + c.STIR.Verstat)
	}
	a.out.Fields([2]string{"call", c.ID}, [2]string{"source", c.Source + "/" + c.Instance + " " + c.NativeID + " " + c.Leg},
		[2]string{"from", party(c.From)}, [2]string{"caller name", c.CallerName}, [2]string{"to", party(c.To)},
		[2]string{"direction", c.Direction}, [2]string{"status", c.Status}, [2]string{"start", whenP(c.StartTime)},
		[2]string{"answer", whenP(c.AnswerTime)}, [2]string{"end", whenP(c.EndTime)},
		[2]string{"duration", fmt.Sprintf("%.3f s", float64(c.DurationMS)/1000)}, [2]string{"billed", fmt.Sprintf("%.3f s", float64(c.BillsecMS)/1000)},
		[2]string{"authentication", stir}, [2]string{"assumed", strings.Join(c.Assumed, ", ")},
		[2]string{"versions", number(c.Versions)}, [2]string{"taken in", when(c.IngestTime)},
		[2]string{"kept in", c.Region + ", under policy revision " + number(c.Revision)})
}

func (a *app) recordsSearch() *cobra.Command {
	var w window
	c := &cobra.Command{Use: "search NUMBER", Short: "Find calls from or to a number; it travels in the body, never in a URL", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			f, err := w.filter()
			if err != nil {
				return err
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			s := data.Search{Number: args[0], PageSize: 1000}
			if !f.Start.IsZero() {
				s.Start = &f.Start
			}
			if !f.End.IsZero() {
				s.End = &f.End
			}
			out := data.Calls{Calls: []data.Call{}}
			for {
				page, err := r.SearchCalls(ctx, s)
				if err != nil {
					return err
				}
				out.Calls = append(out.Calls, page.Calls...)
				if s.PageToken = page.NextPageToken; s.PageToken == "" {
					break
				}
			}
			return a.plain(out, func() {
				if !a.none(len(out.Calls), "calls of this number", "give it as it was dialled or as +<country><number>") {
					a.showCalls(out.Calls)
				}
			})
		})}
	c.Flags().StringVar(&w.start, "start", "", "from this `time` on")
	c.Flags().StringVar(&w.end, "end", "", "before this `time`")
	return c
}

func (a *app) recordsExport() *cobra.Command {
	var w window
	var format, file string
	c := &cobra.Command{Use: "export", Short: "Write a tenant's own calls as NDJSON or CSV", Args: cobra.NoArgs,
		Long: "Writes a tenant's own calls to a file, or to standard output. A file appears under its name only when\nit is complete.",
		RunE: a.run(func(ctx context.Context, _ []string) error {
			f, err := w.filter()
			if err != nil {
				return err
			}
			if format != "ndjson" && format != "csv" {
				return usagef("--format takes ndjson or csv")
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			stream, err := r.ExportCalls(ctx, format, f)
			if err != nil {
				return err
			}
			defer stream.Close()
			if file == "" {
				_, err = io.Copy(a.out.Writer(), stream)
				return err
			}
			n, err := writeWhole(file, stream)
			if err != nil {
				return err
			}
			a.err.Line("%s: %s", file, screen.Bytes(n))
			return nil
		})}
	w.flags(c)
	c.Flags().StringVar(&format, "format", "ndjson", "`format`: ndjson or csv")
	c.Flags().StringVar(&file, "file", "", "write to this `file` instead of standard output")
	return c
}

// writeWhole writes r to a temporary file beside path, readable by its owner
// only, and renames it when everything is written and synced.
func writeWhole(path string, r io.Reader) (int64, error) {
	tmp := path + ".partial"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, fmt.Errorf("make %s: %w", tmp, err)
	}
	n, err := io.Copy(f, r)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(tmp)
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return 0, fmt.Errorf("name %s: %w", path, err)
	}
	return n, nil
}
