package sealed

import (
	"context"
	"encoding/binary"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// committed is one version as receipts commit to it.
type committed struct {
	salt    [16]byte
	n       uint64
	content [32]byte
	at      ref
}

// noteBatch notes what the group stored, so that it is durable with it, and
// gives each job that stored something the id of its receipt. It runs while the
// group's frames are being sealed.
func (g *group) noteBatch() error {
	if len(g.versions) == 0 {
		return nil
	}
	t := g.t
	batch := store.Batch{Writer: t.s.writer, Time: g.ingest}
	leaves := make([]audit.Hash, 0, len(g.versions))
	for _, j := range g.jobs {
		if j.from == j.upto {
			continue
		}
		leaves = leaves[:0]
		for _, v := range g.versions[j.from:j.upto] {
			leaves = append(leaves, store.Commitment(v.salt, t.id, t.s.writer, v.n, v.content))
		}
		first := &g.versions[j.from]
		p := store.BatchPart{First: first.n, Count: uint64(j.upto - j.from), Revision: j.revision, Records: audit.RootOf(leaves)}
		first.at.append(p.Place[:0])
		batch.Parts = append(batch.Parts, p)
	}
	seq, err := t.s.note(g.batch, &store.Entry{Action: store.BatchAction, Resource: string(t.id), Tenant: t.id, Detail: batch.Append(nil)})
	if err != nil {
		return err
	}
	part := 0
	for _, j := range g.jobs {
		if j.from == j.upto {
			continue
		}
		id := t.s.receipts.ID(t.id, seq, part)
		part++
		for i := range j.out {
			if j.out[i].State != store.Duplicate {
				j.out[i].Receipt = id
			}
		}
	}
	return nil
}

// maxSkipped bounds how many chunks are passed over in search of a part's next.
const maxSkipped = 64

// Opened implements store.Store. The versions of a part stand one after the
// other, from its place on, with views between them.
func (s *Store) Opened(ctx context.Context, permit policy.Permit, writer [16]byte, part store.BatchPart) ([]store.Opened, error) {
	t, err := s.enter(permit, policy.View)
	if err != nil {
		return nil, err
	}
	defer s.working.Done()
	if part.Count > store.MaxAppend {
		return nil, nil
	}
	out := make([]store.Opened, 0, part.Count)
	at, n, skipped := readRef(part.Place[:]), part.First, 0
	for uint64(len(out)) < part.Count {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := s.frameAt(t.raw, at.chunk, at.frame)
		first := at == readRef(part.Place[:])
		if !first && skipped < maxSkipped && (isReason(err, policy.NotFound) || err == nil && f.writer != writer) {
			// The chunk ended within the part, or another process wrote this one.
			skipped++
			if at, err = t.chunkAfter(at.chunk); err == nil && at.chunk != 0 {
				continue
			}
		}
		if isReason(err, policy.NotFound) || isReason(err, policy.Destroyed) || err == nil && f.writer != writer {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		whole, err := f.opened(t, at.entry, &n, part.First+part.Count, &out)
		if err != nil || !whole {
			return nil, err
		}
		at = ref{chunk: at.chunk, frame: at.frame + 1}
	}
	return out, nil
}

// opened gathers the versions numbered n and up to end from entry number from
// on; not whole: one of them is not as it was ingested.
func (f *frame) opened(t *tenant, from uint16, n *uint64, end uint64, out *[]store.Opened) (whole bool, err error) {
	next := f.firstN
	for i := range f.entries {
		e, err := f.entry(uint16(i))
		if err != nil {
			return false, t.s.corrupt(kindFrame, err)
		}
		if !e.kind.version() {
			continue
		}
		if next++; uint16(i) < from || *n >= end {
			continue
		}
		if next-1 != *n || e.kind.gone() || e.redacted {
			return false, nil
		}
		*n++
		content := e.record.ContentHash
		*out = append(*out, store.Opened{Call: t.s.callID(t.raw, e.call), Salt: e.salt, Content: content})
	}
	return true, nil
}

// chunkAfter finds the first frame behind a chunk; the zero ref when there is none.
func (t *tenant) chunkAfter(chunk int64) (ref, error) {
	lower := frameKey(nil, t.raw, chunk+1, 0)
	it, err := t.s.engine.Rows(lower, after(keyOf(nil, kindFrame, t.raw)))
	if err != nil {
		return ref{}, t.s.readError(kindFrame, err)
	}
	defer it.Close()
	if it.First() && len(it.Key()) == 27 {
		return ref{chunk: int64(binary.BigEndian.Uint64(it.Key()[17:]))}, nil
	}
	return ref{}, t.s.readErrorOrNil(kindFrame, it.Error())
}
