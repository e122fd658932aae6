package docs

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/domicile-io/domicile/internal/loopback"
	"github.com/domicile-io/domicile/internal/pasted"
)

// checkout prepares the folder that a newcomer pastes in: this one, because Go
// would compile a copy anew. What the pages leave behind goes afterwards. A data
// folder of somebody's own is never touched: then the test is skipped by name.
func checkout(t *testing.T) pasted.Options {
	t.Helper()
	dir, err := filepath.Abs(repo)
	if err != nil {
		t.Fatal(err)
	}
	made := []string{".domicile", "calls.ndjson", "kept.json", "rules.json", "call.json", "receipt.json",
		"clinic.key", "clinic.pub", "clinic.cert", "second.key", "second.pub", "second.cert", "fr1", "assessment.txt", "recipient.json"}
	for _, name := range made {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Skipf("SKIPPED, NOT TESTED: %s is in the checkout, where this page is pasted; move it away", name)
		}
	}
	t.Cleanup(func() {
		for _, name := range made {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
	})
	ci, err := os.ReadFile(repo + ".ci/run")
	if err != nil {
		t.Fatal(err)
	}
	free, err := loopback.Port() // for the region that a page adds: others may follow it at the same time
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"HOME=" + t.TempDir(), "TERM=dumb", "PORT=" + strconv.Itoa(free)}
	for _, name := range []string{"PATH", "GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	if _, ok := os.LookupEnv("GOCACHE"); !ok { // HOME is another: Go's caches stay where they are
		if cache, err := os.UserCacheDir(); err == nil {
			env = append(env, "GOCACHE="+filepath.Join(cache, "go-build"))
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		if _, ok := os.LookupEnv("GOPATH"); !ok {
			env = append(env, "GOPATH="+filepath.Join(home, "go"))
		}
	}
	return pasted.Options{Dir: dir, Env: env, CI: string(ci)}
}

// README.md, pasted; and its picture, from what that run said.
func TestReadMe(t *testing.T) {
	page, err := os.ReadFile(repo + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	said, err := pasted.Follow(context.Background(), page, checkout(t))
	if err != nil {
		t.Fatal(err)
	}
	svg, err := picture(said)
	if err != nil {
		t.Fatal(err)
	}
	if err := keep(repo+"docs/picture.svg", svg, *rewrite); err != nil {
		t.Error(err)
	}
}

// The quick start, and the how-tos that say they are pasted behind it.
func TestQuickStart(t *testing.T) {
	var pages [][]byte
	for _, name := range []string{"quickstart.md", "howto/approve-a-change.md", "howto/let-rows-leave.md", "howto/prove-where-data-is.md", "howto/add-a-region.md"} {
		raw, err := os.ReadFile(repo + "docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, raw)
	}
	if _, err := pasted.Follow(context.Background(), bytes.Join(pages, nil), checkout(t)); err != nil {
		t.Fatal(err)
	}
}
