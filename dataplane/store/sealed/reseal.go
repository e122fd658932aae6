package sealed

import (
	"encoding/binary"

	"github.com/domicile-io/domicile/dataplane/store"
)

// resealed is one chunk as it will be: same name, frames and places, under a
// key of its own. A frame's number may be its nonce again, because the key is
// fresh (INV38); a chunk that is sealed twice draws twice.
type resealed struct {
	id     int64
	frames []*sealedFrame // none: the chunk goes as a whole
	old    []store.KeyID
	stored [][]byte // keys of the rows that are there
	key    store.KeyID

	damaged []aside // frames that do not open
}

type aside struct{ key, value []byte }

// reseal opens a chunk, puts edits in the places of its entries, and seals it
// anew. newest: its last frame must stay, because the tenant's clock is read
// from it.
func (t *tenant) reseal(id int64, edits map[ref][]byte, newest bool) (*resealed, error) {
	s := t.s
	out := &resealed{id: id}
	frames, err := t.chunkFrames(id, out)
	if err != nil {
		return nil, err
	}
	left := false
	for _, f := range frames {
		for i := range f.entries {
			if b, ok := edits[ref{id, f.number, uint16(i)}]; ok {
				f.entries[i] = b
			}
			left = left || len(f.entries[i]) > 0 && !entryKind(f.entries[i][0]).gone()
		}
	}
	if !left && !newest {
		return out, nil
	}
	keyID, key, err := s.keys.For(store.UseErase).Draw()
	if err != nil {
		return nil, err
	}
	out.key = keyID
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	c := &chunk{start: id, key: keyID, aead: aead}
	for _, f := range frames {
		sealed := &sealedFrame{chunk: c, number: f.number, versions: f.versions, entries: len(f.entries), ingest: f.ingest, raw: f.plain()}
		s.seal(sealed, t.raw)
		sealed.raw = nil
		out.frames = append(out.frames, sealed)
	}
	return out, nil
}

// chunkFrames opens every frame of a chunk, past the cache, and notes its rows
// and keys.
func (t *tenant) chunkFrames(id int64, out *resealed) (frames []*frame, err error) {
	seen := map[store.KeyID]bool{}
	prefix := binary.BigEndian.AppendUint64(keyOf(nil, kindFrame, t.raw), uint64(id))
	err = t.s.scan(kindFrame, prefix, func(key, value []byte) error {
		if len(key) != 27 || len(value) < frameHeader {
			return t.s.corrupt(kindFrame, nil)
		}
		f, err := t.s.openFrame(t.raw, id, binary.BigEndian.Uint16(key[25:]), value)
		if isCorrupt(err) {
			// It cannot be sealed anew. Its bytes go aside, where nothing opens them.
			out.damaged = append(out.damaged, aside{append([]byte(nil), key...), append([]byte(nil), value...)})
			return nil
		}
		if err != nil {
			return err
		}
		frames = append(frames, f)
		out.stored = append(out.stored, append([]byte(nil), key...))
		if k := keyIn(value); !seen[k] {
			seen[k] = true
			out.old = append(out.old, k)
		}
		return nil
	})
	return frames, err
}

// plain is a frame's content as seal takes it.
func (f *frame) plain() []byte {
	raw := append(make([]byte, 0, f.size), f.writer[:]...)
	raw = binary.BigEndian.AppendUint64(raw, f.firstN)
	for _, e := range f.entries {
		raw = append(binary.AppendUvarint(raw, uint64(len(e))), e...)
	}
	return raw
}

// write puts the chunk into a batch, with what is left to do once it is durable.
func (c *resealed) write(b Batch, t tenantRaw) error {
	for _, f := range c.frames {
		if err := b.Set(frameKey(nil, t, c.id, f.number), f.value); err != nil {
			return err
		}
	}
	for _, d := range c.damaged {
		if err := b.Set(asideKey(d.key), d.value); err != nil {
			return err
		}
		if err := b.Delete(d.key); err != nil {
			return err
		}
	}
	if len(c.frames) == 0 {
		for _, key := range c.stored {
			if err := b.Delete(key); err != nil {
				return err
			}
		}
	}
	for _, k := range c.old {
		if err := b.Set(destroyKey(t, k), nil); err != nil {
			return err
		}
	}
	return nil
}
