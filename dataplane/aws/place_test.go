package aws

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/policy"
)

// placeIn is a place in a bucket of a real server, as the data_dir of owner has it.
func (g *gateway) placeIn(c S3Config, owner string) *Place {
	g.t.Helper()
	_, client := clientFor(g.t, policy.Backup, c.CA, c.Destinations()...)
	b, err := NewS3(c, client)
	check(g.t, err)
	return NewPlace(PlaceOptions{Bucket: b, Owner: owner, Spool: g.t.TempDir()})
}

func put(t *testing.T, p backup.Place, name, content string) error {
	t.Helper()
	s, err := p.Stage(t.Context(), "")
	check(t, err)
	_, err = io.WriteString(s, content)
	check(t, err)
	return errors.Join(s.Settle(t.Context(), name), p.Sync())
}

func names(t *testing.T, p backup.Place, folder string) (out []string) {
	t.Helper()
	err := p.List(t.Context(), folder, func(e backup.Entry) error { out = append(out, e.Name); return nil })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

// A folder and a bucket are the same to a repository.
func TestPlacesAreAlike(t *testing.T) {
	g := startGateway(t, "eu-west-1")
	for name, p := range map[string]backup.Place{"folder": backup.NewFolder(t.TempDir()), "bucket": g.placeIn(g.bucket("eu-west-1", "backups"), "A")} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			check(t, p.Ready(ctx))
			if tops, err := p.Tops(ctx); err != nil || len(tops) != 0 {
				t.Errorf("an empty place holds %v, %v", tops, err)
			}
			check(t, p.Lay(ctx))
			unlock, err := p.Lock(ctx, backup.Write)
			check(t, err)
			big := strings.Repeat("0123456789abcdef", 1<<20) // of two parts
			check(t, put(t, p, "objects/ab/abcd", big))
			check(t, put(t, p, "objects/cd/cdef", "small"))
			check(t, put(t, p, "snapshots/x.snapshot", ""))
			s, err := p.Stage(ctx, "")
			check(t, err)
			_, err = io.WriteString(s, "never named")
			check(t, err)
			s.Discard()
			if got := names(t, p, "objects"); !slices.Equal(got, []string{"objects/ab/abcd", "objects/cd/cdef"}) {
				t.Errorf("it lists %v", got)
			}
			in, err := p.Open(ctx, "objects/ab/abcd")
			check(t, err)
			if raw, err := io.ReadAll(in); err != nil || string(raw) != big {
				t.Errorf("%d bytes come back, %v", len(raw), err)
			}
			check(t, in.Close())
			check(t, p.Replace(ctx, "erasures/ledger.jsonl", []byte("one\n")))
			check(t, p.Replace(ctx, "erasures/ledger.jsonl", []byte("one\ntwo\n")))
			in, err = p.Open(ctx, "erasures/ledger.jsonl")
			check(t, err)
			if raw, err := io.ReadAll(in); err != nil || string(raw) != "one\ntwo\n" {
				t.Errorf("%q, %v", raw, err)
			}
			check(t, in.Close())
			check(t, p.Remove(ctx, "objects/cd/cdef"))
			check(t, p.Remove(ctx, "objects/cd/cdef"))
			check(t, p.Sync())
			if _, err := p.Open(ctx, "objects/cd/cdef"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what is removed: %v", err)
			}
			if left, err := p.Leftovers(ctx, time.Now()); err != nil || len(left) != 0 {
				t.Errorf("%d leftovers, %v", len(left), err)
			}
			check(t, unlock())
		})
	}
}

// Nothing is in a bucket of what was begun and not ended; a name that is taken stays
// what it is.
func TestAFileInABucketIsWholeOrNotThere(t *testing.T) {
	g := startGateway(t, "eu-west-1")
	p := g.placeIn(g.bucket("eu-west-1", "backups"), "A")
	check(t, put(t, p, "snapshots/a.snapshot", "first"))
	if err := put(t, p, "snapshots/a.snapshot", "second"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name that is taken: %v", err)
	}
	in, err := p.Open(t.Context(), "snapshots/a.snapshot")
	check(t, err)
	raw, err := io.ReadAll(in)
	if check(t, errors.Join(err, in.Close())); string(raw) != "first" {
		t.Errorf("it is %q now", raw)
	}
	s, err := p.Stage(t.Context(), "")
	check(t, err)
	_, err = io.WriteString(s, strings.Repeat("x", 20<<20))
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Settle(ctx, "objects/xx/xx"); err == nil {
		t.Error("it was sent although nobody waited")
	}
	if got := names(t, p, "objects"); len(got) != 0 {
		t.Errorf("half of it is there: %v", got)
	}
	if left, err := os.ReadDir(p.o.Spool); err != nil || len(left) != 0 {
		t.Errorf("the spool holds %v, %v", left, err)
	}
}

// Two that would change one repository: the second is refused while the first is at
// it, and marks of a process that was killed are taken away by the next of the same
// data_dir, by others when they are stale.
func TestOneAtATimeInABucket(t *testing.T) {
	g := startGateway(t, "eu-west-1")
	c := g.bucket("eu-west-1", "backups")
	a, b := g.placeIn(c, "A"), g.placeIn(c, "B")
	unlock, err := a.Lock(t.Context(), backup.Write)
	check(t, err)
	if _, err := b.Lock(t.Context(), backup.Write); err == nil || !strings.Contains(err.Error(), "another node") {
		t.Errorf("a second one: %v", err)
	}
	if reading, err := b.Lock(t.Context(), backup.Read); err != nil || reading != nil {
		t.Errorf("who reads: %v", err)
	}
	check(t, unlock())
	unlock, err = b.Lock(t.Context(), backup.Make)
	check(t, err)
	check(t, unlock())

	_, err = a.Lock(t.Context(), backup.Write) // and is killed
	check(t, err)
	unlock, err = g.placeIn(c, "A").Lock(t.Context(), backup.Write)
	check(t, err)
	check(t, unlock())
	_, err = a.Lock(t.Context(), backup.Write)
	check(t, err)
	marked, err := filepath.Glob(filepath.Join(g.dir, c.Bucket, marks, "A-*"))
	if check(t, err); len(marked) != 1 {
		t.Fatalf("marks: %v", marked)
	}
	old := time.Now().Add(-markStale - time.Minute)
	check(t, os.Chtimes(marked[0], old, old))
	unlock, err = b.Lock(t.Context(), backup.Write)
	check(t, err)
	if left := names(t, b, marks); len(left) != 1 {
		t.Errorf("marks are left: %v", left)
	}
	check(t, unlock())
}

// Whoever could not renew its mark stops, before somebody else may begin.
func TestWhoLostTheBucketStops(t *testing.T) {
	g := startGateway(t, "eu-west-1")
	p := g.placeIn(g.bucket("eu-west-1", "backups"), "A")
	check(t, put(t, p, "objects/ab/ab", "x"))
	s, err := p.Stage(t.Context(), "")
	check(t, err)
	p.lost.Store(true)
	for what, err := range map[string]error{"settle": s.Settle(t.Context(), "objects/cd/cd"), "remove": p.Remove(t.Context(), "objects/ab/ab"), "stage": func() error { _, err := p.Stage(t.Context(), ""); return err }()} {
		if err == nil || !strings.Contains(err.Error(), "another node") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := names(t, p, "objects"); !slices.Equal(got, []string{"objects/ab/ab"}) {
		t.Errorf("it holds %v", got)
	}
}
