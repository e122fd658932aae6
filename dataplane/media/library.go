package media

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Ask obtains a permit for one tenant, now: the gate's answer for whoever asks.
// Long work asks again at each step.
type Ask func(op policy.Operation, class policy.DataClass) (policy.Permit, error)

// Options of a Library. Region, Keys, Store and Blobs are required.
type Options struct {
	Region policy.RegionID
	Keys   store.Keys
	Store  store.Store
	Blobs  store.Blobs
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil is time.Now
	Rand   io.Reader        // ids; nil is crypto/rand

	// Reference names something of a tenant so that only the region can tell what;
	// nil: the region's log tells of no single recording or transcript.
	Reference func(t policy.TenantID, id string) string
	// OnCorrupt is called for every frame that does not open.
	OnCorrupt func(kind string)
	// PartSize is where a long request is divided into parts, so that a crash costs
	// no more than one; 0 is 64 MiB. Tests make it small.
	PartSize int64
}

// Limits of recordings.
const (
	MaxRecording = 2 << 30 // bytes
	maxParts     = 2048
	uploadLife   = 24 * time.Hour // of one that nobody finishes
	partSize     = 64 << 20
)

// Library keeps the recordings and transcripts of one region. It is safe for
// concurrent use.
type Library struct {
	o       Options
	log     *slog.Logger
	content [32]byte // makes the tags by which equal content is found

	mu   sync.Mutex
	busy map[string]bool // uploads that a request of this process writes
}

// New makes a library over a store and blobs that stay the caller's.
func New(o Options) (*Library, error) {
	if o.Region == "" || o.Keys == nil || o.Store == nil || o.Blobs == nil {
		return nil, errors.New("open media: Region, Keys, Store and Blobs must be set")
	}
	l := &Library{o: o, log: o.Logger, busy: map[string]bool{}}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.o.Now == nil {
		l.o.Now = time.Now
	}
	if l.o.Rand == nil {
		l.o.Rand = rand.Reader
	}
	if l.o.OnCorrupt == nil {
		l.o.OnCorrupt = func(string) {}
	}
	if l.o.PartSize <= 0 {
		l.o.PartSize = partSize
	}
	var err error
	l.content, err = o.Keys.Named("media/content")
	return l, err
}

// Healthy reports why media cannot be kept, else nil.
func (l *Library) Healthy() error { return l.o.Blobs.Healthy() }

// uniqueTag is how a tenant's equal content of one call is found: an HMAC, which
// says nothing to who has not the region's key.
func (l *Library) uniqueTag(t policy.TenantID, kind store.ItemKind, call string, sum []byte) []byte {
	mac := hmac.New(sha256.New, l.content[:])
	mac.Write([]byte(string(t) + "\x00" + string(kind) + "\x00" + call + "\x00"))
	mac.Write(sum)
	return mac.Sum(nil)
}

// folder is where the blobs of one recording or transcript are.
func folder(t policy.TenantID, id string) string { return string(t) + "/" + id + "/" }

// randomName names a part.
func (l *Library) randomName() (string, error) {
	var raw [16]byte
	_, err := io.ReadFull(l.o.Rand, raw[:])
	return hex.EncodeToString(raw[:]), err
}

// checkCall wants a call to exist. When calls may not be read now (04 §3), a
// home tenant's recording is taken all the same.
func (l *Library) checkCall(ctx context.Context, ask Ask, call string) error {
	if call == "" {
		return nil
	}
	if !policy.ValidID(policy.KindCall, call) {
		return errNoCall
	}
	permit, err := ask(policy.View, policy.CallRecord)
	if err != nil {
		return nil
	}
	_, err = l.o.Store.Call(ctx, permit, call)
	if isReason(err, policy.NotFound) {
		return errNoCall
	}
	return err
}

// stillThere looks for a call again, after something of it was stored: whoever deletes
// a call looks at what it has once more when its record is gone, so that either that
// look sees what was stored, or this one sees that the call is gone. Then what was
// stored is taken back, and the call is not found.
func (l *Library) stillThere(ctx context.Context, ask Ask, call string, back func() error) error {
	err := l.checkCall(ctx, ask, call)
	if !isReason(err, policy.NotFound) {
		return nil // it is there, or nobody can tell now: it was a moment ago
	}
	if undone := back(); undone != nil && !isReason(undone, policy.NotFound) {
		return errors.Join(err, undone)
	}
	return err
}

var errNoCall = policy.Errorf(policy.NotFound, "there is no such call; send its record first, and give the id (CA…) that it was answered with")

// dropBlobs deletes the blobs of a recording or transcript whose key is gone, but
// those to keep.
func (l *Library) dropBlobs(ctx context.Context, prefix string, keep map[string]bool) (n uint64, err error) {
	after := ""
	for {
		page, err := l.o.Blobs.List(ctx, prefix, after, store.MaxPageSize)
		if err != nil {
			return n, err
		}
		for _, b := range page {
			after = b.Name
			if keep[b.Name] {
				continue
			}
			if err := l.o.Blobs.Delete(ctx, b.Name); err != nil {
				return n, err
			}
			n++
		}
		if len(page) < store.MaxPageSize {
			return n, nil
		}
	}
}

// Purge deletes every blob of a tenant. The store's Purge, which comes first,
// has destroyed their keys.
func (l *Library) Purge(ctx context.Context, tenant policy.TenantID) (uint64, error) {
	return l.dropBlobs(ctx, string(tenant)+"/", nil)
}

func isReason(err error, r policy.Reason) bool {
	return errors.Is(err, &policy.Error{Reason: r})
}
