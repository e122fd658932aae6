package local

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// shaky is a file custodian that can be cut off.
type shaky struct {
	Custodian
	away atomic.Bool
	uses atomic.Int64
}

func (s *shaky) Create(ctx context.Context, gen uint64) ([]byte, [32]byte, error) {
	if s.away.Load() {
		return nil, [32]byte{}, errAway
	}
	return s.Custodian.Create(ctx, gen)
}

func (s *shaky) Unwrap(ctx context.Context, gen uint64, token []byte, use store.KeyUse) ([32]byte, error) {
	s.uses.Add(1)
	if s.away.Load() {
		return [32]byte{}, errAway
	}
	return s.Custodian.Unwrap(ctx, gen, token, use)
}

func (s *shaky) Destroy(ctx context.Context, gen uint64, token []byte) (time.Time, error) {
	if s.away.Load() {
		return time.Time{}, errAway
	}
	return s.Custodian.Destroy(ctx, gen, token)
}

// clocked is a keyring on an injected clock whose custodian can be cut off.
func clocked(t *testing.T) (*Keyring, *shaky, *atomic.Int64) {
	t.Helper()
	dir, elapsed := t.TempDir(), &atomic.Int64{}
	elapsed.Store(int64(time.Hour))
	o := Options{Dir: dir, Region: "ie1", Refresh: time.Hour, RotateSpacing: 1000 * time.Hour,
		Elapsed: func() time.Duration { return time.Duration(elapsed.Load()) }}
	o.defaults()
	s := &shaky{Custodian: &fileRoot{p: &places{main: dir, log: o.Logger}, root: filepath.Join(dir, rootFile), region: "ie1", rand: o.Rand, now: o.Now}}
	o.Custodian = s
	k, err := OpenKeyring(o)
	check(t, err)
	t.Cleanup(func() { k.Close() })
	return k, s, elapsed
}

// TestKeysAreHeldForTenMinutesWithoutTheirService is the row of 04 §3 at the
// keyring: at once it says that the service is away, for ten minutes it goes on,
// then it holds nothing, and when the service is back all is there.
func TestKeysAreHeldForTenMinutesWithoutTheirService(t *testing.T) {
	k, service, elapsed := clocked(t)
	c := populate(t, k)
	service.away.Store(true)
	elapsed.Add(int64(time.Minute))
	k.refresh(t.Context())
	if k.Healthy() == nil {
		t.Error("the service is away and the keyring does not say so")
	}
	elapsed.Add(int64(policy.KeysFor - time.Minute - 1))
	k.refresh(t.Context())
	c.look(t, k)
	c.more(t, k, 10)
	if err := k.Rotate(t.Context()); err == nil {
		t.Error("a rotation without the key service")
	}
	elapsed.Add(1)
	for id := range c.keys {
		if _, err := k.Open(id); !isReason(err, policy.NotReady) {
			t.Fatalf("open: %v", err)
		}
	}
	_, _, err := k.Draw()
	_, err2 := k.Named("store/index")
	for _, err := range []error{err, err2, k.Healthy()} {
		if !isReason(err, policy.NotReady) {
			t.Errorf("ten minutes after: %v", err)
		}
	}
	if k.names != nil || len(k.tables) != 0 || k.cache.Len() != 0 || k.sheet.tables[0].key != [32]byte{} || k.sheet.tag != [32]byte{} {
		t.Error("keys are still in memory")
	}
	for id := range c.keys { // a key is destroyed without the key service
		check(t, k.Destroy([]store.KeyID{id}))
		c.gone = append(c.gone, id)
		delete(c.keys, id)
		break
	}
	k.refresh(t.Context()) // still away
	if _, err := k.Named("store/index"); err == nil {
		t.Error("a key without its service")
	}
	service.away.Store(false)
	k.refresh(t.Context())
	check(t, k.Healthy())
	c.look(t, k)
	c.more(t, k, 10)
	check(t, k.Rotate(t.Context()))
	c.look(t, k)
}

// An answer keeps what is held for ten minutes from when it was asked for.
func TestAnAnswerExtendsWhatIsHeld(t *testing.T) {
	k, service, elapsed := clocked(t)
	id, key := draw(t, k)
	for range 5 {
		elapsed.Add(int64(policy.KeysFor - 1))
		k.refresh(t.Context())
	}
	if got, err := k.Open(id); err != nil || got != key {
		t.Fatal(err)
	}
	uses := service.uses.Load()
	for range 100 {
		if _, err := k.Open(id); err != nil {
			t.Fatal(err)
		}
	}
	if service.uses.Load() != uses {
		t.Error("each use asks the service")
	}
}

// A chunk key leaves the cache after ten minutes though the service is there.
func TestCachedKeysHaveAnEnd(t *testing.T) {
	k, _, elapsed := clocked(t)
	id, key := draw(t, k)
	elapsed.Add(int64(policy.KeysFor))
	k.mu.Lock()
	k.extend()
	k.mu.Unlock()
	if _, ok := k.cache.Get(id, k.o.Elapsed()); ok {
		t.Error("a key is cached for too long")
	}
	k.refresh(t.Context())
	if k.cache.Len() != 0 {
		t.Error("it is not wiped")
	}
	if got, err := k.Open(id); err != nil || got != key {
		t.Fatal(err)
	}
}

// A use counts under its reason.
func TestUsesCountUnderTheirReason(t *testing.T) {
	k := open(t, t.TempDir())
	id, _, err := k.For(store.UseIngest).Draw()
	check(t, err)
	_, err = k.For(store.UseExport).Open(id)
	check(t, err)
	check(t, k.For(store.UseErase).Destroy([]store.KeyID{id}))
	_, err = k.For("whatever").Named("x")
	check(t, err)
	for _, want := range []struct {
		use store.KeyUse
		op  KeyOp
		n   uint64
	}{{store.UseIngest, OpDraw, 1}, {store.UseExport, OpOpen, 1}, {store.UseErase, OpDestroy, 1}, {store.UseNode, OpNamed, 1}, {store.UseRead, OpOpen, 0}} {
		if n := k.uses.counts[useIndex[want.use]][want.op].Load(); n != want.n {
			t.Errorf("%s %s: %d", want.use, keyOpNames[want.op], n)
		}
	}
}
