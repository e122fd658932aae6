package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/screen"
)

const certificatePoll = 250 * time.Millisecond

func (a *app) subjectsCommand() *cobra.Command {
	return group("subjects", "Find, export and erase one person, by a number", a.subjectsFind(), a.subjectsReassign(), a.subjectsExport(),
		a.subjectsErase(), a.subjectsCertificates(), a.subjectsHolds())
}

// whose is the flags that say whom a command is about.
type whose struct{ instance, subject string }

func (w *whose) flags(c *cobra.Command) {
	c.Flags().StringVar(&w.instance, "instance", "", "the number is a raw value as this `feed` wrote it, such as an extension")
	c.Flags().StringVar(&w.subject, "subject", "", "one owner of a number that changed hands, `SU…` from subjects find")
}

// ref reads the number: from the argument, or with - from standard input, so
// that it stands in no history and no list of processes.
func (a *app) ref(w whose, number string) (data.SubjectRef, error) {
	if number == stdin {
		if number = strings.TrimSpace(a.readLine()); number == "" {
			return data.SubjectRef{}, usagef("standard input holds no number")
		}
	}
	return data.SubjectRef{Number: number, Instance: w.instance, Subject: w.subject}, nil
}

// about runs a command about one person.
func (a *app) about(w *whose, do func(ctx context.Context, r *client.Region, ref data.SubjectRef) error) func(*cobra.Command, []string) error {
	return a.run(func(ctx context.Context, args []string) error {
		ref, err := a.ref(*w, args[0])
		if err != nil {
			return err
		}
		r, err := a.region()
		if err != nil {
			return err
		}
		return do(ctx, r, ref)
	})
}

func (a *app) subjectsFind() *cobra.Command {
	var w whose
	c := &cobra.Command{Use: "find NUMBER", Short: "List who had a number and when, with how many calls each has", Args: cobra.ExactArgs(1),
		Long: "Lists the owners of a number: random subject ids, each with the time in which the number was its own.\n- reads the number from standard input. It travels in a body, never in a URL.",
		RunE: a.about(&w, func(ctx context.Context, r *client.Region, ref data.SubjectRef) error {
			out, err := r.FindSubjects(ctx, ref)
			if err != nil {
				return err
			}
			return a.plain(out, func() {
				if !a.none(len(out.Owners), "owners of this number", "nothing is kept that is attributed to it") {
					a.showOwners(out.Owners)
				}
			})
		})}
	w.flags(c)
	return c
}

func (a *app) showOwners(owners []data.Owner) {
	rows := make([][]string, 0, len(owners))
	for _, o := range owners {
		calls := number(o.Calls)
		if o.More {
			calls += "+"
		}
		rows = append(rows, []string{o.Subject, dash(o.Instance), whenP(o.Since), whenP(o.Until), calls, dash(strings.Join(o.Holds, ", ")), dash(o.Erasing)})
	}
	a.out.Table([]string{"SUBJECT", "FEED", "SINCE", "UNTIL", "CALLS", "HELD BY", "ERASING"}, rows)
}

func (a *app) subjectsReassign() *cobra.Command {
	var w whose
	var at string
	c := &cobra.Command{Use: "reassign NUMBER --at TIME", Short: "Record that a number went to somebody else", Args: cobra.ExactArgs(1),
		Long: `Records that at a time the number went from whoever had it to somebody else. Calls that began from then
on are the new owner's, under another subject id; late records of earlier calls still find the former one.
Erasing one owner leaves the other's calls.`,
		RunE: a.about(&w, func(ctx context.Context, r *client.Region, ref data.SubjectRef) error {
			when, err := parseTime("--at", at)
			if err != nil {
				return err
			}
			if when.IsZero() {
				return usagef("--at is missing: when did the number change hands?")
			}
			out, err := r.ReassignSubject(ctx, data.SubjectReassign{SubjectRef: ref, Time: when})
			if err != nil {
				return err
			}
			return a.plain(out, func() { a.showOwners(out.Owners) })
		})}
	w.flags(c)
	c.Flags().StringVar(&at, "at", "", "`time`: RFC 3339, or a UTC day such as 2026-03-14")
	return c
}

