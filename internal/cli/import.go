package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
)

const (
	stdin  = "-"      // as a path
	native = "native" // our own NDJSON, as a source
)

// contentTypes of what each source's files usually hold; the region looks at
// the bytes themselves.
var contentTypes = map[string]string{
	"freeswitch": "application/json",
	"kamailio":   "application/x-ndjson",
	"asterisk":   "text/csv",
	"twilio":     "application/x-www-form-urlencoded",
	native:       "application/x-ndjson",
}

func (a *app) recordsImport() *cobra.Command {
	im := importer{app: a}
	c := &cobra.Command{Use: "import --source SOURCE --feed NAME PATH…", Short: "Bring in spool folders, CSV and NDJSON files", Args: cobra.MinimumNArgs(1),
		Long: `Brings in what a source left on disk: FreeSWITCH's err-log-dir, Asterisk's Master.csv or JSON lines,
Kamailio's JSON lines, recorded Twilio callbacks, or NDJSON in Domicile's own form (--source native).
A folder means every file in it and below; - reads standard input. Named as the live feed's instance, a record that came in live
already counts as a duplicate, so an import may be repeated.

With --remove a file is deleted only after its region acknowledged that it is durable, and only when
nothing of it was quarantined and nobody wrote to it meanwhile.

With --stream, NDJSON in Domicile's own form goes over one long gRPC connection in small batches, each of
which is acknowledged by itself; after a cut, what was not acknowledged is sent again. Followed by -, a
program's output is brought in as it comes.`,
		Example: "  domicile records import --source freeswitch --feed sbc1 --remove /var/log/freeswitch/json_cdr\n  domicile records import --source asterisk --feed pbx /var/log/asterisk/cdr-csv/Master.csv\n  tail -F calls.ndjson | domicile records import --source native --stream -",
		RunE:    a.run(im.run)}
	c.Flags().StringVar(&im.source, "source", "", "`source`: freeswitch, kamailio, asterisk, twilio or native")
	c.Flags().StringVar(&im.feed, "feed", "", "`name` of the feed; use the live feed's")
	c.Flags().BoolVar(&im.remove, "remove", false, "delete each file once it is durably stored")
	c.Flags().BoolVar(&im.stream, "stream", false, "send over one long gRPC connection (--source native only)")
	c.Flags().StringVar(&im.ingest, "ingest-address", "", "`host:port` of the region's port for streams (DOMICILE_<REGION>_INGEST)")
	return c
}

// importer sends files side by side, because each waits for its own sync.
type importer struct {
	app          *app
	source, feed string
	remove       bool
	stream       bool
	ingest       string

	region *client.Region
	bar    *progressbar.ProgressBar

	mu    sync.Mutex
	total data.Counts
	files int
}

const importersAtOnce = 8

func (im *importer) run(ctx context.Context, paths []string) error {
	if _, ok := contentTypes[im.source]; !ok {
		return usagef("--source is missing or unknown: freeswitch, kamailio, asterisk, twilio or native")
	}
	if im.feed == "" && im.source != native {
		return usagef("--feed is missing: give the name of the live feed, so that what came in live is not counted twice")
	}
	if im.stream && im.source != native {
		return usagef("--stream goes with --source native: a stream's records are Domicile's own form, one JSON object on a line")
	}
	files, size, err := collect(paths)
	if err != nil {
		return err
	}
	if im.region, err = im.app.region(); err != nil {
		return err
	}
	im.bar = im.app.newBar(size, "importing")
	if im.stream {
		err = im.streamed(ctx, files)
		_ = im.bar.Exit()
		return errors.Join(im.summary(), err)
	}
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(importersAtOnce)
	for _, f := range files {
		all.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err // another file failed; this one stays untouched
			}
			if err := im.one(ctx, f); err != nil {
				return fmt.Errorf("%s: %w", f, err)
			}
			return nil
		})
	}
	err = all.Wait()
	_ = im.bar.Exit()
	return errors.Join(im.summary(), err)
}

// summary says what is stored, also after a failure.
func (im *importer) summary() error {
	return im.app.plain(struct {
		Files int `json:"files"`
		data.Counts
	}{im.files, im.total}, func() {
		files := "files"
		if im.files == 1 {
			files = "file"
		}
		im.app.out.Line("%d %s: %d accepted, %d duplicates, %d quarantined", im.files, files, im.total.Accepted, im.total.Duplicates, im.total.Quarantined)
		if im.total.Quarantined > 0 {
			im.app.err.Line("next: domicile quarantine list")
		}
	})
}

// one sends a file. Whatever happens before the acknowledgement, the file stays.
func (im *importer) one(ctx context.Context, path string) error {
	in := im.app.in
	var was os.FileInfo
	if path != stdin {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if was, err = f.Stat(); err != nil {
			return err
		}
		in = f
	}
	counted := progressbar.NewReader(in, im.bar)
	u := client.Upload{Body: struct{ io.Reader }{&counted}, ContentType: contentTypeOf(im.source, path), Encoding: encodingOf(path)}
	var n data.Counts
	var err error
	if im.source == native {
		n, err = im.region.Batch(ctx, u)
	} else {
		n, err = im.region.Feed(ctx, im.source, im.feed, u)
	}
	if err != nil {
		return err
	}
	im.mu.Lock()
	im.files++
	im.total.Accepted += n.Accepted
	im.total.Receipts = append(im.total.Receipts, n.Receipts...)
	im.total.Duplicates += n.Duplicates
	im.total.Quarantined += n.Quarantined
	im.mu.Unlock()
	if im.remove && path != stdin && n.Quarantined == 0 && n.Accepted+n.Duplicates > 0 {
		return im.removeRead(path, was)
	}
	return nil
}

// removeRead removes a file whose every record is stored. What was written to it
// after it was opened may not be, nor is what stands in its place since: it stays.
func (im *importer) removeRead(path string, was os.FileInfo) error {
	now, err := os.Lstat(path)
	if err == nil && (!os.SameFile(was, now) || now.Size() != was.Size() || !now.ModTime().Equal(was.ModTime())) {
		return errors.New("somebody wrote to it while it was brought in, so it stays: repeat the command once nobody does; what is stored already counts as a duplicate")
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("stored, but not removed: %w", err)
	}
	return nil
}

func contentTypeOf(source, path string) string {
	switch filepath.Ext(strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")) {
	case ".json", ".jsonl", ".ndjson":
		if source != native {
			return "application/json"
		}
	}
	return contentTypes[source]
}

func encodingOf(path string) string {
	switch filepath.Ext(path) {
	case ".gz":
		return "gzip"
	case ".zst":
		return "zstd"
	}
	return ""
}

// collect lists regular files, folders walked, in order of name, and their
// bytes together. Hidden files are left out: they are what others are still writing.
func collect(paths []string) (files []string, size int64, err error) {
	for _, p := range paths {
		if p == stdin {
			files = append(files, p)
			continue
		}
		err := filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if strings.HasPrefix(d.Name(), ".") && path != p {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if !d.Type().IsRegular() {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			files, size = append(files, path), size+info.Size()
			return nil
		})
		if errors.Is(err, fs.ErrNotExist) {
			return nil, 0, usagef("%s is not there: nothing was sent; give files or folders, or - for standard input", p)
		}
		if err != nil {
			return nil, 0, usagef("%v", err)
		}
	}
	if len(files) == 0 {
		return nil, 0, usagef("there is no file to import")
	}
	sort.Strings(files)
	return files, size, nil
}
