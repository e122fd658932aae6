package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/screen"
)

func (a *app) recordingsCommand() *cobra.Command {
	return group("recordings", "Keep recordings of calls at home: upload, list, get, delete",
		a.recordingsUpload(), a.recordingsList(), a.recordingsGet(), a.recordingsDelete())
}

// newBar is a progress bar of bytes for people, and none for machines.
func (a *app) newBar(size int64, what string) *progressbar.ProgressBar {
	if !a.err.Terminal() {
		return progressbar.DefaultBytesSilent(size)
	}
	return progressbar.NewOptions64(size, progressbar.OptionSetWriter(a.err.Writer()), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
}

// watched moves a bar as a file is read, also backwards.
type watched struct {
	*os.File
	bar *progressbar.ProgressBar
	at  int64
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.File.Read(b)
	w.at += int64(n)
	_ = w.bar.Set64(w.at)
	return n, err
}

func (w *watched) Seek(offset int64, whence int) (int64, error) {
	at, err := w.File.Seek(offset, whence)
	w.at = at
	return at, err
}

func (a *app) recordingsUpload() *cobra.Command {
	var call string
	c := &cobra.Command{Use: "upload FILE", Short: "Send a recording (WAV, Ogg/Opus, MP3); one that breaks off goes on where it stopped", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return usagef("the recording cannot be read: %v", err)
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
				return usagef("%s is no file with something in it", args[0])
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			bar := a.newBar(info.Size(), "uploading")
			out, err := r.UploadRecording(ctx, call, &watched{File: f, bar: bar}, info.Size(), nil)
			_ = bar.Exit()
			if err != nil {
				return err
			}
			return a.plain(out, func() { a.showRecordings([]data.Recording{out}) })
		})}
	c.Flags().StringVar(&call, "call", "", "`id` of the call (CA…) that it is of")
	return c
}

func (a *app) showRecordings(list []data.Recording) {
	rows := make([][]string, 0, len(list))
	for _, r := range list {
		rows = append(rows, []string{r.ID, dash(r.CallID), r.Format, screen.Bytes(r.SizeBytes), seconds(r.DurationMS), when(r.CreateTime)})
	}
	a.out.Table([]string{"RECORDING", "CALL", "FORMAT", "SIZE", "SECONDS", "KEPT SINCE"}, rows)
}

// seconds of a length that may be unknown.
func seconds(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(ms)/1000)
}

// mediaWindow is the flags that narrow lists of recordings and transcripts.
type mediaWindow struct {
	call, start, end string
	limit            int
}

func (w *mediaWindow) flags(c *cobra.Command) {
	c.Flags().StringVar(&w.call, "call", "", "only those of this call's `id`")
	c.Flags().StringVar(&w.start, "start", "", "kept from this `time` on: RFC 3339, or a UTC day such as 2026-03-14")
	c.Flags().StringVar(&w.end, "end", "", "kept before this `time`")
	c.Flags().IntVar(&w.limit, "limit", 50, "at most this `number`")
}

func (w *mediaWindow) filter() (client.MediaFilter, error) {
	f := client.MediaFilter{Call: w.call, PageSize: min(max(w.limit, 1), 1000)}
	var err error
	if f.Start, err = parseTime("--start", w.start); err != nil {
		return f, err
	}
	f.End, err = parseTime("--end", w.end)
	return f, err
}

// upTo gathers the pages of a list up to a limit, and reports whether there is more.
func upTo[T any](limit int, page func(token string) ([]T, string, error)) (list []T, more bool, err error) {
	list = []T{} // an empty list is [] in JSON
	token := ""
	for len(list) < limit {
		some, next, err := page(token)
		if err != nil {
			return nil, false, err
		}
		list = append(list, some...)
		if token = next; token == "" {
			break
		}
	}
	return list[:min(len(list), max(limit, 0))], len(list) > limit || token != "", nil
}

func (a *app) recordingsList() *cobra.Command {
	var w mediaWindow
	c := &cobra.Command{Use: "list", Short: "List recordings, by time", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			f, err := w.filter()
			if err != nil {
				return err
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			list, more, err := upTo(w.limit, func(token string) ([]data.Recording, string, error) {
				f.PageToken = token
				page, err := r.Recordings(ctx, f)
				return page.Recordings, page.NextPageToken, err
			})
			if err != nil {
				return err
			}
			out := data.Recordings{Recordings: list}
			return a.plain(out, func() {
				if a.none(len(out.Recordings), "recordings", "send one: domicile recordings upload --call CALL FILE") {
					return
				}
				a.showRecordings(out.Recordings)
				a.thereIsMore(more)
			})
		})}
	w.flags(c)
	return c
}

func (a *app) thereIsMore(more bool) {
	if more {
		a.err.Line("there are more: raise --limit, or narrow with --call, --start and --end")
	}
}

func (a *app) recordingsGet() *cobra.Command {
	var file string
	c := &cobra.Command{Use: "get RECORDING", Short: "Show a recording; with --file, fetch its sound", Args: cobra.ExactArgs(1),
		Long: "Shows what is known of a recording. With --file its sound is fetched; the file appears under its name\nonly when it is complete.",
		RunE: a.run(func(ctx context.Context, args []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			rec, err := r.Recording(ctx, args[0])
			if err != nil {
				return err
			}
			if file != "" {
				if err := a.fetchSound(ctx, r, rec, file); err != nil {
					return err
				}
			}
			return a.plain(rec, func() {
				a.out.Fields([2]string{"recording", rec.ID}, [2]string{"call", rec.CallID}, [2]string{"format", rec.Format + " (" + rec.MediaType + ")"},
					[2]string{"size", screen.Bytes(rec.SizeBytes)}, [2]string{"channels", number(rec.Channels)}, [2]string{"seconds", seconds(rec.DurationMS)},
					[2]string{"sha256", rec.SHA256}, [2]string{"kept since", when(rec.CreateTime)}, [2]string{"kept in", rec.Region})
			})
		})}
	c.Flags().StringVar(&file, "file", "", "write the sound to this `file`")
	return c
}

func (a *app) fetchSound(ctx context.Context, r *client.Region, rec data.Recording, file string) error {
	sound, err := r.RecordingMedia(ctx, rec.ID, 0)
	if err != nil {
		return err
	}
	defer sound.Close()
	bar := a.newBar(rec.SizeBytes, "fetching")
	counted := progressbar.NewReader(sound, bar)
	n, err := writeWhole(file, struct{ io.Reader }{&counted})
	_ = bar.Exit()
	if err != nil {
		return err
	}
	a.err.Line("%s: %s", file, screen.Bytes(n))
	return nil
}

func (a *app) recordingsDelete() *cobra.Command {
	return &cobra.Command{Use: "delete RECORDING", Short: "Destroy a recording for good: its key first, then its bytes", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			if err := r.DeleteRecording(ctx, args[0]); err != nil {
				return err
			}
			return a.plain(map[string]string{"id": args[0], "state": "destroyed"}, func() { a.out.Line("%s is destroyed", args[0]) })
		})}
}
