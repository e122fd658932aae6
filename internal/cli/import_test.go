package cli_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/internal/cli"
)

// What a source writes to a file, or puts in its place, while the file is brought in
// was not sent: with --remove the file stays then, and the command says so.
func TestImportRemovesOnlyWhatItBroughtIn(t *testing.T) {
	key := "sk_ie1_" + strings.Repeat("1", 32) + "_" + strings.Repeat("1", 64)
	for name, meanwhile := range map[string]func(path string) error{
		"nothing": func(string) error { return nil },
		"appended": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = io.WriteString(f, "{\"native_id\":\"two\"}\n")
			return errors.Join(err, f.Close())
		},
		"rotated": func(path string) error {
			if err := os.Rename(path, path+".1"); err != nil {
				return err
			}
			return os.WriteFile(path, []byte("{\"native_id\":\"one\"}\n"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "calls.ndjson")
			if err := os.WriteFile(path, []byte("{\"native_id\":\"one\"}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if err := meanwhile(path); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(w, `{"accepted":1}`)
			}))
			defer s.Close()
			ca := filepath.Join(dir, "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, said bytes.Buffer
			code := cli.Run(context.Background(), []string{"records", "import", "--source", "native", "--remove", "--ca", ca, "--region-url", s.URL, "--key", key, path},
				cli.Streams{In: strings.NewReader(""), Out: &out, Err: &said})
			_, err := os.Stat(path)
			gone := os.IsNotExist(err)
			if name == "nothing" {
				if code != 0 || !gone {
					t.Errorf("code %d, removed: %t: %s", code, gone, said.String())
				}
				return
			}
			if gone {
				t.Fatal("what nobody has brought in was removed")
			}
			if code != 1 || !strings.Contains(said.String(), "so it stays") || !strings.Contains(out.String(), "1 accepted") {
				t.Errorf("code %d: %s%s", code, out.String(), said.String())
			}
		})
	}
}
