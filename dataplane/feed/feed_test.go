package feed

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

func TestSnapshotThenDeltaThenRenewal(t *testing.T) {
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	n := w.node(v)
	f := n.open()
	if f.Current() != nil || f.Age() != policy.AgeUnknown {
		t.Fatal("a new node claims to know something")
	}
	f.Start()
	s := v.next(t)
	if s.hello.GetLastRevision() != 0 || s.hello.GetStateHash() != "" {
		t.Fatalf("a new node said %v", s.hello)
	}
	b := w.book(10)
	pushes := b.snapshot(3)
	for _, p := range pushes[:len(pushes)-1] {
		acked(t, s.push(t, p), 0)
		if f.Current() != nil {
			t.Fatal("an incomplete snapshot is served")
		}
	}
	acked(t, s.push(t, pushes[len(pushes)-1]), 1)
	first := f.Current()
	if _, ok := first.Set.Rules(tenantID(3)); !ok || first.Revision != 1 || first.Topology.Boundary("us1") != "us" {
		t.Fatalf("bundle is not there: %+v", first)
	}
	if k, ok := first.Key("SK00000000000000000000000000000003"); !ok || k.Tenant != tenantID(3) {
		t.Fatal("key is not there")
	}
	if age := f.Age(); age < 0 || age > policy.FreshFor/2 {
		t.Fatalf("age %v right after contact", age)
	}
	acked(t, s.push(t, b.delta([]string{"t/" + string(tenantID(4)), "t/TNnever-known"}, tenantRow(11, "ie1"), tenantRow(5, "us1"))), 2)
	second := f.Current()
	if _, ok := second.Tenant(tenantID(4)); ok {
		t.Error("removed tenant is still there")
	}
	if _, ok := second.Key("SK00000000000000000000000000000005"); ok {
		t.Error("key of a tenant that moved is still there")
	}
	if row, ok := second.Tenant(tenantID(5)); !ok || row.Home != "us1" {
		t.Error("forwarding address is not there")
	}
	if _, ok := second.Set.Rules(tenantID(11)); !ok {
		t.Error("added tenant has no rules")
	}
	if _, ok := first.Tenant(tenantID(4)); !ok || first.Set.Revision() != 1 {
		t.Error("an earlier view changed")
	}
	b.revision += 5 // other regions' changes
	acked(t, s.push(t, b.sealed(&controlv1.Push{})), 7)
	if err := f.Wait(t.Context(), 7); err != nil {
		t.Error(err)
	}
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Wait(expired, 8); !errors.Is(err, &policy.Error{Reason: policy.PolicyStale}) {
		t.Errorf("wait for the future: %v", err)
	}
	if st := f.Status(); !st.Connected || st.Voter != v.addr || st.Revision != 7 || st.LastNack != "" {
		t.Errorf("%+v", st)
	}
}

