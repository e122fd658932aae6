package aws

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/media"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// TestINV05_RecordingsInS3: a recording of several parts, each of several of S3's,
// is sealed before it leaves, comes back in ranges, goes with its key, and every
// byte of it crossed a connection of class LOCAL_STORE.
func TestINV05_RecordingsInS3(t *testing.T) {
	g := startGateway(t, "eu-west-1")
	conf := g.bucket("eu-west-1", "media")
	door, client := clientFor(t, policy.LocalStore, conf.CA, conf.Destinations()...)
	blobs, err := NewS3(conf, client)
	check(t, err)
	defer blobs.Close()
	dir, ctx := t.TempDir(), context.Background()
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: storetest.Region})
	check(t, err)
	defer keys.Close()
	records, err := localstore.Open(localstore.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: keys})
	check(t, err)
	defer records.Close()
	lib, err := media.New(media.Options{Region: storetest.Region, Keys: keys, Store: records, Blobs: blobs, PartSize: 10 << 20})
	check(t, err)
	ask := func(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
		return storetest.PermitOf(t, storetest.TenantA, op, class), nil
	}
	sound := make([]byte, 21<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(sound)
	copy(sound, "RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data")
	binary.LittleEndian.PutUint32(sound[40:], uint32(len(sound)-44))
	copy(sound[1000:], "canary in the audio")

	up, err := lib.Begin(ctx, ask, "", -1)
	check(t, err)
	_, err = lib.Append(ctx, ask, up.ID, 0, bytes.NewReader(sound))
	check(t, err)
	r, _, err := lib.Finish(ctx, ask, up.ID)
	check(t, err)
	list, err := blobs.List(ctx, "", "", 10)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d blobs, %v", len(list), err)
	}
	for _, b := range list {
		in, err := blobs.Open(ctx, b.Name, 0, -1)
		check(t, err)
		raw, err := io.ReadAll(in)
		check(t, err)
		check(t, in.Close())
		if bytes.Contains(raw, []byte("canary")) || bytes.Contains(raw, []byte("WAVE")) {
			t.Error("a blob is not sealed")
		}
	}
	_, open, err := lib.Open(ctx, ask, r.ID)
	check(t, err)
	defer open.Close()
	for _, from := range []int64{0, 10<<20 - 3, 20<<20 + 12345, int64(len(sound)) - 1} {
		_, err := open.Seek(from, io.SeekStart)
		check(t, err)
		n := min(100_000, int64(len(sound))-from)
		got := make([]byte, n)
		if _, err := io.ReadFull(open, got); err != nil || !bytes.Equal(got, sound[from:from+n]) {
			t.Fatalf("at %d: %v", from, err)
		}
	}
	check(t, lib.Delete(ctx, ask, r.ID))
	if list, err = blobs.List(ctx, "", "", 10); err != nil || len(list) != 0 {
		t.Errorf("%d blobs are left, %v", len(list), err)
	}
	var out int64
	for _, e := range door.Entries() {
		if e.Class != policy.LocalStore {
			t.Errorf("a connection of class %s", e.Class)
		}
		out += e.BytesOut
	}
	if out < int64(len(sound)) {
		t.Errorf("%d bytes are in the ledger, %d were sent", out, len(sound))
	}
}
