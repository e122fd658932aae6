package feed

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/proto"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// compacting is a cache that is being written anew, beside the one that is used:
// the rows of the good bundle as one snapshot, under the last push's own seal, which
// signs revision and state hash and not how they came. What is written is held
// against that hash before it takes the file's place, and is checked like any other
// cache when it is loaded. Pushes that come meanwhile are appended to the old file,
// and carried over at the end (adopt).
//
// It reads the file once, keeps about 50 bytes a row, and holds up nobody.
// Whatever fails leaves the file as it is; when the folder cannot be synced at the
// very end, nothing is appended to either file any more.
type compacting struct {
	from   *cache // as it was at the beginning: which file, how many frames and bytes
	good   state
	to     *cache
	err    error
	done   chan struct{} // closed when to and err stand
	before int64         // bytes
}

// begin takes down what is compacted. The goroutine that owns the cache calls it.
func (c *cache) beginCompaction(good *state) *compacting {
	now := *good
	now.rows = good.rows.Clone() // the owner goes on cloning its own
	return &compacting{from: &cache{dir: c.dir, aead: c.aead, who: c.who, id: c.id, frames: c.frames, size: c.size}, good: now, done: make(chan struct{}), before: c.size}
}

// run writes the new file. It touches nothing that the cache's owner uses.
func (k *compacting) run() {
	defer close(k.done)
	if k.err = k.write(); k.err != nil {
		k.err = fmt.Errorf("compact the bundle cache: %w", k.err)
	}
}

func (k *compacting) write() error {
	f, err := os.Open(k.from.path())
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	to, err := k.from.beside(".compact")
	if err != nil {
		return err
	}
	w := &compaction{to: to, good: k.good.rows, revision: k.good.view.Revision}
	old := &cache{dir: k.from.dir, aead: k.from.aead, who: k.from.who}
	err = old.read(io.LimitReader(f, k.from.size), w.take)
	if err == nil && old.id != k.from.id {
		err = errors.New("another file has taken its place")
	}
	if err == nil {
		err = w.finish(&k.good)
	}
	if err == nil {
		to.base = to.size
		err = to.f.Sync() // the most of it, while nobody waits
	}
	if err != nil {
		to.remove()
		return err
	}
	k.to = to
	return nil
}

// adopt carries over what was appended since a compaction began and puts the new
// file in the old one's place. After an error the old one stays.
func (c *cache) adopt(k *compacting) error {
	if c.f == nil || c.id != k.from.id {
		k.to.remove()
		return errors.New("compact the bundle cache: another file has taken its place")
	}
	if err := c.carry(k); err != nil {
		k.to.remove()
		return fmt.Errorf("compact the bundle cache: %w", err)
	}
	return c.takeOver(k.to)
}

func (c *cache) carry(k *compacting) error {
	if c.size == k.from.size {
		return nil
	}
	var out []byte
	rest := bufio.NewReader(io.NewSectionReader(c.f, k.from.size, c.size-k.from.size))
	for n := k.from.frames; n < c.frames; n++ {
		sealed, err := readFrame(rest)
		if err != nil {
			return err
		}
		plain, err := c.unseal(sealed, c.additional(n))
		if err != nil {
			return err
		}
		if out, err = k.to.frame(out, k.to.frames+n-k.from.frames, plain); err != nil {
			return err
		}
	}
	return k.to.writeFrames(out, int(c.frames-k.from.frames))
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
	if err := w.to.write(p); err != nil {
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

// compact makes the cache small again when it is due, beside the stream. After a
// failure the file must grow by a quarter before it is tried again.
func (f *Feed) compact() {
	c := f.cache
	if f.compacting != nil || f.replica.good == nil || f.replica.open != nil || c.f == nil || !c.stale() || c.size < f.compactFrom {
		return
	}
	k := c.beginCompaction(f.replica.good)
	f.compacting = k
	f.done.Go(k.run)
}

// compacted takes over what a compaction has made. It waits for one that runs.
func (f *Feed) compacted() {
	k := f.compacting
	if k == nil {
		return
	}
	<-k.done
	f.compacting = nil
	err := k.err
	if err == nil {
		err = f.cache.adopt(k)
	}
	if err != nil {
		f.compactFrom = k.before + k.before/4
		f.o.Logger.Warn("the bundle cache could not be made smaller; it goes on growing, and the next stream begins with a snapshot", "bytes", k.before, "error", err)
		return
	}
	f.compactFrom = 0
	f.compactions.Add(1)
	f.o.Logger.Info("bundle cache compacted", "bytes_before", k.before, "bytes", f.cache.size)
}

// compactionEnds is closed when one that runs has ended; nil when none runs.
func (f *Feed) compactionEnds() <-chan struct{} {
	if f.compacting == nil {
		return nil
	}
	return f.compacting.done
}
