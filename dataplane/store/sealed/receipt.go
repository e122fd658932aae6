package sealed

import (
	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/dataplane/store"
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