func TestINV35_RefusedPushesLeaveTheLastGoodBundle(t *testing.T) {
	for name, c := range map[string]struct {
		push   func(*world, *book) *controlv1.Push
		reason string
	}{
		"bad signature": {func(w *world, b *book) *controlv1.Push {
			p := b.delta(nil, tenantRow(20, "ie1"))
			p.Seal.Signature[3] ^= 1
			return p
		}, badSignature},
		"another root": {func(w *world, b *book) *controlv1.Push {
			b.signer = w.rogue
			return b.delta(nil, tenantRow(20, "ie1"))
		}, badSignature},
		"another region": {func(w *world, b *book) *controlv1.Push {
			b.region = "us1"
			return b.delta(nil, tenantRow(20, "ie1"))
		}, badSignature},
		"no seal": {func(w *world, b *book) *controlv1.Push {
			p := b.delta(nil, tenantRow(20, "ie1"))
			p.Seal = nil
			return p
		}, badSignature},
		"lower revision": {func(w *world, b *book) *controlv1.Push {
			b.revision = 4
			return b.snapshot(1000)[0]
		}, belowFloor},
		"rows that were not signed": {func(w *world, b *book) *controlv1.Push {
			p := b.delta(nil, tenantRow(20, "ie1"))
			p.GetDelta().Rows = append(p.GetDelta().Rows, b.put(tenantRow(21, "ie1")))
			return p
		}, badHash},
		"rows left out": {func(w *world, b *book) *controlv1.Push {
			p := b.delta(nil, tenantRow(20, "ie1"))
			p.GetDelta().Rows = nil
			return p
		}, badHash},
		"a gap": {func(w *world, b *book) *controlv1.Push {
			p := b.delta(nil, tenantRow(20, "ie1"))
			p.GetDelta().FromRevision = 3
			return p
		}, gap},
		"a renewal of another bundle": {func(w *world, b *book) *controlv1.Push {
			b.put(tenantRow(20, "ie1"))
			return b.sealed(&controlv1.Push{})
		}, gap},
		"an unknown field": {func(w *world, b *book) *controlv1.Push {
			p := b.delta(nil, tenantRow(20, "ie1"))
			p.GetDelta().Rows[0] = bytes.Replace(p.GetDelta().Rows[0], []byte(`"slug"`), []byte(`"slog"`), 1)
			return p
		}, badRow},
		"a policy that nobody could have written": {func(_ *world, b *book) *controlv1.Push {
			row := tenantRow(20, "ie1")
			row.Tenant.Policy.Recipients = policy.Recipients{List: []policy.Recipient{{ID: policy.RecipientID(fmt.Sprintf("RP%032x", 1)), Region: "us1",
				Purpose: "analytics", Transforms: policy.DefaultTransforms, Threshold: 1, Colluding: 1}}}
			return b.delta(nil, row)
		}, badRow},
		"such a policy in a snapshot": {func(_ *world, b *book) *controlv1.Push {
			row := tenantRow(20, "ie1")
			row.Tenant.Policy.Access.MaxDuration = 365 * 24 * 3600
			b.put(row)
			b.revision++
			return b.snapshot(1000)[0]
		}, badRow},
		"part out of order": {func(w *world, b *book) *controlv1.Push {
			b.revision++
			return b.snapshot(5)[1]
		}, badRow},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			v := w.voter(mtls.ControlPlane)
			n, b := w.node(v), w.book(8)
			b.revision = 5
			f, s := n.synced(v, b)
			nacked(t, s.push(t, c.push(w, b)), 5, c.reason)
			if f.Current().Revision != 5 || f.Status().LastNack != c.reason {
				t.Fatalf("status %+v", f.Status())
			}
			if _, ok := f.Current().Tenant(tenantID(20)); ok {
				t.Fatal("a refused row is served")
			}
			// What was sent before the refusal arrived is skipped, and a whole bundle heals.
			b.signer, b.region, b.revision = w.signer, "ie1", 9
			delete(b.rows, "t/"+string(tenantID(20))) // what was wrong is corrected
			s.pushes <- b.sealed(&controlv1.Push{Nonce: 99})
			healed := b.snapshot(1000)[0]
			acked(t, s.push(t, healed), 9)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if again := n.open(); again.Current() == nil || again.Current().Revision != 9 {
				t.Fatal("the healed bundle was not kept")
			}
		})
	}
}

