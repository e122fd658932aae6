package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/data"
)

func (a *app) transcriptsCommand() *cobra.Command {
	return group("transcripts", "Keep what was said on calls at home: put, list, get, search, delete",
		a.transcriptsPut(), a.transcriptsList(), a.transcriptsGet(), a.transcriptsSearch(), a.transcriptsDelete())
}

func (a *app) transcriptsPut() *cobra.Command {
	var call, recording string
	c := &cobra.Command{Use: "put FILE", Short: "Store a transcript: JSON with segments; - is standard input", Args: cobra.ExactArgs(1),
		Long: "Stores a transcript. FILE holds {\"language\": \"en-IE\", \"segments\": [{\"speaker\", \"start_ms\", \"end_ms\", \"text\",\n\"confidence\"}, …]}, of at most 1 MiB.",
		RunE: a.run(func(ctx context.Context, args []string) error {
			in, err := a.readTranscript(args[0])
			if err != nil {
				return err
			}
			if call != "" {
				in.CallID = call
			}
			if recording != "" {
				in.RecordingID = recording
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			out, err := r.PutTranscript(ctx, in)
			if err != nil {
				return err
			}
			return a.plain(out, func() { a.showTranscripts([]data.Transcript{out}) })
		})}
	c.Flags().StringVar(&call, "call", "", "`id` of the call (CA…) that it is of")
	c.Flags().StringVar(&recording, "recording", "", "`id` of the recording (RE…) that it was made from")
	return c
}

func (a *app) readTranscript(path string) (in data.NewTranscript, err error) {
	var raw []byte
	if path == stdin {
		raw, err = io.ReadAll(io.LimitReader(a.in, 1<<21))
	} else {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return in, usagef("the transcript cannot be read: %v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return in, usagef("the transcript is not JSON of the form that --help shows")
	}
	return in, nil
}

func (a *app) showTranscripts(list []data.Transcript) {
	rows := make([][]string, 0, len(list))
	for _, t := range list {
		rows = append(rows, []string{t.ID, dash(t.CallID), dash(t.Language), number(t.SegmentCount), number(t.SpeakerCount), seconds(t.DurationMS), when(t.CreateTime)})
	}
	a.out.Table([]string{"TRANSCRIPT", "CALL", "LANGUAGE", "SEGMENTS", "SPEAKERS", "SECONDS", "KEPT SINCE"}, rows)
}

func (a *app) transcriptsList() *cobra.Command {
	var w mediaWindow
	c := &cobra.Command{Use: "list", Short: "List transcripts, by time", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			f, err := w.filter()
			if err != nil {
				return err
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			list, more, err := upTo(w.limit, func(token string) ([]data.Transcript, string, error) {
				f.PageToken = token
				page, err := r.Transcripts(ctx, f)
				return page.Transcripts, page.NextPageToken, err
			})
			if err != nil {
				return err
			}
			out := data.Transcripts{Transcripts: list}
			return a.plain(out, func() {
				if a.none(len(out.Transcripts), "transcripts", "store one: domicile transcripts put --call CALL FILE") {
					return
				}
				a.showTranscripts(out.Transcripts)
				a.thereIsMore(more)
			})
		})}
	w.flags(c)
	return c
}

func (a *app) transcriptsGet() *cobra.Command {
	return &cobra.Command{Use: "get TRANSCRIPT", Short: "Show what was said", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			t, err := r.Transcript(ctx, args[0])
			if err != nil {
				return err
			}
			return a.plain(t, func() {
				rows := make([][]string, 0, len(t.Segments))
				for _, s := range t.Segments {
					rows = append(rows, []string{clock(s.StartMS), dash(s.Speaker), s.Text})
				}
				a.out.Table([]string{"AT", "SPEAKER", "TEXT"}, rows)
			})
		})}
}

// clock is a place in a recording.
func clock(ms int64) string {
	s := ms / 1000
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

func (a *app) transcriptsSearch() *cobra.Command {
	var w mediaWindow
	c := &cobra.Command{Use: "search QUERY", Short: "Find words and \"phrases\"; they travel in the body, never in a URL", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			f, err := w.filter()
			if err != nil {
				return err
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			in := data.TranscriptSearch{Query: args[0], CallID: f.Call, PageSize: f.PageSize}
			if !f.Start.IsZero() {
				in.Start = &f.Start
			}
			if !f.End.IsZero() {
				in.End = &f.End
			}
			list, more, err := upTo(w.limit, func(token string) ([]data.TranscriptMatch, string, error) {
				in.PageToken = token
				page, err := r.SearchTranscripts(ctx, in)
				return page.Results, page.NextPageToken, err
			})
			if err != nil {
				return err
			}
			out := data.TranscriptMatches{Results: list}
			return a.plain(out, func() {
				if a.none(len(out.Results), "transcripts with all of it", "every word and every phrase must be found; try fewer") {
					return
				}
				var rows [][]string
				for _, m := range out.Results {
					for _, s := range m.Matches {
						rows = append(rows, []string{m.Transcript.ID, clock(s.StartMS), dash(s.Speaker), s.Text})
					}
				}
				a.out.Table([]string{"TRANSCRIPT", "AT", "SPEAKER", "TEXT"}, rows)
				a.thereIsMore(more)
			})
		})}
	w.flags(c)
	return c
}

func (a *app) transcriptsDelete() *cobra.Command {
	return &cobra.Command{Use: "delete TRANSCRIPT", Short: "Destroy a transcript for good", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			if err := r.DeleteTranscript(ctx, args[0]); err != nil {
				return err
			}
			return a.plain(map[string]string{"id": args[0], "state": "destroyed"}, func() { a.out.Line("%s is destroyed", args[0]) })
		})}
}
