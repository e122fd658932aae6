package feed

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// compact writes the cache anew without what later deltas made over, while the
// node runs and without the control plane: the rows of the good bundle as one
// snapshot, under the last push's own seal, which signs revision and state hash
// and not how they came. What is written is held against that hash before it takes
// the file's place, and is checked like any other cache when it is loaded.
//
// It reads the file once, keeps about 50 bytes a row, and blocks the stream
// meanwhile: that is due only when the file has grown by as much again as there is.
// Whatever fails leaves the file as it is; when the folder cannot be synced at the
// very end, nothing is appended to either file any more.
func (c *cache) compact(good *state) error {
	f, err := os.Open(c.path())
	if err != nil {
		return fmt.Errorf("compact the bundle cache: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := c.begin(); err != nil {
		return err
	}
	w := &compaction{to: c, good: good.rows, revision: good.view.Revision}
	old := &cache{dir: c.dir, aead: c.aead, who: c.who}
	if err = old.read(f, w.take); err == nil {
		err = w.finish(good)
	}
	if err != nil {
		c.abandon()
		return fmt.Errorf("compact the bundle cache: %w", err)
	}
	return c.finish()
}

// compaction is one walk over the old file.
type compaction struct {
	to       *cache
	good     *bundle.State
	revision uint64       // of the good bundle, and so of every part
	done     bundle.State // rows that are written
	part     controlv1.SnapshotPart
	size     int // bytes of the part's rows
	last     *controlv1.Push
}

// take writes the rows of one push that are the good bundle's, once each.
func (w *compaction) take(p *controlv1.Push) error {
	w.last = p
	for _, body := range append(p.GetPart().GetRows(), p.GetDelta().GetRows()...) {
		key, err := keyOf(body)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		if want, lives := w.good.RowHash(key); !lives || want != sum {
			continue
		}
		if _, known := w.done.RowHash(key); known {
			continue
		}
		if w.size+len(body) > bundle.MaxPartBytes && w.size > 0 {
			if err := w.flush(&controlv1.Push{Revision: w.revision}); err != nil {
				return err
			}
		}
		w.done.PutHash(key, sum)
		w.part.Rows, w.size = append(w.part.Rows, body), w.size+len(body)
	}
	return nil
}

// flush writes the part that is full. A part without its revision would be of
// another cluster epoch than its seal, and the file would not load.
func (w *compaction) flush(p *controlv1.Push) error {
	p.Change = &controlv1.Push_Part{Part: &w.part}
	if err := w.to.add(p); err != nil {
		return err
	}
	w.part, w.size = controlv1.SnapshotPart{Number: w.part.GetNumber() + 1}, 0
	return nil
}

func (w *compaction) finish(good *state) error {
	switch {
	case w.last == nil || w.last.GetSeal() == nil || w.last.GetRevision() != w.revision:
		return errors.New("its last frame is not the seal of the bundle that is served")
	case w.done.Hash() != good.hash:
		return errors.New("its rows are not those that were signed")
	}
	w.part.Last = true
	return w.flush(&controlv1.Push{Revision: w.revision, FreshUntil: w.last.GetFreshUntil(), Attestation: w.last.GetAttestation(),
		Seal: proto.Clone(w.last.GetSeal()).(*controlv1.Seal)})
}

// keyOf gives the key of a row as it was shipped.
func keyOf(body []byte) (string, error) {
	if id, ok := tenantOf(body); ok {
		return "t/" + string(id), nil
	}
	r, err := bundle.Decode(body)
	if err != nil {
		return "", err
	}
	return r.RowKey(), nil
}

// compact makes the cache small again when it is due. After a failure the file
// must grow by a quarter before it is tried again.
func (f *Feed) compact() {
	c := f.cache
	if f.replica.good == nil || f.replica.open != nil || c.f == nil || !c.stale() || c.size < f.compactFrom {
		return
	}
	before := c.size
	if err := c.compact(f.replica.good); err != nil {
		f.compactFrom = before + before/4
		f.o.Logger.Warn("the bundle cache could not be made smaller; it goes on growing, and the next stream begins with a snapshot", "bytes", before, "error", err)
		return
	}
	f.compactFrom = 0
	f.compactions.Add(1)
	f.o.Logger.Info("bundle cache compacted", "bytes_before", before, "bytes", c.size)
}
