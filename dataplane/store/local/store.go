package local

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Options of a Store. Dir, Region and Keys are required.
type Options struct {
	Dir    string           // pebble's folder, e.g. DataDir/records; made 0700 when absent
	Region policy.RegionID  // bound into every sealed byte
	Keys   store.Keys       // the region's key service; the caller closes it after the store
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil is time.Now
	Rand   io.Reader        // ids and salts; nil is crypto/rand

	MaxPending int // records waiting per tenant before OVERLOADED; 0 is 65,536

	// DiskUsed tells the used share of the disk in [0, 1]; asked at most once a
	// second. nil asks the file system. From 0.95 on, Append answers STORAGE_FULL.
	DiskUsed func() (float64, error)

	// OnCorrupt is called for every sealed value that does not open; kind is one
	// of a closed list ("frame", "call", "rollup", …), fit for a metric label.
	OnCorrupt func(kind string)
}

// Store keeps the records of one region in pebble. It is safe for concurrent use.
type Store struct{ o Options }

var _ store.Store = (*Store)(nil)

var errStub = errors.New("local store: not there yet")

// Open opens or makes the store in o.Dir.
func Open(o Options) (*Store, error) { return &Store{o: o}, errStub }

// Append implements store.Store.
func (s *Store) Append(context.Context, policy.Permit, []record.Record) ([]store.Appended, error) {
	return nil, errStub
}

// Quarantine implements store.Store.
func (s *Store) Quarantine(context.Context, policy.Permit, []store.Quarantined) ([]string, error) {
	return nil, errStub
}

// Quarantines implements store.Store.
func (s *Store) Quarantines(context.Context, policy.Permit, int, string) ([]store.Quarantined, string, error) {
	return nil, "", errStub
}

// Unquarantine implements store.Store.
func (s *Store) Unquarantine(context.Context, policy.Permit, string) error { return errStub }

// List implements store.Store.
func (s *Store) List(context.Context, policy.Permit, store.Query) (store.Page, error) {
	return store.Page{}, errStub
}

// Call implements store.Store.
func (s *Store) Call(context.Context, policy.Permit, string) (store.Call, error) {
	return store.Call{}, errStub
}

// Rollups implements store.Store.
func (s *Store) Rollups(context.Context, policy.Permit, string, string) ([]store.Rollup, error) {
	return nil, errStub
}

// PutFeed implements store.Store.
func (s *Store) PutFeed(context.Context, policy.Permit, store.Feed) error { return errStub }

// Feed implements store.Store.
func (s *Store) Feed(context.Context, policy.Permit, record.SourceKind, string) (store.Feed, error) {
	return store.Feed{}, errStub
}

// Window implements store.Store.
func (s *Store) Window(context.Context, policy.Permit, time.Time, time.Time, func(store.Call) error) error {
	return errStub
}

// Healthy implements store.Store.
func (s *Store) Healthy() error { return errStub }

// Close implements store.Store.
func (s *Store) Close() error { return nil }
