package feed

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

func keyID(i int) policy.KeyID { return policy.KeyID(fmt.Sprintf("SK%032x", i)) }

// edited is a tenant's row after a change.
func edited(i int, change func(*policy.TenantRow)) policy.Row {
	r := tenantRow(i, "ie1")
	change(r.Tenant)
	return r
}

func noKeys(t *policy.TenantRow)    { t.Keys = nil }
func suspended(t *policy.TenantRow) { t.State = policy.TenantSuspended }
func tight(t *policy.TenantRow) {
	t.Policy.Classes[policy.CallRecord] = policy.ClassRule{Mode: policy.Sealed, Retention: 10}
}
func loose(t *policy.TenantRow) {
	t.Policy.Classes[policy.CallRecord] = policy.ClassRule{Mode: policy.Sealed, Retention: 1000}
}

// pushAll sends a snapshot and gives the answer to its last part.
func (s *session) pushAll(t *testing.T, pushes []*controlv1.Push) *controlv1.NodeMessage {
	t.Helper()
	for _, p := range pushes[:len(pushes)-1] {
		s.push(t, p)
	}
	return s.push(t, pushes[len(pushes)-1])
}

func keptIn(m *controlv1.NodeMessage) (out []string) {
	for _, k := range m.GetAck().GetKept() {
		out = append(out, k.GetWhat()+" "+k.GetId())
	}
	return out
}

func (f *Feed) retention(i int) policy.Seconds {
	row, _ := f.Current().tenantRow(tenantID(i))
	return row.Policy.Classes[policy.CallRecord].Retention
}

// restored is a node that has seen key 1 revoked, tenant 2 tightened and tenant 3
// suspended, and then gets the control plane of before, in a new epoch, with a
// key 9 that was issued in it.
func restored(t *testing.T) (n *node, v *voter, b *book, f *Feed, s *session, m *controlv1.NodeMessage) {
	t.Helper()
	w := newWorld(t)
	v = w.voter(mtls.ControlPlane)
	n = w.node(v)
	b = w.book(5)
	b.put(edited(2, loose))
	f, s = n.synced(v, b)
	acked(t, s.push(t, b.delta(nil, edited(1, noKeys), edited(2, tight), edited(3, suspended))), b.revision)
	b.put(tenantRow(1, "ie1"))
	b.put(edited(2, loose))
	b.put(tenantRow(3, "ie1"))
	b.put(edited(4, func(r *policy.TenantRow) {
		k := r.Keys[0]
		k.ID, k.Epoch = keyID(9), 2
		r.Keys = append(r.Keys, k)
	}))
	b.revision = policy.RevisionOf(2, 2)
	m = s.pushAll(t, b.snapshot(2))
	acked(t, m, b.revision)
	return n, v, b, f, s, m
}

func (f *Feed) guards(t *testing.T, when string) {
	t.Helper()
	c := f.Current()
	if _, ok := c.Key(keyID(1)); ok {
		t.Errorf("%s: a revoked key is back", when)
	}
	for _, i := range []int{0, 2, 3, 4, 9} {
		if _, ok := c.Key(keyID(i)); !ok {
			t.Errorf("%s: key %d, which nobody revoked, is gone", when, i)
		}
	}
	if r := f.retention(2); r != 10 {
		t.Errorf("%s: the tighter policy is gone: retention %d", when, r)
	}
	if tn, _ := c.Tenant(tenantID(3)); tn.State != policy.TenantSuspended {
		t.Errorf("%s: the suspended tenant is %s", when, tn.State)
	}
}

