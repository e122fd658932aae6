package local_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	keyring "github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
)

// vanishAfter tells a process that is started for it after how many operations its
// disk vanishes, and where its folder is.
const vanishAfter = "DOMICILE_TEST_VANISH"

// startOnVanishing opens a store as a node does, on a disk that is gone after some
// operations: exit code 0 when it is open, 1 and a word when not.
func startOnVanishing(spec string) int {
	after, dir, _ := strings.Cut(spec, ":")
	n, _ := strconv.ParseInt(after, 10, 64)
	var left atomic.Int64
	left.Store(n)
	disk := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(errorfs.Op) error {
		if left.Add(-1) < 0 {
			return syscall.EIO
		}
		return nil
	}))
	keys, err := keyring.OpenKeyring(keyring.Options{Dir: filepath.Join(filepath.Dir(dir), "keys"), Region: storetest.Region})
	if err == nil {
		_, err = local.Open(local.Options{Dir: dir, Region: storetest.Region, Keys: keys, FS: disk, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Whenever the disk vanishes while a store is opened, new or not, the start fails
// with the folder's name and the exit code of other starts that fail: never with the
// engine's stack, and never without a word.
func TestADiskThatVanishesAtOpenIsAnError(t *testing.T) {
	if spec := os.Getenv(vanishAfter); spec != "" {
		os.Exit(startOnVanishing(spec))
	}
	for _, had := range []bool{false, true} {
		base := t.TempDir()
		s, _, stop := openKeyed(t, base, nil)
		if _, err := ingest(t, s, storetest.Native(1)); err != nil {
			t.Fatal(err)
		}
		stop()
		refused := 0
		for n := 0; n < 1000; n++ {
			records := filepath.Join(base, fmt.Sprintf("records-%d", n))
			if had {
				if err := os.CopyFS(records, os.DirFS(filepath.Join(base, "records"))); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestADiskThatVanishesAtOpenIsAnError$")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d:%s", vanishAfter, n, records))
			out, err := cmd.CombinedOutput()
			cancel()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if err == nil {
				break
			}
			refused++
			said := string(out)
			if code := exit.ExitCode(); code != 1 || !strings.Contains(said, records) || strings.Contains(said, "goroutine ") || !strings.Contains(said, "input/output error") {
				t.Fatalf("a store that was there: %v; after %d operations: exit code %d\n%.2000s", had, n, code, said)
			}
		}
		if refused < 10 {
			t.Errorf("only %d moments: the test shows nothing", refused)
		}
		t.Logf("a store that was there: %v; %d moments", had, refused)
	}
}
