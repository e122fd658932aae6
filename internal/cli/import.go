package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
)

const stdin = "-" // as a path

// contentTypes of what each source's files usually hold; the region looks at
// the bytes themselves.
var contentTypes = map[string]string{
	"freeswitch": "application/json",
	"kamailio":   "application/x-ndjson",
	"asterisk":   "text/csv",
	"twilio":     "application/x-www-form-urlencoded",
	"native":     "application/x-ndjson",
}

func (a *app) recordsImport() *cobra.Command {
	im := importer{app: a}
	c := &cobra.Command{Use: "import --source SOURCE --feed NAME PATH…", Short: "Bring in spool folders, CSV and NDJSON files", Args: cobra.MinimumNArgs(1),
		Long: `Brings in what a source left on disk: FreeSWITCH's err-log-dir, Asterisk's Master.csv or JSON lines,
Kamailio's JSON lines, recorded Twilio callbacks, or NDJSON in Domicile's own form (--source native).
A folder means every file in it and below; - reads standard input. Named as the live feed's instance, a record that came in live
already counts as a duplicate, so an import may be repeated.

With --remove a file is deleted only after its region acknowledged that it is durable, and only when
nothing of it was quarantined.`,
		Example: "  domicile records import --source freeswitch --feed sbc1 --remove /var/log/freeswitch/json_cdr\n  domicile records import --source asterisk --feed pbx /var/log/asterisk/cdr-csv/Master.csv",
		RunE:    a.run(im.run)}
	c.Flags().StringVar(&im.source, "source", "", "`source`: freeswitch, kamailio, asterisk, twilio or native")
	c.Flags().StringVar(&im.feed, "feed", "", "`name` of the feed; use the live feed's")
	c.Flags().BoolVar(&im.remove, "remove", false, "delete each file once it is durably stored")
	return c
}

type importer struct {
	app          *app
	source, feed string
	remove       bool

	region *client.Region
	total  data.Counts
	files  int
}

func (im *importer) run(ctx context.Context, paths []string) error {
	if _, ok := contentTypes[im.source]; !ok {
		return usagef("--source is missing or unknown: freeswitch, kamailio, asterisk, twilio or native")
	}
	if im.feed == "" && im.source != "native" {
		return usagef("--feed is missing: give the name of the live feed, so that what came in live is not counted twice")
	}
	files, err := collect(paths)
	if err != nil {
		return err
	}
	if im.region, err = im.app.region(); err != nil {
		return err
	}
	bar := im.bar(len(files))
	for _, f := range files {
		if err := im.one(ctx, f); err != nil {
			_ = bar.Exit()
			return fmt.Errorf("%s: %w", f, err)
		}
		_ = bar.Add(1)
	}
	_ = bar.Finish()
	return im.app.plain(struct {
		Files int `json:"files"`
		data.Counts
	}{im.files, im.total}, func() {
		im.app.out.Line("%d files: %d accepted, %d duplicates, %d quarantined", im.files, im.total.Accepted, im.total.Duplicates, im.total.Quarantined)
		if im.total.Quarantined > 0 {
			im.app.err.Line("next: domicile quarantine list")
		}
	})
}

func (im *importer) bar(n int) *progressbar.ProgressBar {
	if !im.app.err.Terminal() {
		return progressbar.DefaultSilent(int64(n))
	}
	return progressbar.NewOptions(n, progressbar.OptionSetWriter(im.app.err.Writer()), progressbar.OptionSetDescription("importing"),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
}

// one sends a file. Whatever happens before the acknowledgement, the file stays.
func (im *importer) one(ctx context.Context, path string) error {
	f := im.app.in
	if path != stdin {
		opened, err := os.Open(path)
		if err != nil {
			return err
		}
		defer opened.Close()
		f = opened
	}
	u := client.Upload{Body: f, ContentType: contentTypes[im.source], Encoding: encodingOf(path)}
	if strings.HasSuffix(path, ".jsonl") || strings.HasSuffix(path, ".ndjson") || strings.HasSuffix(path, ".json") {
		u.ContentType = "application/json"
	}
	var n data.Counts
	var err error
	if im.source == "native" {
		n, err = im.region.Batch(ctx, client.Upload{Body: f, Encoding: u.Encoding})
	} else {
		n, err = im.region.Feed(ctx, im.source, im.feed, u)
	}
	if err != nil {
		return err
	}
	im.files++
	im.total.Accepted += n.Accepted
	im.total.Duplicates += n.Duplicates
	im.total.Quarantined += n.Quarantined
	if im.remove && path != stdin && n.Quarantined == 0 && n.Accepted+n.Duplicates > 0 {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("stored, but not removed: %w", err)
		}
	}
	return nil
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

// collect lists regular files, folders walked, in order of name. Hidden files
// are left out: they are what others are still writing.
func collect(paths []string) ([]string, error) {
	var files []string
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
			if d.Type().IsRegular() {
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, usagef("%v", err)
		}
	}
	if len(files) == 0 {
		return nil, errors.New("there is no file to import")
	}
	sort.Strings(files)
	return files, nil
}
