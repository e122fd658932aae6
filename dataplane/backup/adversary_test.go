package backup

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// thief opens a frame as the format says, with whatever key can be had: nothing
// of ours stands between it and the bytes.
func (w *world) thief(key, value []byte) []byte {
	w.t.Helper()
	if len(key) == 27 && key[0] == 'j' {
		return w.thiefOfCovers(key, value)
	}
	if len(key) != 27 || key[0] != 'k' || len(value) < 45 {
		return nil
	}
	id := store.KeyID{Generation: binary.BigEndian.Uint64(value[1:]), Index: binary.BigEndian.Uint64(value[9:])}
	secret, err := w.keys.Open(id)
	if err != nil {
		return nil
	}
	block, err := aes.NewCipher(secret[:])
	must(w.t, err)
	gcm, err := cipher.NewGCM(block)
	must(w.t, err)
	aad := append([]byte("domicile store\x00"), 1, 'k')
	aad = append(append(aad, w.region...), 0)
	aad = append(append(aad, key[1:17]...), value[1:17]...)
	aad = append(append(aad, key[17:27]...), value[:29]...)
	packed, err := gcm.Open(nil, append(make([]byte, 10), key[25:27]...), value[29:], aad)
	if err != nil {
		w.t.Errorf("a key that lives does not open its frame: %v", err)
		return nil
	}
	d, err := zstd.NewReader(nil)
	must(w.t, err)
	defer d.Close()
	plain, err := d.DecodeAll(packed, nil)
	must(w.t, err)
	return plain
}

// thiefOfCovers does the same with a cover: its key is made of every key that it names.
func (w *world) thiefOfCovers(key, value []byte) []byte {
	w.t.Helper()
	at := 33
	next := func(signed bool) (n uint64) {
		n, size := binary.Uvarint(value[at:])
		at += size
		if signed {
			n = n>>1 ^ -(n & 1)
		}
		return n
	}
	var id store.KeyID
	var secret []byte
	for range next(false) {
		id = store.KeyID{Generation: id.Generation + next(true), Index: id.Index + next(true)}
		one, err := w.keys.Open(id)
		if err != nil {
			return nil
		}
		secret = append(secret, one[:]...)
	}
	at += 16
	derived, err := hkdf.Key(sha256.New, secret, value[1:33], "domicile cover", 32)
	must(w.t, err)
	block, err := aes.NewCipher(derived)
	must(w.t, err)
	gcm, err := cipher.NewGCM(block)
	must(w.t, err)
	aad := append([]byte("domicile store\x00"), 1, 'j')
	aad = append(append(aad, w.region...), 0)
	aad = append(append(aad, key[1:17]...), make([]byte, 16)...)
	aad = append(append(aad, key[17:27]...), value[:at]...)
	packed, err := gcm.Open(nil, make([]byte, 12), value[at:], aad)
	if err != nil {
		w.t.Errorf("keys that live do not open their cover: %v", err)
		return nil
	}
	w.covers++
	d, err := zstd.NewReader(nil)
	must(w.t, err)
	defer d.Close()
	plain, err := d.DecodeAll(packed, nil)
	must(w.t, err)
	return plain
}

// everything is what a thief of the whole repository reads, who has every key
// that can still be had: of each snapshot as it is, and of each note.
func (w *world) everything() (plain []byte, frames int) {
	w.t.Helper()
	look := func(key, value []byte) {
		if p := w.thief(key, value); p != nil {
			plain, frames = append(plain, p...), frames+1
		}
	}
	must(w.t, w.with(func(r *Repository) error {
		all, err := r.Snapshots(context.Background())
		must(w.t, err)
		for _, s := range all {
			into := filepath.Join(w.t.TempDir(), "stolen")
			must(w.t, os.Mkdir(into, 0o700))
			if _, err := r.Extract(context.Background(), s.ID, Target{Folder: into}, nil); err != nil {
				return err
			}
			stolen, err := localstore.Open(localstore.Options{Dir: filepath.Join(into, "records"), Region: w.region, Keys: immortal{w.keys}})
			must(w.t, err)
			must(w.t, stolen.EachSealed(func(row []byte, _ string, value []byte) { look(row, value) }))
			must(w.t, stolen.Close())
		}
		return r.Notes(context.Background(), 0, func(n Note) error {
			for _, row := range n.Rows {
				look(row.Key, row.Value)
			}
			return nil
		})
	}))
	return plain, frames
}