func TestResumeAfterARestart(t *testing.T) {
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	n, b := w.node(v), w.book(10)
	f, s := n.synced(v, b)
	for i := 20; i < 25; i++ {
		acked(t, s.push(t, b.delta(nil, tenantRow(i, "ie1"))), b.revision)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	v.server.Stop() // offline: the node starts without the control plane
	again := n.open()
	if again.Current() == nil || again.Current().Revision != 6 {
		t.Fatalf("%+v", again.Status())
	}
	if _, ok := again.Current().Set.Rules(tenantID(24)); !ok {
		t.Fatal("a delta was lost")
	}
	if age := again.Age(); age < 0 || age > policy.FreshFor/2 {
		t.Fatalf("age %v after a restart", age)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	v2 := w.voter(mtls.ControlPlane)
	n.o.ControlPlane = []string{v2.addr}
	third := n.open()
	third.Start()
	hash := b.hash()
	if h := v2.next(t).hello; h.GetLastRevision() != 6 || h.GetStateHash() != hex.EncodeToString(hash[:]) {
		t.Fatalf("resumed with %v", h)
	}
}

func TestINV35_FloorHoldsWhenTheCacheIsTamperedWith(t *testing.T) {
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	n, b := w.node(v), w.book(10)
	f, s := n.synced(v, b)
	old, err := os.ReadFile(n.cachePath())
	if err != nil {
		t.Fatal(err)
	}
	acked(t, s.push(t, b.delta(nil, tenantRow(20, "ie1"))), 2)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(n.cachePath())
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte { c := bytes.Clone(good); c[at] ^= 1; return c }
	for name, raw := range map[string][]byte{
		"rolled back":   old,
		"cut to a part": good[:headerSize+20],
		"last frame":    flip(len(good) - 1),
		"first frame":   flip(headerSize + 30),
		"file id":       flip(headerSize - 1),
		"magic":         flip(0),
		"empty":         {},
	} {
		if err := os.WriteFile(n.cachePath(), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		f := n.open()
		if f.Current() != nil {
			t.Errorf("%s: revision %d is served", name, f.Current().Revision)
		}
		if f.replica.floor != 2 {
			t.Errorf("%s: floor is %d", name, f.replica.floor)
		}
		_ = f.Close()
	}
	n.o.ControlPlane = []string{v.addr}
	f = n.open()
	f.Start()
	s = v.next(t)
	if s.hello.GetLastRevision() != 0 {
		t.Errorf("with a damaged cache the node asked for a delta: %v", s.hello)
	}
	b.revision = 1
	nacked(t, s.push(t, b.snapshot(1000)[0]), 0, belowFloor)
	b.revision = 2
	acked(t, s.push(t, b.snapshot(1000)[0]), 2)
}

func TestINV03_TheCacheOpensOnlyUnderItsRegionsKeyAndShowsNothing(t *testing.T) {
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	n := w.node(v)
	f, _ := n.synced(v, w.book(3))
	_ = f.Close()
	for _, file := range []string{cacheFile, contactFile} {
		raw, err := os.ReadFile(filepath.Join(n.o.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"tenant-aa", "TN0000", "ie1", "floor"} {
			if bytes.Contains(raw, []byte(word)) {
				t.Errorf("%s shows %q", file, word)
			}
		}
	}
	other := w.node(v) // another keyring
	other.o.Dir = n.o.Dir
	if f := other.open(); f.Current() != nil {
		t.Fatal("another key opened the cache")
	}
}

func TestATornLastFrameIsNotTheLastGoodBundle(t *testing.T) {
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	n := w.node(v)
	f, _ := n.synced(v, w.book(3))
	_ = f.Close()
	file, err := os.OpenFile(n.cachePath(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte{0, 0, 1, 0, 7, 7, 7}); err != nil { // a crash in the middle of an append
		t.Fatal(err)
	}
	_ = file.Close()
	for range 2 { // the cut is durable
		f := n.open()
		if f.Current() == nil || f.Current().Revision != 1 {
			t.Fatalf("%+v", f.Status())
		}
		_ = f.Close()
	}
}

func TestFollowsTheLeaderHint(t *testing.T) {
	w := newWorld(t)
	a, b := w.voter(mtls.ControlPlane), w.voter(mtls.ControlPlane)
	a.leader.Store(&b.addr)
	n := w.node(a, b)
	n.open().Start()
	b.next(t)
}

func TestINV12_OnlyAControlPlaneIsFollowed(t *testing.T) {
	w := newWorld(t)
	fake, real := w.voter(mtls.DataPlane), w.voter(mtls.ControlPlane)
	n := w.node(fake, real)
	n.open().Start()
	real.next(t)
	if len(fake.sessions) != 0 {
		t.Fatal("a node subscribed to another node")
	}
}

func TestINV06_TheRegionIsTheCertificates(t *testing.T) {
	w := newWorld(t)
	n := w.node(w.voter(mtls.ControlPlane))
	n.o.Region = "us1"
	if _, err := Open(n.o); err == nil {
		t.Fatal("a feed for another region than the certificate's was opened")
	}
}

func TestUnwritableStorageIsNacked(t *testing.T) {
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	n, b := w.node(v), w.book(3)
	f, s := n.synced(v, b)
	if err := os.RemoveAll(n.o.Dir); err != nil {
		t.Fatal(err)
	}
	nacked(t, s.push(t, b.delta(nil, tenantRow(9, "ie1"))), 1, noStorage)
	if f.Current().Revision != 1 {
		t.Fatal("a bundle that is not durable is served")
	}
	if err := os.MkdirAll(n.o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	acked(t, s.push(t, b.snapshot(1000)[0]), 2)
}

func TestAStreamThatEndsIsOpenedAgain(t *testing.T) {
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	n, b := w.node(v), w.book(3)
	_, s := n.synced(v, b)
	close(s.pushes)
	if h := v.next(t).hello; h.GetLastRevision() != 1 {
		t.Fatalf("resumed with %v", h)
	}
}

func TestABigTailOfDeltasAsksForASnapshot(t *testing.T) {
	c := &cache{base: 100, size: 100 + minCompact}
	if c.stale() {
		t.Error("stale at the limit")
	}
	if c.size++; !c.stale() {
		t.Error("not stale past the limit")
	}
}
