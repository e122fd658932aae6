package subject

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Exports is what an erasure needs of what leaves the region. *export.Exporter
// is the one; nil in Options means that nothing ever leaves.
type Exports interface {
	Forget(ctx context.Context, t policy.TenantID, certificate string, calls []export.Gone) (export.Forgotten, error)
	ForgetAnd(ctx context.Context, t policy.TenantID, certificate string, calls []export.Gone, destroy func(context.Context) error) (export.Forgotten, error)
	Judged(t policy.TenantID) (bool, error)
	Unburied(t policy.TenantID, certificate string) (left, deleted uint64, err error)
}

// Media is what a person's calls have beside their records. Nil in Options
// means that this region keeps none.
type Media interface {
	// Forget destroys everything of a call; repeating it is harmless.
	Forget(ctx context.Context, t policy.TenantID, call string) (recordings, transcripts uint64, err error)
	// Any reports whether the tenant keeps anything of any call.
	Any(ctx context.Context, t policy.TenantID) (bool, error)
	// Each hands out what a call has, for an archive. It stops at the first error.
	Each(ctx context.Context, t policy.TenantID, call string, yield func(Medium) error) error
}

// Log is what a service needs of the region's log. *log.Log is one.
type Log interface {
	// Note makes entries durable, or refuses in time.
	Note(ctx context.Context, entries ...store.Entry) error
	// Writable is why an entry would not be durable, else nil; it answers in time.
	Writable(ctx context.Context) error
	// Reference names something of a tenant so that only the region can tell what.
	Reference(t policy.TenantID, id string) string
}

// Options of a Service. Region, Node, Store, Ledger, Gate, Sign and CallingCode
// are required.
type Options struct {
	Region policy.RegionID
	Node   policy.NodeID
	Store  store.Store
	Ledger Ledger
	Gate   *gate.Gate
	Sign   func(statement []byte) ([]byte, error) // with the node's key

	CallingCode func(e164 string) string // of a number, "353"

	Exports Exports
	Media   Media

	// Retire asks for the key generation to be replaced, and gives its number;
	// Beyond reports whether it, and with it every copy of a table that opens what
	// was destroyed before, is beyond recovery. Rekeyed reports whether the indexes
	// of a tenant were keyed anew since a time. A certificate whose node has none of
	// them never becomes final.
	Retire  func() (uint64, error)
	Beyond  func(generation uint64, now time.Time) (bool, error)
	Rekeyed func(ctx context.Context, t policy.TenantID, since time.Time) (bool, error)

	// Room says that something destroys until the returned function is called, so that
	// there is room for it on a full disk. nil: there always is.
	Room func() (end func())

	Audit  func() error // why the ledger of what leaves cannot be written, else nil; nil: always fine
	Log    Log          // the region's log; nil: nothing is told of exports of persons
	Forget []func()     // empty what this process remembers of numbers

	Retry  time.Duration    // after a step that failed, and between looks at what final waits for; 0 is 5 s
	Now    func() time.Time // nil is time.Now
	Logger *slog.Logger     // nil discards

	// Between is called after each step of a job is durable; an error stops the
	// job there, as a crash would. Tests crash in it.
	Between func(step string) error
}

// Service finds, exports and erases. It is safe for concurrent use.
type Service struct {
	o     Options
	log   *slog.Logger
	now   func() time.Time
	wake  chan struct{}
	guard guard

	mu      sync.Mutex // one decision between holds and erasures at a time
	working sync.Mutex // one job at a time
}

// New makes a service; Run does its work.
func New(o Options) (*Service, error) {
	if o.Region == "" || o.Store == nil || o.Ledger == nil || o.Gate == nil || o.Sign == nil || o.CallingCode == nil {
		return nil, errors.New("subjects: Region, Store, Ledger, Gate, Sign and CallingCode must be set")
	}
	s := &Service{o: o, log: o.Logger, now: o.Now, wake: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if o.Audit == nil {
		s.o.Audit = func() error { return nil }
	}
	if o.Room == nil {
		s.o.Room = func() func() { return func() {} }
	}
	if o.Retry <= 0 {
		s.o.Retry = 5 * time.Second
	}
	s.guard.service = s
	return s, nil
}

// permit asks the gate, now.
func (s *Service) permit(t policy.TenantID, op policy.Operation, class policy.DataClass) (policy.Permit, error) {
	return s.o.Gate.Check(gate.Question{Tenant: t, Op: op, Class: class})
}

// reads is the permit by which documents of a kind are looked at: also while the
// audit cannot be written, and also of a suspended tenant.
func (s *Service) reads(t policy.TenantID, kind store.ItemKind) (policy.Permit, error) {
	permit, err := s.permit(t, policy.Process, kind.Class())
	if err != nil {
		permit, err = s.permit(t, policy.Erase, kind.Class())
	}
	return permit, err
}

// audited refuses while what is done could not be written down (INV28).
func (s *Service) audited(ctx context.Context) error {
	err := errors.Join(s.o.Audit(), s.o.Ledger.Healthy())
	if err == nil && s.o.Log != nil {
		err = s.o.Log.Writable(ctx)
	}
	if err != nil {
		return &policy.Error{Reason: policy.NotReady, Cause: err,
			Message: "the audit cannot be written on this node, so that no person is exported or erased; try again when its disk is sound"}
	}
	return nil
}

// Who is the person that a request is about: a party as ingest reads it.
type Who struct {
	Party    record.Party // E164, or Raw alone
	Instance string       // of the feed, for a raw value; "" tries each
	Subject  string       // picks one owner; "" is all that the number has now
}

// LogValue keeps a person out of logs.
func (Who) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// number is what the index is asked for.
func (w *Who) number() string {
	if w.Party.E164 != "" && w.Instance == "" {
		return w.Party.E164
	}
	return w.Party.Raw
}

// owners finds the owners that a request is about: all that the number ever
// had, or the one that it picks.
func (s *Service) owners(ctx context.Context, t policy.TenantID, w Who) ([]store.Owner, error) {
	permit, err := s.permit(t, policy.Erase, policy.CallRecord)
	if err != nil {
		return nil, err
	}
	found, err := s.o.Store.Owners(ctx, permit, w.number(), w.Instance)
	if err != nil || w.Subject == "" {
		return found, err
	}
	for _, o := range found {
		if o.Subject == w.Subject {
			return []store.Owner{o}, nil
		}
	}
	return nil, policy.Errorf(policy.NotFound, "the number has no such owner; see subjects:find")
}

// one refuses to choose between several people who had a number one after the
// other.
func one(found []store.Owner, w Who) error {
	if w.Subject != "" {
		return nil
	}
	for _, o := range found {
		if !o.Since.IsZero() || !o.Until.IsZero() {
			return &policy.Error{Reason: policy.InvalidArgument, Message: "the number had more than one owner; give subject_id of the one that is meant: subjects:find lists them",
				Fields: []policy.FieldError{{Field: "subject_id", Message: "is needed, because the number changed hands"}}}
		}
	}
	return nil
}
