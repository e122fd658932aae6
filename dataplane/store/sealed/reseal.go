package sealed

import (
	"encoding/binary"
	"errors"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
)

// resealed is one unit as it will be: same name, frames and places, under a
// key of its own. A frame's number may be its nonce again, because the key is
// fresh (INV38); a chunk that is sealed twice draws twice.
type resealed struct {
	id     unit
	chunks map[int64]bool // of its frames
	rows   []Row          // none: the unit goes as a whole
	old    []store.KeyID
	stored [][]byte // keys of the rows that are there
	key    store.KeyID

	pointers []Row   // to the covers among rows; they stand there already
	damaged  []aside // frames that do not open
	broken   []aside // covers that do not open
}

type aside struct{ key, value []byte }

func chunkPrefix(t tenantRaw, chunk int64) []byte {
	return binary.BigEndian.AppendUint64(keyOf(nil, kindFrame, t), uint64(chunk))
}

// reseal opens a unit, puts edits in the places of its entries, and seals it
// anew. The tenant's last frame, of the chunk newest, must stay, because its
// clock is read from it.
func (t *tenant) reseal(id unit, edits map[ref]record.Form, newest int64) (*resealed, error) {
	if id.covered {
		return t.resealCovers(id, edits, newest)
	}
	s := t.s
	out := &resealed{id: id, chunks: map[int64]bool{id.chunk: true}}
	frames, err := t.chunkFrames(id.chunk, out)
	if err != nil {
		return nil, err
	}
	left := id.chunk >= newest
	for _, f := range frames {
		left = f.edit(edits) || left
	}
	if !left {
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
	c := &chunk{start: id.chunk, key: keyID, aead: aead}
	for _, f := range frames {
		sealed := &sealedFrame{chunk: c, number: f.number, versions: f.versions, entries: len(f.entries), ingest: f.ingest, plain: f.plain()}
		s.seal(sealed, t.raw)
		out.rows = append(out.rows, Row{frameKey(nil, t.raw, id.chunk, f.number), sealed.value})
	}
	return out, nil
}

// chunkFrames opens every frame of a chunk, past the cache, and notes its rows
// and keys.
func (t *tenant) chunkFrames(id int64, out *resealed) (frames []*frame, err error) {
	seen := map[store.KeyID]bool{}
	err = t.s.scan(kindFrame, chunkPrefix(t.raw, id), func(key, value []byte) error {
		if len(key) != 27 {
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
func (f *frame) plain() record.Form {
	plain := record.Form{Text: make([]byte, 0, f.size), Noise: frameHead(nil, f.writer, f.firstN)}
	return appendEntries(plain, f.entries)
}

// appendEntries writes entries as takeEntries reads them.
func appendEntries(dst record.Form, entries []record.Form) record.Form {
	for _, e := range entries {
		dst.Text = append(binary.AppendUvarint(dst.Text, uint64(len(e.Text))), e.Text...)
		dst.Noise = append(dst.Noise, e.Noise...)
	}
	return dst
}

// write puts the unit into a batch, with what is left to do once it is durable.
func (c *resealed) write(t *tenant, b Batch) error {
	for _, r := range c.rows {
		if err := b.Set(r.Key, r.Value); err != nil {
			return err
		}
	}
	for _, d := range c.damaged {
		if err := errors.Join(b.Set(asideKey(d.key), d.value), b.Delete(d.key)); err != nil {
			return err
		}
	}
	for _, d := range c.broken {
		gone, err := t.coverAside(b, readPlace(d.key[17:]), d.value)
		if err != nil {
			return err
		}
		for id := range gone {
			c.chunks[id] = true
		}
	}
	if len(c.rows) == 0 {
		for _, key := range c.stored {
			if err := b.Delete(key); err != nil {
				return err
			}
		}
	}
	for _, k := range c.old {
		if err := b.Set(destroyKey(t.raw, k), nil); err != nil {
			return err
		}
	}
	return nil
}
