package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// OpenBlobs opens the blob store under test; the same dir opens the same store
// again. t cleans it up, also after a Close.
type OpenBlobs func(t *testing.T, dir string) store.Blobs

// RunBlobs runs the conformance suite of store.Blobs.
func RunBlobs(t *testing.T, open OpenBlobs) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, *blobFixture)
	}{
		{"TestINV33_CreateThenReopen", testBlobReopen},
		{"Ranges", testBlobRanges},
		{"CreateOnly", testBlobCreateOnly},
		{"BrokenStreamLeavesNothing", testBlobBroken},
		{"DeleteAndList", testBlobList},
		{"Names", testBlobNames},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &blobFixture{t: t, open: open, dir: t.TempDir()}
			f.blobs = open(t, f.dir)
			c.run(t, f)
		})
	}
}

type blobFixture struct {
	t     *testing.T
	open  OpenBlobs
	dir   string
	blobs store.Blobs
}

func (f *blobFixture) reopen() {
	f.t.Helper()
	if err := f.blobs.Close(); err != nil {
		f.t.Fatal(err)
	}
	f.blobs = f.open(f.t, f.dir)
}

func (f *blobFixture) create(name string, data []byte) {
	f.t.Helper()
	info, err := f.blobs.Create(context.Background(), name, bytes.NewReader(data))
	if err != nil || info.Size != int64(len(data)) || info.Name != name {
		f.t.Fatalf("create %s: %+v, %v", name, info, err)
	}
}