func TestINV22_ARestoredControlPlaneResurrectsNothing(t *testing.T) {
	n, v, b, f, s, m := restored(t)
	f.guards(t, "at once")
	want := []string{"KEY " + string(keyID(1)), "TENANT " + string(tenantID(2)), "TENANT " + string(tenantID(3))}
	if have := keptIn(m); !slices.Equal(have, want) {
		t.Errorf("the node says that it keeps %v, want %v", have, want)
	}
	// A change of something else in the tenant does not free it, nor does a restart.
	acked(t, s.push(t, b.delta(nil, edited(2, func(r *policy.TenantRow) { loose(r); r.Keys = append(r.Keys, issued(12)) }))), b.revision)
	f.guards(t, "after a change")
	check(t, f.Close())
	f = n.open()
	f.guards(t, "after a restart")
	f.Start()
	s = v.next(t)
	if s.hello.GetLastRevision() != b.revision {
		t.Fatalf("the node asks for what follows %d, not %d", s.hello.GetLastRevision(), b.revision)
	}
	// The operator does what the violations say.
	m = s.push(t, b.delta(nil, edited(1, noKeys), edited(2, tight), edited(3, suspended)))
	acked(t, m, b.revision)
	if have := keptIn(m); len(have) != 0 {
		t.Errorf("nothing is offered any more, and the node keeps %v", have)
	}
	// From then on the control plane rules again, but the key never comes back.
	acked(t, s.push(t, b.delta(nil, tenantRow(1, "ie1"), tenantRow(3, "ie1"), edited(2, loose))), b.revision)
	if tn, _ := f.Current().Tenant(tenantID(3)); tn.State != policy.TenantActive || f.retention(2) != 1000 {
		t.Errorf("tenant 3 is %s, retention %d", tn.State, f.retention(2))
	}
	if _, ok := f.Current().Key(keyID(1)); ok {
		t.Error("the revoked key came back later")
	}
	// A second restore changes nothing of that.
	b.revision = policy.RevisionOf(3, 1)
	acked(t, s.pushAll(t, b.snapshot(3)), b.revision)
	if _, ok := f.Current().Key(keyID(1)); ok {
		t.Error("the revoked key came back in the third epoch")
	}
}

func issued(i int) policy.APIKey {
	k := tenantRow(i, "ie1").Tenant.Keys[0]
	k.Tenant, k.Epoch = tenantID(2), 2
	return k
}

// A crash between guard and rows leaves neither out.
func TestINV22_TheGuardIsDurableBeforeTheRows(t *testing.T) {
	n, _, _, f, _, _ := restored(t)
	check(t, f.Close())
	c, err := newCache(n.o.Dir, must(n.keys.Named(keyName))(t), cluster+"/ie1\n")
	check(t, err)
	g, err := c.loadGuard()
	check(t, err)
	if len(g.Keys) != 1 || len(g.Tenants) != 2 {
		t.Fatalf("%+v", g)
	}
	// A guard that does not open is not taken for none.
	unwritten(t)
	path := filepath.Join(n.o.Dir, guardFile)
	raw, err := os.ReadFile(path)
	check(t, err)
	for id := range g.Tenants { // whole ids: two letters stand in ciphertext by chance
		if strings.Contains(string(raw), string(id)) {
			t.Error("the guard is readable")
		}
	}
	raw[len(raw)-1] ^= 1
	check(t, os.WriteFile(path, raw, 0o600))
	if _, err := Open(n.o); err == nil || !strings.Contains(err.Error(), "backup.md") {
		t.Errorf("a damaged guard: %v", err)
	}
}

// unwritten is the crash, or the full disk, between the two.
func unwritten(t *testing.T) {
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	n := w.node(v)
	b := w.book(3)
	_, s := n.synced(v, b)
	acked(t, s.push(t, b.delta(nil, edited(1, noKeys))), b.revision)
	check(t, os.Remove(n.cachePath()))
	check(t, os.MkdirAll(filepath.Join(n.cachePath(), "in the way"), 0o700))
	b.put(tenantRow(1, "ie1"))
	b.revision = policy.RevisionOf(2, 2)
	nacked(t, s.pushAll(t, b.snapshot(2)), 2, noStorage)
	c, err := newCache(n.o.Dir, must(n.keys.Named(keyName))(t), cluster+"/ie1\n")
	check(t, err)
	if g, err := c.loadGuard(); err != nil || g.empty() {
		t.Errorf("the rows were being written before the guard: %+v, %v", g, err)
	}
}

