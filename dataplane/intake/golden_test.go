package intake

import (
	"bytes"
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/domicile-io/domicile/dataplane/record"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files with what the code does now")

// TestGolden runs every testdata/golden/*.txtar: settings in the comment, a
// body, and the canonical records that it must become.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runCase(t, ar)
			if *rewrite {
				ar.Files = append(ar.Files[:1:1], txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(ar.Files) < 2 || got != string(ar.Files[1].Data) {
				t.Errorf("records differ (run with -rewrite and read the diff); got:\n%s", got)
			}
		})
	}
}

func runCase(t *testing.T, ar *txtar.Archive) string {
	t.Helper()
	s, path := settingsOf(t, string(ar.Comment))
	body := bytes.ReplaceAll(ar.Files[0].Data, []byte("\\r\n"), []byte("\r\n"))
	var out strings.Builder
	yield := func(it Item) error {
		if it.Err != nil {
			fmt.Fprintf(&out, "quarantined %d bytes of %s: %v\n\n", len(it.Raw), it.ContentType, it.Err)
			return nil
		}
		out.WriteString(show(reflect.ValueOf(it.Record), ""))
		out.WriteString("\n")
		return nil
	}
	var err error
	if s.Source == record.Native {
		err = NDJSON(context.Background(), s, bytes.NewReader(body), yield)
	} else {
		err = Feed(context.Background(), s, path, "text/wrong", bytes.NewReader(body), yield)
	}
	fmt.Fprintf(&out, "error: %v\n", err)
	return out.String()
}

func settingsOf(t *testing.T, comment string) (s Settings, path string) {
	t.Helper()
	s.Instance = "test"
	for line := range strings.Lines(comment) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "source":
			s.Source = record.SourceKind(value)
		case "path":
			path = value
		case "country":
			s.DefaultCountry = value
		case "assumed":
			s.AssumedZone, s.AssumedCountry = true, true
		case "zone":
			loc, err := time.LoadLocation(value)
			if err != nil {
				t.Fatal(err)
			}
			s.Location = loc
		}
	}
	return s, path
}

// show prints every field of a record that is not zero, personal or not: the
// people of the test data are invented.
func show(v reflect.Value, prefix string) string {
	var out strings.Builder
	for i := range v.NumField() {
		f, name := v.Field(i), prefix+v.Type().Field(i).Name
		switch value := f.Interface().(type) {
		case time.Time:
			if !value.IsZero() {
				fmt.Fprintf(&out, "%s: %s\n", name, value.Format(time.RFC3339Nano))
			}
			continue
		case [32]byte:
			fmt.Fprintf(&out, "%s: %s\n", name, hex.EncodeToString(value[:]))
			continue
		case []byte:
			fmt.Fprintf(&out, "%s: %d bytes\n", name, len(value))
			continue
		}
		switch {
		case f.Kind() == reflect.Struct:
			out.WriteString(show(f, name+"."))
		case !f.IsZero() && f.Kind() == reflect.String:
			fmt.Fprintf(&out, "%s: %q\n", name, f.Interface())
		case !f.IsZero():
			fmt.Fprintf(&out, "%s: %v\n", name, f.Interface())
		}
	}
	return out.String()
}