func (f *blobFixture) read(name string, offset, length int64) ([]byte, error) {
	f.t.Helper()
	r, err := f.blobs.Open(context.Background(), name, offset, length)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (f *blobFixture) list(prefix string, limit int) (names []string) {
	f.t.Helper()
	after := ""
	for {
		page, err := f.blobs.List(context.Background(), prefix, after, limit)
		if err != nil {
			f.t.Fatalf("list: %v", err)
		}
		for _, b := range page {
			names = append(names, b.Name)
		}
		if len(page) < limit {
			return names
		}
		after = page[len(page)-1].Name
	}
}

// noise is data that does not compress, the same for each seed.
func noise(size int, seed byte) []byte {
	out := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(out)
	return out
}

func testBlobReopen(t *testing.T, f *blobFixture) {
	sizes := []int{0, 1, 1 << 16, 12<<20 + 7} // the last in several parts, where there are parts
	for n, size := range sizes {
		f.create(fmt.Sprintf("TNa/RE/%d", n), noise(size, byte(n)))
	}
	for range 2 {
		for n, size := range sizes {
			name := fmt.Sprintf("TNa/RE/%d", n)
			got, err := f.read(name, 0, -1)
			if err != nil || !bytes.Equal(got, noise(size, byte(n))) {
				t.Fatalf("blob of %d bytes came back as %d, %v", size, len(got), err)
			}
			if info, err := f.blobs.Stat(context.Background(), name); err != nil || info.Size != int64(size) || info.Name != name {
				t.Fatalf("stat: %+v, %v", info, err)
			}
		}
		f.reopen()
	}
	if err := f.blobs.Healthy(); err != nil {
		t.Error(err)
	}
}

func testBlobRanges(t *testing.T, f *blobFixture) {
	data := noise(100_000, 1)
	f.create("a/b", data)
	for _, span := range [][2]int64{{0, 1}, {0, 100_000}, {99_999, 1}, {65_535, 2}, {5, -1}, {99_999, -1}} {
		want := data[span[0]:]
		if span[1] >= 0 {
			want = want[:span[1]]
		}
		if got, err := f.read("a/b", span[0], span[1]); err != nil || !bytes.Equal(got, want) {
			t.Errorf("from %d, %d bytes: got %d, %v", span[0], span[1], len(got), err)
		}
	}
	for _, span := range [][2]int64{{99_999, 2}, {100_001, 1}} {
		if got, err := f.read("a/b", span[0], span[1]); err == nil && int64(len(got)) == span[1] {
			t.Errorf("from %d, %d bytes were read past the end", span[0], span[1])
		}
	}
	if _, err := f.read("a/c", 0, -1); !isReason(err, policy.NotFound) {
		t.Errorf("absent: %v", err)
	}
	_, err := f.blobs.Stat(context.Background(), "a/c")
	wantReason(t, err, policy.NotFound)
}

// testBlobCreateOnly: of many at once one wins, and what it put is what is read.
func testBlobCreateOnly(t *testing.T, f *blobFixture) {
	var mu sync.Mutex
	var won []int
	var all sync.WaitGroup
	for n := range 6 {
		all.Go(func() {
			_, err := f.blobs.Create(context.Background(), "x/y", bytes.NewReader(noise(1<<20, byte(n))))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, n)
			} else if !isReason(err, policy.AlreadyExists) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if len(won) != 1 {
		t.Fatalf("%d of 6 created the same blob", len(won))
	}
	_, err := f.blobs.Create(context.Background(), "x/y", bytes.NewReader(noise(9<<20, 9)))
	wantReason(t, err, policy.AlreadyExists)
	if got, err := f.read("x/y", 0, -1); err != nil || !bytes.Equal(got, noise(1<<20, byte(won[0]))) {
		t.Errorf("the winner's bytes are not there: %v", err)
	}
}

// broken fails after some bytes.
type broken struct {
	data io.Reader
	err  error
}

func (b broken) Read(p []byte) (int, error) {
	n, err := b.data.Read(p)
	if errors.Is(err, io.EOF) {
		err = b.err
	}
	return n, err
}

func testBlobBroken(t *testing.T, f *blobFixture) {
	cut := errors.New("the client went away")
	for _, size := range []int{0, 10, 9 << 20} {
		_, err := f.blobs.Create(context.Background(), "a/b", broken{bytes.NewReader(noise(size, 1)), cut})
		if !errors.Is(err, cut) {
			t.Fatalf("broken after %d bytes: %v", size, err)
		}
		if _, err := f.read("a/b", 0, -1); !isReason(err, policy.NotFound) {
			t.Fatalf("a broken stream of %d bytes left a blob: %v", size, err)
		}
	}
	if names := f.list("", 10); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	f.create("a/b", []byte("x")) // the name is free
}

func testBlobList(t *testing.T, f *blobFixture) {
	ctx := context.Background()
	want := []string{"T1/RE0/p0", "T1/RE0/p1", "T1/RE1/p0", "T1/RE2/p0", "T10/RE0/p0", "T2/RE0/p0"}
	for _, name := range []string{want[3], want[0], want[5], want[4], want[2], want[1]} {
		f.create(name, []byte(name))
	}
	for _, limit := range []int{1, 2, 5, 6, 100} {
		if got := f.list("", limit); !slices.Equal(got, want) {
			t.Fatalf("all, %d at once: %v", limit, got)
		}
		if got := f.list("T1/", limit); !slices.Equal(got, want[:4]) {
			t.Fatalf("of T1, %d at once: %v", limit, got)
		}
	}
	if got := f.list("T1/RE0/", 10); !slices.Equal(got, want[:2]) {
		t.Errorf("of T1/RE0: %v", got)
	}
	if got := f.list("T3/", 10); len(got) != 0 {
		t.Errorf("of T3: %v", got)
	}
	for range 2 {
		if err := f.blobs.Delete(ctx, want[0]); err != nil {
			t.Fatal(err)
		}
	}
	f.reopen()
	if got := f.list("", 10); !slices.Equal(got, want[1:]) {
		t.Errorf("after a deletion: %v", got)
	}
	_, err := f.read(want[0], 0, -1)
	wantReason(t, err, policy.NotFound)
	f.create(want[0], []byte("again"))
	for _, name := range want {
		if err := f.blobs.Delete(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.list("", 10); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func testBlobNames(t *testing.T, f *blobFixture) {
	ctx := context.Background()
	for _, name := range []string{"", "/", "a/", "/a", "a//b", "..", "../a", "a/../b", "a.b", "a b", "a\x00b", "é", "a\\b", "a/b/c/d/e/f/g/h/i", string(make([]byte, 300))} {
		if _, err := f.blobs.Create(ctx, name, bytes.NewReader(nil)); !isReason(err, policy.Internal) {
			t.Errorf("create %q: %v", name, err)
		}
		if _, err := f.blobs.Open(ctx, name, 0, -1); !isReason(err, policy.Internal) {
			t.Errorf("open %q: %v", name, err)
		}
		if _, err := f.blobs.Stat(ctx, name); !isReason(err, policy.Internal) {
			t.Errorf("stat %q: %v", name, err)
		}
		if err := f.blobs.Delete(ctx, name); !isReason(err, policy.Internal) {
			t.Errorf("delete %q: %v", name, err)
		}
	}
	for _, prefix := range []string{"a", "/", "../", "a/b", "a//"} {
		if _, err := f.blobs.List(ctx, prefix, "", 10); !isReason(err, policy.Internal) {
			t.Errorf("list %q: %v", prefix, err)
		}
	}
	if _, err := f.blobs.List(ctx, "", "", store.MaxPageSize+1); !isReason(err, policy.Internal) {
		t.Errorf("list too many: %v", err)
	}
}