func TestNoPushLeadsFromOneEpochIntoAnother(t *testing.T) {
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	b := w.book(3)
	f, s := w.node(v).synced(v, b)
	next := policy.RevisionOf(2, 2)
	b.revision = next - 1
	d := b.delta(nil, tenantRow(1, "ie1"))
	d.GetDelta().FromRevision = 1
	nacked(t, s.push(t, b.sealed(d)), 1, gap)
	// A snapshot that begins in the old epoch, where nothing is judged, and ends in the new.
	b.revision = 1
	pushes := b.snapshot(2)
	last := pushes[len(pushes)-1]
	b.revision = next
	b.sealed(last)
	nacked(t, s.pushAll(t, pushes), 1, gap)
	if f.Current().Revision != 1 {
		t.Errorf("the bundle is at %d", f.Current().Revision)
	}
}

// A tenant that signs is kept whole, and the rest of the bundle is taken.
func ending(s policy.TenantState) func(*policy.TenantRow) {
	return func(r *policy.TenantRow) {
		r.State, r.Policy, r.Keys, r.HomeURL = s, nil, nil, ""
		r.Purge = &policy.PurgeOrder{ID: "OP00000000000000000000000000000001"}
	}
}

// A tenant whose end this node has heard of stays ended when a backup of before is
// restored, with its order; and an end is never too loose, also of a suspended one.
func TestINV22_ARestoreBringsNoEndedTenantBack(t *testing.T) {
	w := newWorld(t)
	v := w.voter(mtls.ControlPlane)
	n := w.node(v)
	b := w.book(6)
	f, s := n.synced(v, b)
	acked(t, s.push(t, b.delta(nil, edited(1, ending(policy.TenantPurging)), edited(2, ending(policy.TenantDeleted)),
		edited(3, suspended), edited(4, ending(policy.TenantPurged)))), b.revision)
	b.put(tenantRow(1, "ie1"))
	b.put(edited(2, suspended))
	b.put(edited(3, ending(policy.TenantPurging)))
	b.put(edited(4, ending(policy.TenantPurging)))
	b.revision = policy.RevisionOf(2, 2)
	m := s.pushAll(t, b.snapshot(2))
	acked(t, m, b.revision)
	if have, want := keptIn(m), []string{"TENANT " + string(tenantID(1)), "TENANT " + string(tenantID(2))}; !slices.Equal(have[max(0, len(have)-2):], want) {
		t.Errorf("the node says that it keeps %v, want %v", have, want)
	}
	look := func(when string) {
		t.Helper()
		for i, want := range map[int]policy.TenantState{1: policy.TenantPurging, 2: policy.TenantDeleted, 3: policy.TenantPurging, 4: policy.TenantPurging} {
			row, ok := f.Current().tenantRow(tenantID(i))
			if !ok || row.State != want || row.Purge == nil || row.Policy != nil {
				t.Errorf("%s: tenant %d is %+v", when, i, row)
			}
			if _, ok := f.Current().Key(keyID(i)); ok {
				t.Errorf("%s: a key of tenant %d works", when, i)
			}
		}
	}
	look("at once")
	check(t, f.Close())
	f = n.open()
	look("after a restart")
	f.Start()
	s = v.next(t)
	m = s.push(t, b.delta(nil, edited(1, ending(policy.TenantPurging)), edited(2, ending(policy.TenantPurging))))
	acked(t, m, b.revision)
	for _, k := range keptIn(m) {
		if strings.HasPrefix(k, "TENANT") {
			t.Errorf("the end is ordered again, and the node keeps %s", k)
		}
	}
}