// immortal lets a store that was stolen destroy no key of the region.
type immortal struct{ store.Keys }

func (i immortal) For(store.KeyUse) store.Keys   { return i }
func (immortal) Destroy(ids []store.KeyID) error { return nil }

// Erasures and snapshots at once: whichever snapshot is put back, everybody else
// is there to the byte, and whoever has every snapshot, every note and every key
// that can still be had finds nothing of those who were erased.
func TestINV21_ErasuresAndSnapshotsAtOnce(t *testing.T) { erasuresAndSnapshots(t, false) }

// The same while what came alone is merged, too.
func TestINV21_ErasuresSnapshotsAndMergesAtOnce(t *testing.T) { erasuresAndSnapshots(t, true) }

func erasuresAndSnapshots(t *testing.T, merged bool) {
	w := newWorld(t)
	out := w.pieces(0, 80, merged)
	w.create()
	canary := func(n int) []byte { return fmt.Appendf(nil, `"native_id":"call-%d"`, n) }
	if plain, frames := w.everything(); frames == 0 || !bytes.Contains(plain, canary(7)) {
		t.Fatalf("the thief reads nothing of %d frames before: the test shows nothing", frames)
	}
	gone := map[string]bool{}
	var all sync.WaitGroup
	all.Go(func() {
		for n := 7; n < 80; n += 9 {
			gone[out[n].ID] = true
			_, err := w.store.Rewrite(context.Background(), storetest.Permit(t, storetest.TenantA, policy.Erase), store.Rewrite{Calls: []string{out[n].ID}})
			if err != nil {
				t.Error(err)
			}
		}
	})
	for n := range 4 {
		if merged {
			m, err := w.store.Merge(context.Background(), storetest.TenantA, sealed.MergeOptions{All: true})
			must(t, err)
			if n == 0 && m.Covers == 0 {
				t.Error("nothing was merged: the test shows nothing")
			}
		}
		w.create()
	}
	all.Wait()
	for n := 80; n < 90; n++ {
		w.load(n, n+1)
	}
	want := w.calls()
	for id, c := range want {
		if c.IngestedAt.After(want[out[78].ID].IngestedAt) {
			delete(want, id) // after every snapshot
		}
	}
	plain, frames := w.everything()
	for n := 7; n < 80; n += 9 {
		if bytes.Contains(plain, canary(n)) {
			t.Errorf("call %d is read from %d frames", n, frames)
		}
	}
	if merged && w.covers == 0 {
		t.Error("the thief finds no cover: the test shows nothing")
	}
	if !bytes.Contains(plain, canary(8)) {
		t.Error("the thief reads nothing of anybody: the test shows nothing")
	}
	var heads []Snapshot
	must(t, w.with(func(r *Repository) (err error) { heads, err = r.Snapshots(context.Background()); return err }))
	for _, s := range heads {
		r := w.restore(s.ID, nil)
		if r.Lost != 0 || r.Unknown != 0 {
			t.Errorf("snapshot %d: %+v", s.Number, r)
		}
		same(t, fmt.Sprintf("snapshot %d", s.Number), w.calls(), want)
		for id := range gone {
			if _, err := w.store.Call(context.Background(), storetest.Permit(t, storetest.TenantA, policy.View), id); err == nil {
				t.Errorf("snapshot %d brings %s back", s.Number, id)
			}
		}
	}
}
