package copied

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/shelf"
)

const (
	// putLimit bounds how long a change waits for its copy, and the shelf's lock is held
	// for it. It is below the limit of a transaction, 30 s.
	putLimit = 10 * time.Second
	// Late is for how long after a base a request may still arrive that was under way
	// before it: signatures of requests are good for 15 minutes.
	Late = 20 * time.Minute
)

// Options of a copy. Shelf, Buckets and Of are required.
type Options struct {
	Shelf   shelf.Shelf    // whose copy it is
	Buckets []shelf.Bucket // all that it has
	Of      Of
	Place   Place // nil: this node keeps none, and changes nothing that has one

	// Anchors is a shelf beside the records, which notes in a bucket how far the copy
	// goes. Nil: no note is made.
	Anchors      shelf.Shelf
	AnchorBucket shelf.Bucket

	Spool  string             // folder of a base on its way, without a name; "": the system's
	Now    func() time.Time   // nil: time.Now
	Logger *slog.Logger       // nil discards
	Step   func(string) error // tests: after a change was "put", was "committed", after a base was ("based"); an error is the caller's
}

// Copy is one shelf's copy, as one node sees it. It is safe for concurrent use.
type Copy struct {
	o   Options
	log *slog.Logger

	mu      sync.Mutex
	key     []byte    // of the MACs; nil: not begun
	begun   bool      // the shelf is marked
	asked   bool      // the place was asked for the rules that it must keep
	failed  error     // of the latest word with the place
	heard   time.Time // when the place last answered well; at first: the start
	changes int       // behind the base, by the latest look
}

// New makes a copy that has not begun.
func New(o Options) *Copy {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Spool == "" {
		o.Spool = os.TempDir()
	}
	return &Copy{o: o, log: o.Logger, heard: o.Now()}
}

// Shelf is the shelf whose changes are copied.
func (c *Copy) Shelf() *Shelf { return &Shelf{c.o.Shelf, c} }

func (o *Options) step(name string) error {
	if o.Step == nil {
		return nil
	}
	return o.Step(name)
}

// bucketState holds the copy's own state, which is in no copy.
const bucketState shelf.Bucket = "copy"

var stateKey = []byte("state")

// state is how far the copy goes, in the shelf that it is of.
type state struct {
	Copy   string `json:"copy"`           // random
	From   string `json:"from,omitempty"` // the copy that this shelf was put back from, until the first base
	Place  string `json:"place"`
	Number uint64 `json:"number"` // of the last change
	Digest string `json:"digest"` // of it
	Based  bool   `json:"based"`  // there has been a base

	Stops []uint64 `json:"stops,omitempty"` // numbers that a former database's nodes would take next (see stop)
}

func stateIn(tx shelf.Tx) (*state, error) {
	raw, err := tx.Get(bucketState, stateKey)
	if err != nil || raw == nil {
		return nil, err
	}
	st := &state{}
	if err := json.Unmarshal(raw, st); err != nil {
		return nil, fmt.Errorf("the state of the copy: %w", err)
	}
	return st, nil
}

func putState(tx shelf.Tx, st *state) error {
	raw, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return tx.Put(bucketState, stateKey, raw)
}

func (c *Copy) state() (st *state, err error) {
	err = c.o.Shelf.View(func(tx shelf.Tx) (err error) {
		st, err = stateIn(tx)
		return err
	})
	return st, err
}

func (c *Copy) held() (key []byte, begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key, c.begun
}

// told remembers how a word with the place went.
func (c *Copy) told(err error) {
	c.mu.Lock()
	was := c.failed
	if c.failed = err; err == nil {
		c.heard = c.o.Now()
	}
	c.mu.Unlock()
	if err != nil && was == nil {
		c.log.Error("the copy cannot be written or looked at; nothing is changed that it would lack", "of", c.o.Of.Shelf, "cause", err.Error())
	}
	if err == nil && was != nil {
		c.log.Info("the copy answers again", "of", c.o.Of.Shelf)
	}
}