func (a *app) subjectsExport() *cobra.Command {
	var w whose
	var file string
	var noMedia bool
	c := &cobra.Command{Use: "export NUMBER --file FILE", Short: "Write everything of a person into one archive, the other party masked", Args: cobra.ExactArgs(1),
		Long: `Writes a zip with calls.jsonl, recordings, transcripts and, last, manifest.json, which has the SHA-256 of every
part. Other parties' numbers are masked. The file is readable by its owner only, and appears under its name
when it is complete.`,
		RunE: a.about(&w, func(ctx context.Context, r *client.Region, ref data.SubjectRef) error {
			if file == "" {
				return usagef("--file is missing: where is the archive to be written?")
			}
			stream, err := r.ExportSubject(ctx, data.SubjectExport{SubjectRef: ref, WithoutMedia: noMedia})
			if err != nil {
				return err
			}
			defer stream.Close()
			bar := a.bytesBar("exporting")
			counted := progressbar.NewReader(stream, bar)
			n, err := writeWhole(file, &counted)
			_ = bar.Exit()
			if err != nil {
				return err
			}
			return a.plain(map[string]any{"file": file, "bytes": n}, func() { a.out.Line("%s: %s", file, screen.Bytes(n)) })
		})}
	w.flags(c)
	c.Flags().StringVar(&file, "file", "", "write the archive to this `file`")
	c.Flags().BoolVar(&noMedia, "without-media", false, "leave recordings and transcripts out")
	return c
}

// bytesBar is a bar for a stream of unknown length.
func (a *app) bytesBar(what string) *progressbar.ProgressBar {
	if !a.err.Terminal() {
		return progressbar.DefaultBytesSilent(-1)
	}
	return progressbar.NewOptions64(-1, progressbar.OptionSetWriter(a.err.Writer()), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
}

func (a *app) subjectsErase() *cobra.Command {
	var w whose
	var yes bool
	var wait time.Duration
	c := &cobra.Command{Use: "erase NUMBER", Short: "Forget a person for good, and get a certificate", Args: cobra.ExactArgs(1),
		Long: `Takes a person out of everything that the region keeps: calls, indexes, counters, quarantined payloads,
recordings, transcripts and what waits to be exported; recipients of pseudonyms are told to delete. Calls
whose other party stays keep that party's number, time, length and outcome. It cannot be undone.

The certificate is executed when nothing in the region opens any more, and final when no copy made before
does either. A legal hold stands against it (exit code 1, reason LEGAL_HOLD). Asked again while it runs,
the command answers the same certificate.`,
		RunE: a.about(&w, func(ctx context.Context, r *client.Region, ref data.SubjectRef) error {
			if !yes {
				a.err.Line("This cannot be undone. Type %s to go on:", a.err.Bold("erase"))
				if strings.TrimSpace(a.readLine()) != "erase" {
					return errors.New("nothing was done")
				}
			}
			cert, err := r.EraseSubject(ctx, ref)
			if err == nil {
				cert, err = a.awaitCertificate(ctx, r, cert, wait)
			}
			if err != nil {
				return err
			}
			return a.plain(cert, func() { a.showCertificate(cert) })
		})}
	w.flags(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait until it is executed")
	return c
}

// erasureSteps are the steps of an erasure, as certificates name them.
var erasureSteps = []string{"intent", "unlink", "calls", "quarantine", "forget", "executed", "final"}

// awaitCertificate looks until it is executed, or the time is over.
func (a *app) awaitCertificate(ctx context.Context, r *client.Region, c data.Certificate, wait time.Duration) (data.Certificate, error) {
	end := time.Now().Add(wait)
	bar := progressbar.DefaultSilent(int64(len(erasureSteps) - 1))
	if a.err.Terminal() {
		bar = progressbar.NewOptions(len(erasureSteps)-1, progressbar.OptionSetWriter(a.err.Writer()), progressbar.OptionClearOnFinish())
	}
	defer func() { _ = bar.Exit() }()
	for c.State == "pending" && time.Now().Before(end) {
		for i, step := range erasureSteps {
			if step == c.Step {
				bar.Describe(fmt.Sprintf("erasing: %s, %d calls", step, c.Counts.Dropped+c.Counts.Redacted))
				_ = bar.Set(i)
			}
		}
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-time.After(certificatePoll):
		}
		var err error
		if c, err = r.Certificate(ctx, c.ID); err != nil {
			return c, err
		}
	}
	return c, nil
}
