package server

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

const testCluster = "CL00000000000000000000000000000001"

// source is a real store, fed with commands as the log would, and the feed of ie1.
type source struct {
	t     testing.TB
	store *store.Store
	feed  *feed
	root  ed25519.PublicKey
	index uint64
}

func newSource(t testing.TB) *source {
	t.Helper()
	st, err := store.Open(store.Options{Path: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	pub, root, _ := ed25519.GenerateKey(nil)
	key, private, _ := ed25519.GenerateKey(nil)
	signer, err := bundle.NewSigner(testCluster, private.Seed(), bundle.CertifyKey(root, testCluster, key), pub)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{store: st, signer: signer, log: slog.New(slog.DiscardHandler), dir: t.TempDir(), slots: make(chan struct{}, 1000)}
	s := &source{t: t, store: st, root: pub, feed: newFeed("ie1", policy.Declared, h)}
	sum := sha256.Sum256([]byte("operator"))
	region := func(id policy.RegionID, b policy.Boundary) policy.Region {
		return policy.Region{ID: id, Boundary: b, Country: "IE", Cloud: "aws-x", BackupRegion: "none", Lifecycle: policy.Active}
	}
	s.apply(store.InitCluster{ClusterID: testCluster, Regions: []policy.Region{region("ie1", "eu"), region("us1", "us")},
		Entities: []store.Entity{{Country: "IE", Code: "DOM-IE", SuggestedRegion: "ie1"}},
		Bases:    []store.Basis{{TransferBasis: policy.TransferBasis{ID: "NONE", State: policy.BasisActive}}},
		Tokens:   []store.Token{{SHA256: hex.EncodeToString(sum[:]), Principal: numbered[string](policy.KindPrincipal, 1), Scope: store.Scope{Role: "operator"}}}})
	return s
}

func (s *source) apply(payloads ...store.Payload) {
	s.t.Helper()
	var batch []store.Entry
	for _, p := range payloads {
		data, err := store.Encode(store.Command{Stamp: store.Stamp{Now: time.Unix(1_800_000_000, 0).UTC(), Actor: "PR0000000000000000000000000000000a"}, Payload: p})
		if err != nil {
			s.t.Fatal(err)
		}
		s.index++
		batch = append(batch, store.Entry{Index: s.index, Term: 1, Data: data})
	}
	results, err := s.store.Apply(batch)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			s.t.Fatal(r.Err, r.Err.Fields)
		}
	}
}

func numbered[T ~string](kind policy.IDKind, n int) T { return T(fmt.Sprintf("%s%032x", kind, n)) }

func (s *source) tenant(n int, home policy.RegionID) store.Payload {
	slug := []byte("tenant-aaaa")
	for i, rest := len(slug)-1, n; rest > 0; i, rest = i-1, rest/26 {
		slug[i] = byte('a' + rest%26)
	}
	return store.CreateTenant{ID: numbered[policy.TenantID](policy.KindTenant, n), Slug: policy.Slug(slug), Home: home, BillingCountry: "IE"}
}

func key(tenant, n int) store.Payload {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d", n))
	return store.CreateKey{Key: policy.APIKey{ID: numbered[policy.KeyID](policy.KindKey, n), Tenant: numbered[policy.TenantID](policy.KindTenant, tenant),
		Region: "ie1", Role: policy.RoleReader, SecretSHA256: hex.EncodeToString(sum[:])}}
}

