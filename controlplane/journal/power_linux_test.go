package journal

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/chaos"
)

var powerCuts = flag.Int("journal.cuts", 40, "how often the power is cut")

// load works on a journal as Raft does, and knows what the journal promised.
type load struct {
	j    *Journal
	draw *rand.Rand
	kept map[uint64][]byte // what was promised to be synced, and nothing has removed since
	last uint64
	life byte // of the content, so that a record written anew differs from the one before

	pending   map[uint64][]byte // written, or being written, and not promised
	truncated uint64            // 0, or where the truncation that was under way begins
	promised  int
}

// run works until something fails, which the power does.
func (l *load) run() error {
	for {
		var err error
		switch {
		case l.last > 20 && l.draw.IntN(30) == 0:
			err = l.truncate(l.last - uint64(l.draw.IntN(10)))
		case l.last > 200 && l.draw.IntN(200) == 0:
			err = l.drop(l.last - 150)
		default:
			err = l.append(1 + l.draw.IntN(8))
		}
		if err != nil {
			return err
		}
	}
}

// append appends at once, or writes a few times before it waits for the sync, as a
// leader does.
func (l *load) append(n int) error {
	l.pending = map[uint64][]byte{}
	writes := 1 + l.draw.IntN(4)
	next := l.last + 1
	for range writes - 1 {
		if err := l.write(next, n, l.j.Write); err != nil {
			return err
		}
		next += uint64(n)
	}
	if err := l.write(next, n, l.j.Append); err != nil {
		return err
	}
	for i, data := range l.pending {
		l.kept[i] = data
	}
	l.last, l.promised, l.pending = l.last+uint64(n*writes), l.promised+n*writes, nil
	return nil
}

func (l *load) write(first uint64, n int, how func(uint64, [][]byte) error) error {
	var all [][]byte
	l.life++
	for i := range n {
		data := bytes.Repeat([]byte{l.life, byte(i), 1}, 1+l.draw.IntN(400))
		all = append(all, data)
		l.pending[first+uint64(i)] = data
	}
	return how(first, all)
}

// syncs syncs again and again beside the writes, as a leader's disk does.
func (l *load) syncs() (stop func()) {
	j, done, over := l.j, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-done:
				return
			default:
				if j.Sync() != nil {
					return
				}
			}
		}
	}()
	return func() { close(done); <-over }
}

func (l *load) truncate(after uint64) error {
	l.truncated = after + 1
	if err := l.j.TruncateAfter(after); err != nil {
		return err
	}
	l.forget(after + 1)
	return nil
}

func (l *load) forget(from uint64) {
	for i := from; i <= l.last; i++ {
		delete(l.kept, i)
	}
	l.last, l.truncated = from-1, 0
}

func (l *load) drop(before uint64) error {
	if err := l.j.DropBefore(before); err != nil {
		return err
	}
	for i := range l.kept {
		if i < before {
			delete(l.kept, i)
		}
	}
	return nil
}

// judge holds what is there after a cut against what was promised.
func (l *load) judge(j *Journal) error {
	last := j.Last()
	if l.truncated != 0 && last < l.last {
		if last+1 != l.truncated {
			return fmt.Errorf("a truncation to %d left %d", l.truncated-1, last)
		}
		l.forget(l.truncated)
	}
	for i, want := range l.kept {
		got, err := j.Read(i)
		if err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("record %d was promised: %d bytes of %d, %w", i, len(got), len(want), err)
		}
	}
	if last < l.last {
		return fmt.Errorf("it ends at %d, and %d was promised", last, l.last)
	}
	for i := l.last + 1; i <= last; i++ { // what was under way may be there, whole
		got, err := j.Read(i)
		if err != nil || l.pending == nil || !bytes.Equal(got, l.pending[i]) {
			return fmt.Errorf("record %d is nothing that was written: %w", i, err)
		}
		l.kept[i] = got
	}
	l.last, l.pending, l.truncated = last, nil, 0
	return nil
}

// The power fails at any moment: what Append returned for is there, byte by byte,
// and nothing is there that was not written.
func TestINV33_PowerCutsLoseNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: cutting the power of a volume needs root and loop devices")
	}
	dir := t.TempDir()
	v, err := chaos.NewVolume(filepath.Join(dir, "volume.img"), filepath.Join(dir, "volume"), 32<<20)
	if err != nil {
		t.Skipf("SKIPPED: no volume of its own: %v", err)
	}
	t.Cleanup(func() { check(t, v.Close()) })
	seed := uint64(time.Now().UnixNano())
	l := &load{draw: rand.New(rand.NewPCG(seed, 1)), kept: map[uint64][]byte{}}
	o := Options{Dir: filepath.Join(v.Dir, "log"), SegmentSize: 64 << 10}
	t.Cleanup(func() { _ = l.j.Close() }) // closed already unless the test failed
	extra := 0
	for n := range *powerCuts {
		j, err := Open(o)
		if err != nil {
			t.Fatalf("seed %d, cut %d: %v", seed, n, err)
		}
		before := l.last
		l.j = j
		if err := l.judge(j); err != nil {
			t.Fatalf("seed %d, cut %d: %v", seed, n, err)
		}
		extra += int(l.last - min(before, l.last))
		ended := make(chan error, 1)
		go func() { ended <- l.run() }()
		stop := l.syncs()
		<-time.After(time.Duration(1+n*7%60) * time.Millisecond) // the moment of the cut is what the test varies
		check(t, v.CutPower())
		stop()
		if err := <-ended; errors.Is(err, ErrDamaged) {
			t.Fatalf("seed %d, cut %d: %v", seed, n, err)
		}
		_ = j.Close() // its files are of a disk that has gone
		check(t, v.Restart())
	}
	if l.promised < *powerCuts {
		t.Fatalf("void: only %d records were promised", l.promised)
	}
	t.Logf("seed %d: %d cuts, %d records promised, none lost; %d were there that had not been promised yet", seed, *powerCuts, l.promised, extra)
}