func TestINV22_ARestoredTenantThatSignsIsKept(t *testing.T) {
	r := newRealm(t)
	v := r.voter(mtls.ControlPlane)
	n := r.node(v)
	b := r.book(2)
	b.put(r.signed(5))
	f, s := n.synced(v, b)
	b.put(r.signed(4, widen)) // of before
	b.put(edited(1, tight))
	b.revision = policy.RevisionOf(2, 2)
	m := s.pushAll(t, b.snapshot(2))
	acked(t, m, b.revision)
	if have := keptIn(m); !slices.Equal(have, []string{"TENANT " + string(tenantID(0))}) {
		t.Errorf("kept: %v", have)
	}
	if row := f.replica.had("t/" + string(tenantID(0))); row == nil || row.Signers.Sequence != 5 {
		t.Errorf("what the tenant signed last is gone: %+v", row)
	}
	if f.retention(1) != 10 {
		t.Error("the rest of the bundle was not taken")
	}
	// Left out altogether, by a backup of before it was there.
	delete(b.rows, "t/"+string(tenantID(0)))
	b.revision = policy.RevisionOf(3, 1)
	acked(t, s.pushAll(t, b.snapshot(2)), b.revision)
	check(t, f.Close())
	f = n.open()
	if row := f.replica.had("t/" + string(tenantID(0))); row == nil || row.Signers.Sequence != 5 {
		t.Errorf("after a restart: %+v", row)
	}
	f.Start()
	s = v.next(t)
	m = s.push(t, b.delta(nil, r.signed(6)))
	acked(t, m, b.revision)
	if have := keptIn(m); len(have) != 0 {
		t.Errorf("it has signed anew, and the node keeps %v", have)
	}
}

// What a restore has forgotten can be told to the control plane again in any order:
// the node takes the tenant's rows as soon as nothing is missing of what it knows.
func TestINV22_ForgottenWithdrawalsAreToldAgainInAnyOrder(t *testing.T) {
	r := newRealm(t)
	known, forgotten := secret(t), secret(t)
	row := func(sequence uint64, approvers, withdrawn []ed25519.PrivateKey) policy.Row {
		out := r.signed(sequence)
		s := out.Tenant.Signers
		for i, key := range approvers {
			k := r.approver(out.Tenant.ID, key, fmt.Sprintf("PR%032x", 1+i%2))
			s.Approvers = append(s.Approvers, k)
		}
		for _, key := range withdrawn {
			w := policy.Withdrawal{Key: policy.KeyIDOf(key.Public().(ed25519.PublicKey))}
			w.Signature = policy.Sign(r.tenantKey, w.Statement(cluster, out.Tenant.ID))
			s.Withdrawn = append(s.Withdrawn, w)
		}
		return out
	}
	keys := func(k ...ed25519.PrivateKey) []ed25519.PrivateKey { return k }
	v := r.voter(mtls.ControlPlane)
	n := r.node(v)
	b := r.book(2)
	b.put(row(5, keys(known, forgotten), keys(forgotten, known)))
	f, s := n.synced(v, b)

	b.put(row(5, keys(known), keys(known))) // the backup knows one; its withdrawal was repeated
	b.revision = policy.RevisionOf(2, 2)
	m := s.pushAll(t, b.snapshot(2))
	acked(t, m, b.revision)
	kept := []string{"TENANT " + string(tenantID(0))}
	look := func(when string, m *controlv1.NodeMessage, want []string) {
		t.Helper()
		if have := keptIn(m); !slices.Equal(have, want) {
			t.Errorf("%s: the node keeps %v, want %v", when, have, want)
		}
		if s := f.Current().Signers(tenantID(0)); len(s.Withdrawn) != 2 {
			t.Errorf("%s: %d withdrawals are known, want 2", when, len(s.Withdrawn))
		}
	}
	look("restored", m, kept)
	look("enrolled again", s.push(t, b.delta(nil, row(5, keys(known, forgotten), keys(known)))), kept)
	look("withdrawn again", s.push(t, b.delta(nil, row(5, keys(known, forgotten), keys(known, forgotten)))), nil)
	look("the policy is signed anew", s.push(t, b.delta(nil, row(6, keys(known, forgotten), keys(known, forgotten)))), nil)
	if got := f.replica.had("t/" + string(tenantID(0))); got == nil || got.Signers.Sequence != 6 {
		t.Errorf("the tenant's row stands still: %+v", got)
	}
}

func secret(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(nil)
	check(t, err)
	return k
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T { t.Helper(); check(t, err); return v }
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