func (s *source) advance() {
	s.t.Helper()
	if err := s.feed.advance(time.Now().Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
}

// reader is a node: it applies what a session would send, and checks each seal.
type reader struct {
	t        interface{ Fatalf(string, ...any) }
	src      *source
	s        *session
	rows     map[string][]byte
	state    bundle.State
	revision uint64
	kinds    []string
	sealed   bool // the latest push was
}

func (s *source) reader(t interface{ Fatalf(string, ...any) }, hello *controlv1.Hello) *reader {
	r := &reader{t: t, src: s, rows: map[string][]byte{}}
	r.subscribe(hello)
	return r
}

func (r *reader) hello() *controlv1.Hello {
	sum := r.state.Hash()
	return &controlv1.Hello{LastRevision: r.revision, StateHash: hex.EncodeToString(sum[:])}
}

func (r *reader) subscribe(hello *controlv1.Hello) {
	r.s = newSession(standing{})
	push, err := r.src.feed.join(context.Background(), r.s, hello, time.Now().Add(time.Minute))
	if err != nil {
		r.t.Fatalf("join: %v", err)
	}
	if push != nil {
		r.take(push)
	}
}

func (r *reader) leave() { r.src.feed.release(r.s); r.src.feed.leave(r.s) }

// one takes one push; false when there is none.
func (r *reader) one() bool {
	push, wait, err := r.src.feed.next(context.Background(), r.s)
	if err != nil {
		r.t.Fatalf("next: %v", err)
	}
	if push != nil {
		r.take(push)
	}
	return wait == nil
}

func (r *reader) drain() {
	for r.one() {
	}
}

func (r *reader) take(push []byte) {
	var p controlv1.Push
	if err := proto.Unmarshal(push, &p); err != nil {
		r.t.Fatalf("%v", err)
	}
	var rows [][]byte
	var removed []string
	switch {
	case p.GetWait() != nil:
		return
	case p.GetPart() != nil:
		r.kinds = append(r.kinds, "snapshot")
		if p.GetPart().GetNumber() == 0 {
			r.rows, r.state = map[string][]byte{}, bundle.State{}
		}
		rows, removed = p.GetPart().GetRows(), p.GetPart().GetRemoved()
	case p.GetDelta() != nil:
		r.kinds = append(r.kinds, "delta")
		if from := p.GetDelta().GetFromRevision(); from != r.revision {
			r.t.Fatalf("a gap: a delta from %d, the node is at %d; %v", from, r.revision, r.kinds)
		}
		rows, removed = p.GetDelta().GetRows(), p.GetDelta().GetRemoved()
	default:
		r.kinds = append(r.kinds, "renewal")
	}
	for _, k := range removed {
		delete(r.rows, k)
		r.state.Remove(k)
	}
	for _, b := range rows {
		row, err := bundle.Decode(b)
		if err != nil {
			r.t.Fatalf("%v", err)
		}
		r.rows[row.RowKey()] = b
		r.state.Put(row.RowKey(), b)
	}
	if r.sealed = p.GetSeal() != nil; !r.sealed {
		return
	}
	st, err := bundle.Verify(&p, bundle.Expect{Cluster: testCluster, Region: "ie1", Root: r.src.root})
	if err != nil || st.StateHash != r.state.Hash() || p.GetRevision() < r.revision {
		r.t.Fatalf("at revision %d after %v: %v; the hash of what is held differs: %v", p.GetRevision(), r.kinds, err, st.StateHash != r.state.Hash())
	}
	r.revision = p.GetRevision()
}

// held compares what the node has with what the store has.
func (r *reader) held() {
	n := 0
	_, err := r.src.store.Rows("ie1", func(row policy.Row) error {
		key, body, err := r.src.feed.row(row)
		if n++; string(r.rows[key]) != string(body) {
			r.t.Fatalf("row %s differs; %v", key, r.kinds)
		}
		return err
	})
	if err != nil || n != len(r.rows) || !r.sealed {
		r.t.Fatalf("%d rows, want %d; %v; %v", len(r.rows), n, err, r.kinds)
	}
}

// TestINV30_SessionsAgreeWithTheStore: whatever changes, and however nodes come,
// read, refuse and go meanwhile, each ends with the store's rows, over pushes
// that follow each other without a gap and are sealed for exactly what is held.
func TestINV30_SessionsAgreeWithTheStore(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue { // each check is a store on disk
		if err := f.Value.Set("12"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := newSource(t)
		tenants, keys, home := 0, 0, []int(nil)
		var nodes []*reader
		for range rapid.IntRange(5, 60).Draw(rt, "steps") {
			var some *reader
			if len(nodes) > 0 {
				some = nodes[rapid.IntRange(0, len(nodes)-1).Draw(rt, "node")]
			}
			switch step := rapid.IntRange(0, 11).Draw(rt, "step"); {
			case step == 0:
				nodes = append(nodes, s.reader(rt, &controlv1.Hello{}))
			case step == 1 && some != nil && some.sealed:
				some.leave()
				some.subscribe(some.hello())
			case step == 2 && some != nil:
				some.s.refused()
				s.feed.refused("STATE_HASH")
			case step == 3:
				if err := s.feed.renew(time.Now().Add(time.Minute)); err != nil {
					rt.Fatalf("%v", err)
				}
			case step == 4: // as after a change too large to list
				s.feed.mu.Lock()
				s.feed.unload()
				s.feed.mu.Unlock()
			case step == 5: // as when the tail has moved on
				s.feed.mu.Lock()
				s.feed.tail.reset()
				s.feed.mu.Unlock()
			case step <= 7:
				var batch []store.Payload
				for range rapid.IntRange(1, 400).Draw(rt, "many") {
					tenants++
					where := []policy.RegionID{"ie1", "us1", "ie1"}[tenants%3]
					if where == "ie1" {
						home = append(home, tenants)
					}
					batch = append(batch, s.tenant(tenants, where))
				}
				s.apply(batch...)
				s.advance()
			case step == 8 && len(home) > 0:
				keys++
				s.apply(key(rapid.SampledFrom(home).Draw(rt, "tenant"), keys))
			case step == 9:
				s.advance()
			case some != nil:
				some.one()
			}
		}
		s.advance()
		for _, n := range nodes {
			n.drain()
			if n.revision < s.feed.revision {
				rt.Fatalf("at %d, the feed at %d", n.revision, s.feed.revision)
			}
			n.held()
			n.leave()
		}
		if len(s.feed.slots) != 0 || s.feed.readers != 0 {
			rt.Fatalf("%d slots and %d readers are left", len(s.feed.slots), s.feed.readers)
		}
	})
}

// A node that was away for longer than the change log reaches gets a snapshot,
// also when the log moves on while the snapshot is on its way; nobody gets two.
func TestResyncAfterCompaction(t *testing.T) {
	s := newSource(t)
	for n := range 100 {
		s.apply(s.tenant(n+1, "ie1"))
	}
	away := s.reader(t, &controlv1.Hello{})
	away.drain()
	away.held()
	hello := away.hello()
	away.leave()
	s.compact(t)
	away.kinds = nil
	away.subscribe(hello)
	away.one() // the first part
	s.compact(t)
	away.drain()
	away.held()
	if len(away.kinds) != 2 || away.kinds[0] != "snapshot" || away.kinds[1] != "snapshot" {
		t.Errorf("got %v, want one snapshot and its end", away.kinds)
	}
	near := away.hello()
	s.apply(s.tenant(500, "ie1"))
	s.advance()
	away.leave()
	away.kinds = nil
	away.subscribe(near)
	if away.held(); len(away.kinds) != 1 || away.kinds[0] != "delta" {
		t.Errorf("a node that was away for a moment got %v", away.kinds)
	}
}

// compact makes more changes than the log holds, of one row of ie1.
func (s *source) compact(t *testing.T) {
	t.Helper()
	for range 11 {
		var batch []store.Payload
		for n := range 500 {
			k := key(1, 1_000_000+n)
			batch = append(batch, k)
		}
		at := s.store.Revision()
		s.apply(batch...)
		batch = nil
		for n := range 500 {
			batch = append(batch, store.DeleteKey{Tenant: numbered[policy.TenantID](policy.KindTenant, 1), ID: numbered[policy.KeyID](policy.KindKey, 1_000_000+n),
				IfMatch: fmt.Sprintf("%x", at+uint64(n)+1)})
		}
		s.apply(batch...)
		s.advance()
	}
}

// A node that does not read is in nobody's way, costs no memory for what it
// misses, and gets all of it at once.
func TestASlowNodeIsCoalesced(t *testing.T) {
	s := newSource(t)
	for n := range 10 {
		s.apply(s.tenant(n+1, "ie1"))
	}
	slow, quick := s.reader(t, &controlv1.Hello{}), s.reader(t, &controlv1.Hello{})
	slow.drain()
	quick.drain()
	quick.kinds, slow.kinds = nil, nil
	for n := range maxTailPushes + 50 {
		s.apply(key(n%10+1, n))
		s.advance()
		if quick.one(); quick.revision != s.store.Revision() {
			t.Fatalf("the quick node is at %d of %d", quick.revision, s.store.Revision())
		}
	}
	if held := s.feed.tail.end() - s.feed.tail.first; held > maxTailPushes {
		t.Errorf("%d pushes are held", held)
	}
	slow.drain()
	slow.held()
	quick.held()
	if len(slow.kinds) != 1 || slow.kinds[0] != "delta" {
		t.Errorf("the slow node got %v", slow.kinds)
	}
}