// ready asks the place once per process whether it keeps the rules; Tend asks again.
func (c *Copy) ready(ctx context.Context) error {
	c.mu.Lock()
	asked := c.asked
	c.mu.Unlock()
	if asked {
		return nil
	}
	if err := c.o.Place.Ready(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	c.asked = true
	c.mu.Unlock()
	return nil
}

func (c *Copy) head(kind string, st *state) head {
	h := head{Format: format, Kind: kind, Of: c.o.Of, Copy: st.Copy, Number: st.Number, Before: st.Digest, Time: c.o.Now().UTC().Truncate(time.Second)}
	if kind == kindBase {
		h.Stops = st.Stops
	}
	return h
}

func (o *Options) baseName() string     { return o.Of.Shelf + "/base" }
func (o *Options) changePrefix() string { return o.Of.Shelf + "/change/" }
func (o *Options) changeName(n uint64) string {
	return fmt.Sprintf("%s%020d", o.changePrefix(), n)
}

// anchor notes beside the records that the copy goes up to a number, before the change
// of that number commits: a copy that ends before it is older than what was acknowledged.
func (c *Copy) anchor(n uint64) error {
	if c.o.Anchors == nil {
		return nil
	}
	return c.o.Anchors.Update(func(tx shelf.Tx) error {
		was, err := tx.Get(c.o.AnchorBucket, anchorKey(c.o.Of.Shelf))
		if err != nil || len(was) == 8 && binary.BigEndian.Uint64(was) >= n {
			return err
		}
		return tx.Put(c.o.AnchorBucket, anchorKey(c.o.Of.Shelf), binary.BigEndian.AppendUint64(nil, n))
	})
}

func anchorKey(name string) []byte { return []byte("copied/" + name) }

// Anchored is how far the copy of a shelf must go at least; 0: nothing is noted.
func Anchored(anchors shelf.Shelf, bucket shelf.Bucket, name string) (n uint64, err error) {
	err = anchors.View(func(tx shelf.Tx) error {
		was, err := tx.Get(bucket, anchorKey(name))
		if n = 0; len(was) == 8 {
			n = binary.BigEndian.Uint64(was)
		}
		return err
	})
	return n, err
}

// Vacant refuses a place that holds a copy of this shelf's name: whoever makes a new
// table has lost the one that it is of.
func (c *Copy) Vacant(ctx context.Context) error {
	if c.o.Place == nil {
		return nil
	}
	in, _, err := c.o.Place.Read(ctx, c.o.baseName())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a copy in %s: %w", c.o.Place, err)
	}
	_ = in.Close()
	return fmt.Errorf("%s holds a copy, and the key database holds no table, or another one: put the copy back with `domicile-dataplane keys restore` (docs/operations/several-nodes.md, \"The key database is lost\"), or give an empty bucket", c.o.Place)
}

// Begin lets the shelf's changes be copied; root is the key that the key table has for
// it. A shelf that was not copied is marked and copied whole first. With a copy that
// is there the place is not asked, so that a node starts without it.
func (c *Copy) Begin(ctx context.Context, root [32]byte) error {
	st, err := c.state()
	if err != nil {
		return err
	}
	if c.o.Place == nil {
		if st != nil {
			return errUncopied
		}
		return nil
	}
	c.mu.Lock()
	c.key = keyFor(root, c.o.Of)
	c.mu.Unlock()
	if st == nil {
		if st, err = c.first(ctx); err != nil {
			return fmt.Errorf("begin the copy of %s: %w", c.o.Of.Shelf, err)
		}
	}
	if st.Place != c.o.Place.String() {
		return fmt.Errorf("the copy of %s is in %s and the configuration says %s: end it with `domicile-dataplane keys end-copy` and the former configuration first", c.o.Of.Shelf, st.Place, c.o.Place)
	}
	c.mu.Lock()
	c.begun = true
	c.mu.Unlock()
	if !st.Based {
		return c.Rebase(ctx)
	}
	return nil
}

// first marks the shelf, unless its place has a copy: then another node was first, or
// it is of another table. Numbers go on behind those of a copy that was ended: the anchor
// knows of them, and a copy that ends before it is refused.
func (c *Copy) first(ctx context.Context) (st *state, err error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	if taken := c.Vacant(ctx); taken != nil {
		if st, err = c.state(); err == nil && st == nil {
			err = taken
		}
		return st, err
	}
	fresh := &state{Copy: rand.Text(), Place: c.o.Place.String()}
	if c.o.Anchors != nil {
		if fresh.Number, err = Anchored(c.o.Anchors, c.o.AnchorBucket, c.o.Of.Shelf); err != nil {
			return nil, err
		}
	}
	err = c.o.Shelf.Update(func(tx shelf.Tx) error {
		if st, err = stateIn(tx); err != nil || st != nil {
			return err
		}
		st = fresh
		return putState(tx, st)
	})
	return st, err
}

// On reports whether this node keeps the copy.
func (c *Copy) On() bool { return c.o.Place != nil }

// Status says "up" or why the copy is not written, and when it was last heard of.
func (c *Copy) Status() (text string, heard time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return c.failed.Error(), c.heard
	}
	return "up", c.heard
}
