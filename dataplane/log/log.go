package log

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Options of a Log. Store, Keys, Cluster, Region, Node, Dir and Certify are
// required.
type Options struct {
	Store   store.Log
	Keys    store.Keys
	Cluster string
	Region  policy.RegionID
	Node    policy.NodeID
	Dir     string // holds the floor; belongs into no backup of records
	// Shared: other nodes grow the same log, so that a node without a floor has
	// not lost it.
	Shared bool
	// Certify signs the log's key with the key of the node's certificate, and gives
	// that certificate in PEM.
	Certify func(statement []byte) (signature []byte, certificate string, err error)

	Every    time.Duration    // between rounds; 0 is 500 ms
	Patience time.Duration    // how long a sensitive operation waits for the log; 0 is 2 s (INV28)
	Now      func() time.Time // nil is time.Now
	Rand     io.Reader        // nil is crypto/rand
	Logger   *slog.Logger     // nil discards
	Metrics  prometheus.Registerer
}

// Log is one node's part in its region's log. It is safe for concurrent use.
type Log struct {
	o        Options
	log      *slog.Logger
	public   ed25519.PublicKey
	private  ed25519.PrivateKey
	receipts *store.Receipts
	refer    [32]byte // key of references
	wake     chan struct{}
	probing  chan struct{} // holds one place while a probe is under way
	metrics  metrics

	growing sync.Mutex // one round at a time

	compared atomic.Bool // the head was compared with the floor; set under growing

	signing sync.Mutex // held while a checkpoint is made, over reads and a sync; before mu
	signed  signed

	mu      sync.Mutex // never held while the disk is waited for
	floor   floor
	problem error // of the last round
}

// signingKey and referenceKey are region keys.
const (
	signingKey   = "log/key"
	referenceKey = "log/reference"
)

// Open makes a log ready. It reads and writes nothing of the store yet: what is
// wrong there is Healthy's to say, and keeps no record from being stored.
func Open(o Options) (*Log, error) {
	if o.Store == nil || o.Keys == nil || o.Cluster == "" || o.Region == "" || o.Node == "" || o.Dir == "" || o.Certify == nil {
		return nil, errors.New("region's log: Store, Keys, Cluster, Region, Node, Dir and Certify must be set")
	}
	l := &Log{o: o, log: o.Logger, wake: make(chan struct{}, 1), probing: make(chan struct{}, 1)}
	l.defaults()
	seed, err := o.Keys.Named(signingKey)
	if err != nil {
		return nil, fmt.Errorf("key of the region's log: %w", err)
	}
	l.private = ed25519.NewKeyFromSeed(seed[:])
	l.public = l.private.Public().(ed25519.PublicKey)
	if l.refer, err = o.Keys.Named(referenceKey); err != nil {
		return nil, fmt.Errorf("key of the region's log: %w", err)
	}
	if l.receipts, err = store.NewReceipts(o.Keys); err != nil {
		return nil, err
	}
	if l.floor, err = readFloor(o.Dir); err != nil {
		return nil, err
	}
	l.metrics = newMetrics(o.Metrics)
	return l, nil
}

func (l *Log) defaults() {
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.o.Every <= 0 {
		l.o.Every = 500 * time.Millisecond
	}
	if l.o.Patience <= 0 {
		l.o.Patience = 2 * time.Second
	}
	if l.o.Now == nil {
		l.o.Now = time.Now
	}
	if l.o.Rand == nil {
		l.o.Rand = rand.Reader
	}
}

// Run gives entries their places until ctx ends.
func (l *Log) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := l.Round(ctx); err != nil && ctx.Err() == nil {
			l.log.Warn("the region's log does not grow; it is tried again", "cause", err)
		}
		wait, cancel := context.WithTimeout(ctx, l.o.Every)
		select {
		case <-wait.Done():
		case <-l.wake:
		}
		cancel()
	}
}

// Healthy is why the log cannot be written, else nil.
func (l *Log) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}

// refused is what a sensitive operation is answered while the log hangs or fails.
func refused(cause error) error {
	return &policy.Error{Reason: policy.NotReady, Cause: cause, Message: "the region's log cannot be written, so that nothing is done that it must tell of; try again when the node's disk is sound"}
}

var errHangs = errors.New("the region's log does not answer")

// Writable returns nil when something noted now would be durable within
// Patience. One that hangs answers every caller at once until it is free again.
func (l *Log) Writable(ctx context.Context) error {
	return l.within(ctx, func(ctx context.Context) error { return l.o.Store.LogWritable(ctx) })
}

// Note makes entries durable before it returns, or refuses within Patience: then
// they may be durable all the same. For what is told before it is done.
func (l *Log) Note(ctx context.Context, entries ...store.Entry) error {
	return l.within(ctx, func(ctx context.Context) error { return l.o.Store.Note(ctx, entries...) })
}

// within runs one write at a time. The write that hangs is waited for by nobody,
// and goes on.
func (l *Log) within(ctx context.Context, write func(context.Context) error) error {
	if err := l.Healthy(); err != nil {
		return refused(err)
	}
	patience := time.NewTimer(l.o.Patience)
	defer patience.Stop()
	select {
	case l.probing <- struct{}{}:
	case <-patience.C:
		return refused(errHangs)
	case <-ctx.Done():
		return refused(ctx.Err())
	}
	done := make(chan error, 1)
	go func() {
		done <- write(context.WithoutCancel(ctx))
		<-l.probing
	}()
	select {
	case err := <-done:
		if err != nil {
			return refused(err)
		}
		return nil
	case <-patience.C:
		return refused(errHangs)
	}
}

// Reference is how an entry names something of a tenant that is, or may one day
// be, of a person: nobody without a region key can tell what it stands for, and
// it goes with the tenant.
func (l *Log) Reference(tenant policy.TenantID, id string) string {
	mac := hmac.New(sha256.New, l.refer[:])
	mac.Write([]byte("domicile reference\x00" + string(tenant) + "\x00" + id))
	return hex.EncodeToString(mac.Sum(nil))
}

// Origin is the name of a log, and of the key that signs it.
func (l *Log) origin(h store.LogHead) string {
	return Origin(l.o.Cluster, l.o.Region, h.ID)
}

// Origin names a region's log: its id changes when it goes on after a restore.
func Origin(cluster string, region policy.RegionID, id string) string {
	return "domicile/" + cluster + "/region/" + string(region) + "/" + id
}

// revisionOf is a leaf's revision, by the same rule as the control plane's: one
// more with each leaf, and epochSpan more with each log that goes on from another.
func revisionOf(h store.LogHead, index uint64) uint64 {
	return (h.Epoch-1)*epochSpan + index + 1
}

const epochSpan = 1_000_000_000_000

// sparse reads hashes of the log as it is kept, and then those of what is being added.
func (l *Log) sparse(ctx context.Context, kept map[uint64]audit.Hash, added map[uint64]audit.Hash) audit.Read {
	return audit.Sparse(func(number uint64) (audit.Hash, error) {
		if h, ok := kept[number]; ok {
			return h, nil
		}
		h, err := l.o.Store.LogHashOf(ctx, number)
		return audit.Hash(h), err
	}, func(index uint64) (audit.Hash, error) {
		if h, ok := added[index]; ok {
			return h, nil
		}
		leaf, err := l.o.Store.LogLeaf(ctx, index)
		if err != nil {
			return audit.Hash{}, err
		}
		record, err := audit.Unpack(index, leaf.Record)
		return audit.RecordHash(record), err
	})
}
