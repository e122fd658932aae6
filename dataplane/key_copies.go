package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/keytable"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/copied"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/policy"
)

// tendEvery is how often each node looks whether the copies are whole.
const tendEvery = 10 * time.Minute

// keyCopies are the copies of what lies in the database of the keys: the key table,
// and the erasure ledger.
type keyCopies struct {
	place copied.Place // nil: there are none

	mu sync.Mutex
	of map[string]*copied.Copy
}

func (k *keyCopies) all() []*copied.Copy {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Values(k.of))
}

// openCopies opens the bucket of the copies, if the region has one. Nobody is asked
// yet: nodes start without it, unless the copies are to begin.
func (n *Node) openCopies() error {
	n.copies = &keyCopies{of: map[string]*copied.Copy{}}
	c := n.cfg.Keys.CopyS3
	violations := n.violationsIn(prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "domicile_keys_copy_violation",
		Help: "1 while the bucket of the key table's copy is against the rules: then no key is drawn or destroyed."}, []string{"category"}))
	if c == nil {
		return nil
	}
	s3, err := openS3(*c, "keys.copy_s3", n.door, policy.LocalKey, n.region())
	if err != nil {
		return err
	}
	n.onClose("bucket of key copies", func(context.Context) error { return s3.Close() })
	b := &bucket{node: n, s3: s3, of: "copies of the key table", violations: violations}
	n.buckets = append(n.buckets, b)
	n.copies.place = aws.NewCopies(s3, b.verify)
	return n.registry.Register(copied.Collector(n.copies.all))
}

// copyOptions are those of one shelf's copy.
func (n *Node) copyOptions(name string, s shelf.Shelf) (copied.Options, error) {
	anchors, err := n.recordShelf(linkShelf)
	o := copied.Options{Shelf: s, Of: copied.Of{Cluster: n.material.Identity.Cluster, Region: n.region(), Shelf: name}, Place: n.copies.place,
		Anchors: anchors, AnchorBucket: bucketRestore, Spool: n.cfg.DataDir, Logger: n.log}
	if o.Buckets = append([]shelf.Bucket{shelf.Meta}, keytable.Buckets()...); name == erasuresShelf {
		o.Buckets = append([]shelf.Bucket{shelf.Meta}, subject.LedgerBuckets()...)
	}
	return o, err
}

// keyShelf opens a shelf beside the keys: in no backup of the records, but in its own
// copy.
func (n *Node) keyShelf(name string) (shelf.Shelf, error) {
	c, err := n.copyOf(name)
	if err != nil {
		return nil, err
	}
	return c.Shelf(), nil
}

func (n *Node) copyOf(name string) (*copied.Copy, error) {
	if n.copies == nil {
		if err := n.openCopies(); err != nil {
			return nil, err
		}
	}
	if c := n.copies.of[name]; c != nil {
		return c, nil
	}
	s, err := n.shared.keys.Shelf(context.Background(), name)
	if err != nil {
		return nil, err
	}
	o, err := n.copyOptions(name, s)
	if err != nil {
		return nil, err
	}
	c := copied.New(o)
	n.copies.mu.Lock()
	n.copies.of[name] = c
	n.copies.mu.Unlock()
	return c, nil
}

// ledgerShelf is keyShelf for the erasure ledger, once the key table is open.
func (n *Node) ledgerShelf() (shelf.Shelf, error) {
	c, err := n.copyOf(erasuresShelf)
	if err != nil {
		return nil, err
	}
	table, ok := n.keys.(*keytable.Table)
	if !ok {
		return nil, errors.New("the key table is not open")
	}
	if err := c.Begin(context.Background(), table.CopyKey()); err != nil {
		return nil, err
	}
	return c.Shelf(), nil
}

// tendCopies looks after the copies until the node closes.
func (n *Node) tendCopies() {
	if n.copies.place == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ; ctx.Err() == nil; wait(ctx, tendEvery) {
			for _, c := range n.copies.all() {
				if err := c.Tend(ctx); err != nil && ctx.Err() == nil {
					n.log.Error("the copy of the key table or of the erasure ledger is not whole; it is looked at again", "cause", err.Error())
				}
			}
		}
	}()
	n.onClose("watch over key copies", func(context.Context) error { cancel(); <-ended; return nil })
}

// stoppedNode is offlineNode with data_dir locked.
func (c Config) stoppedNode(o Options) (*Node, func(), error) {
	if !c.shared() {
		return nil, nil, fmt.Errorf("this command is for a region whose key table is in a database (store.kind %s); a region of one node has keys.copy", SQLStore)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	unlock, err := lockData(c.DataDir)
	if err != nil {
		return nil, nil, err
	}
	n, err := c.offlineNode(o.Logger)
	if err != nil {
		unlock()
	}
	return n, unlock, err
}

// EndKeyCopies removes the copies from their bucket, and lets the region's nodes go on
// without. The nodes must be stopped; the configuration still names the bucket.
func EndKeyCopies(ctx context.Context, cfg Config, o Options) (err error) {
	if cfg.Keys.CopyS3 == nil {
		return errors.New("give the configuration that names the bucket, keys.copy_s3")
	}
	n, unlock, err := cfg.stoppedNode(o)
	if err != nil {
		return err
	}
	defer unlock()
	defer func() { err = errors.Join(err, n.shut(context.WithoutCancel(ctx))) }()
	if _, err := n.offlineTable(); err != nil {
		return err
	}
	if _, err := n.ledgerShelf(); err != nil {
		return err
	}
	if err := n.keys.Close(); err != nil { // its chores would write the copy anew meanwhile
		return err
	}
	for _, name := range []string{erasuresShelf, keysShelf} {
		if err := n.copies.of[name].End(ctx); err != nil {
			return err
		}
	}
	return nil
}
