package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/audit"
	auditor "github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/policy"
)

// auditOf reads the whole log and checks it with the stand-alone verifier
// against the root that the store would sign.
func auditOf(t testing.TB, s *Store) []auditor.Leaf {
	t.Helper()
	check(t, s.view(checkAudit))
	size, root, err := s.AuditRoot()
	check(t, err)
	if size != policy.CountOf(s.Revision()) {
		t.Fatalf("the log has %d leaves at revision %d", size, s.Revision())
	}
	l, err := auditor.NewLog(auditor.Checkpoint{Origin: "o", Size: size, Root: auditor.Hash(root)})
	check(t, err)
	var out []auditor.Leaf
	for start := uint64(0); start < size; {
		page, of, err := s.AuditLeaves(start, 3)
		check(t, err)
		if of != size || len(page) == 0 {
			t.Fatalf("page from %d of %d: %d leaves", start, of, len(page))
		}
		for _, record := range page {
			check(t, l.Add(record))
			leaf, err := auditor.ParseLeaf(record)
			check(t, err)
			out = append(out, leaf)
		}
		start += uint64(len(page))
	}
	check(t, l.Done())
	return out
}

func TestINV27_EachChangeHasOneLeafAndNothingElseHas(t *testing.T) {
	f := empty(t)
	auditOf(t, f.Store)
	applied := map[uint64][]byte{} // revision → command
	for _, e := range history(t) {
		before := f.Revision()
		rs, err := f.Apply([]Entry{e})
		check(t, err)
		leaves := auditOf(t, f.Store)
		if f.Revision() == before {
			continue // refused, repeated, empty or without effect: no leaf, as auditOf has checked
		}
		applied[rs[0].Revision] = e.Data
		l := leaves[len(leaves)-1]
		c, err := Decode(e.Data)
		check(t, err)
		action, resource := c.Payload.subject()
		sum := sha256.Sum256(e.Data)
		if l.Actor != c.Stamp.Actor || !l.Time.Equal(c.Stamp.Now) || l.Action != string(action) || l.Resource != resource || l.Command != hex.EncodeToString(sum[:]) {
			t.Errorf("revision %d: %+v", rs[0].Revision, l)
		}
	}
	if len(applied) < 8 {
		t.Fatalf("only %d changes: the history is too short to show anything", len(applied))
	}
}

// What has no effect and is not refused either leaves no leaf behind.
func TestINV27_NoEffectNoLeaf(t *testing.T) {
	f := seeded(t)
	a := f.tenant(1, "ie1")
	p := got(f.Policy(a.ID))(t)
	change := addChange(1, p, loosened(p.ResidencyPolicy))
	f.must(change)
	before := auditOf(t, f.Store)
	change.ID = id[string](policy.KindChange, 2)
	for _, same := range []Payload{PutPolicy{Tenant: a.ID, IfMatch: p.ETag, Policy: p.ResidencyPolicy}, change,
		UpdateTenant{ID: a.ID, IfMatch: a.ETag, BillingCountry: a.BillingCountry}, Nop{}} {
		if r := f.must(same); r.Revision != f.Revision() || len(auditOf(t, f.Store)) != len(before) {
			t.Errorf("%T without effect has a leaf", same)
		}
	}
}

// Each kind's leaf names the object that a reader would look for.
func TestEveryKindHasItsActionAndResource(t *testing.T) {
	tn, ch, sk, pr := id[policy.TenantID](policy.KindTenant, 1), id[string](policy.KindChange, 2), id[policy.KeyID](policy.KindKey, 3), id[string](policy.KindPrincipal, 4)
	op := id[string](policy.KindOperation, 7)
	nd, vi := id[string](policy.KindNode, 5), id[string](policy.KindViolation, 6)
	want := map[string]Payload{
		"cluster.init " + clusterID:          InitCluster{ClusterID: clusterID},
		"tenant.create " + string(tn):        CreateTenant{ID: tn},
		"tenant.update " + string(tn):        UpdateTenant{ID: tn},
		"policy.put " + string(tn):           PutPolicy{Tenant: tn},
		"change.add " + ch:                   AddChange{ID: ch, Tenant: tn},
		"change.reject " + ch:                RejectChange{ID: ch},
		"change.approve " + ch:               Approve{ID: ch},
		"signing_key.enrol " + string(tn):    EnrolKey{Tenant: tn},
		"signing_key.enrol TN2":              EnrolTenantKey{EnrolKey: EnrolKey{Tenant: "TN2"}},
		"key.create " + string(sk):           CreateKey{Key: policy.APIKey{ID: sk, Tenant: tn}},
		"key.delete " + string(sk):           DeleteKey{ID: sk, Tenant: tn},
		"region.put ie1":                     PutRegion{Region: policy.Region{ID: "ie1"}},
		"cluster.restore " + clusterID:       RaiseEpoch{ClusterID: clusterID, Cause: CauseRestore},
		"cluster.recover " + clusterID:       RaiseEpoch{ClusterID: clusterID, Cause: CauseRecover},
		"basis.put SCC":                      PutBasis{ID: "SCC"},
		"basis.drill SCC":                    DrillBasis{ID: "SCC"},
		"tenant.suspend " + string(tn):       SetTenantState{ID: tn, State: policy.TenantSuspended},
		"tenant.purge " + string(tn):         PurgeTenant{ID: tn},
		"tenant.receipt " + string(tn):       RecordPurge{Receipt: policy.PurgeReceipt{Tenant: tn}},
		"tenant.delete " + string(tn):        DeleteTenant{ID: tn},
		"tenant.excuse " + nd:                ExcuseNode{Tenant: tn, Node: policy.NodeID(nd)},
		"operation.begin " + op:              BeginOperation{ID: op, Kind: OperationBackup},
		"operation.report " + op:             ReportOperation{ID: op, State: OperationRunning},
		"operation.cancel " + op:             CancelOperation{ID: op},
		"change.recontract " + ch:            Recontract{ID: ch, Tenant: tn},
		"signing_key.withdraw " + string(tn): WithdrawApprover{Tenant: tn},
		"tenant.reserve " + string(tn):       ReserveSlug{Tenant: tn},
		"key.sign " + string(sk):             SignKey{ID: sk},
		"feature.put ie1":                    PutFeature{Feature: Feature{Region: "ie1", Name: "voice"}},
		"entity.put IE":                      PutEntity{Entity: Entity{Country: "IE"}},
		"node.register " + nd:                RegisterNode{ID: policy.NodeID(nd), Region: "ie1"},
		"node.admit " + nd:                   AdmitNode{ID: policy.NodeID(nd), Region: "ie1"},
		"node.evict " + nd:                   EvictNode{ID: policy.NodeID(nd)},
		"node_admission.put ie1":             PutNodeAdmission{Region: "ie1"},
		"violation.open " + nd:               SettleViolation{To: ViolationOpen, ID: vi, Resource: nd},
		"violation.acknowledge " + vi:        SettleViolation{To: ViolationAcknowledged, ID: vi},
		"violation.resolve " + nd:            SettleViolation{To: ViolationResolved, Resource: nd},
		"token.create " + pr:                 CreateToken{Token: Token{Principal: pr, Scope: Scope{Tenant: tn}, SHA256: hexHash("x")}},
		"token.revoke " + pr:                 RevokeToken{Principal: pr, IfMatch: "1"},
		"principal.bind " + pr:               BindPrincipal{Principal: Principal{ID: pr, Scope: Scope{Tenant: tn}}},
		"principal.unbind " + pr:             UnbindPrincipal{ID: pr, IfMatch: "1"},
		"bootstrap.use " + pr:                UseBootstrap{SHA256: hexHash("x"), Token: &Token{Principal: pr}},
		"bootstrap.renew " + clusterID:       RenewBootstrap{ClusterID: clusterID},
		"member.invite " + clusterID:         Invite{ClusterID: clusterID},
		"member.join " + nd:                  Join{Node: policy.NodeID(nd)},
		"member.put " + nd:                   PutMember{Node: policy.NodeID(nd)},
		"member.remove " + nd:                RemoveMember{ClusterID: clusterID, Node: policy.NodeID(nd)},
		"member.remove " + clusterID:         RemoveMember{ClusterID: clusterID},
		"cluster.raise_version " + clusterID: RaiseVersion{ClusterID: clusterID},
		" ":                                  Nop{},
	}
	unrecorded := map[Kind]bool{KindNop: true, KindBatch: true} // a batch's items are recorded, each by itself
	covered := map[Kind]bool{KindBatch: true}
	for text, p := range want {
		if action, resource := p.subject(); string(action)+" "+resource != text {
			t.Errorf("%T is recorded as %q, want %q", p, string(action)+" "+resource, text)
		}
		action, resource := p.subject()
		if _, err := (audit.Leaf{Time: time.Unix(1, 0), Actor: actor, Action: action, Resource: resource, Revision: 1, Command: hexHash("x")}).Encode(); err != nil && !unrecorded[p.kind()] {
			t.Errorf("%T could never be applied: %v", p, err)
		}
		covered[p.kind()] = true
	}
	for k := Kind(1); k < 1000; k++ {
		for _, kind := range []Kind{k, k | Ignorable} {
			if decoderOf(kind) != nil && !covered[kind] {
				t.Errorf("kind %d has no row here: add it, so that its leaf says what it is about", kind)
			}
		}
	}
}

// All entries in one transaction give the log that one transaction each gives.
func TestINV32_LogDoesNotDependOnBatches(t *testing.T) {
	one, many := empty(t), empty(t)
	log := history(t)
	_, err := one.Apply(log)
	check(t, err)
	for _, e := range log {
		_, err := many.Apply([]Entry{e})
		check(t, err)
	}
	a, b := auditOf(t, one.Store), auditOf(t, many.Store)
	if !reflect.DeepEqual(a, b) {
		t.Error("the logs differ")
	}
	to := empty(t)
	check(t, to.Restore(bytes.NewReader(snapshotOf(t, one.Store))))
	if !reflect.DeepEqual(auditOf(t, to.Store), a) {
		t.Error("the snapshot carries another log")
	}
}

func TestAuditProofsVerify(t *testing.T) {
	f := empty(t)
	_, err := f.Apply(history(t))
	check(t, err)
	newest := f.Revision()
	roots := map[uint64]auditor.Hash{}
	for size := uint64(1); size <= newest; size++ {
		var tr []audit.Hash
		check(t, f.view(func(tx *bolt.Tx) error {
			h, err := audit.Root(size, hashReader(tx))
			tr = append(tr, h)
			return err
		}))
		roots[size] = auditor.Hash(tr[0])
	}
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.Uint64Range(1, newest).Draw(rt, "size")
		index := rapid.Uint64Range(0, size-1).Draw(rt, "index")
		old := rapid.Uint64Range(1, size).Draw(rt, "old")
		at := func(n uint64) auditor.Checkpoint { return auditor.Checkpoint{Size: n, Root: roots[n]} }
		leaf, of, proof, err := f.AuditInclusion(index, size)
		if err != nil || of != size || auditor.Inclusion(at(size), index, auditor.RecordHash(leaf), hashes(proof)) != nil {
			rt.Fatalf("leaf %d of %d: %v", index, size, err)
		}
		if of, proof, err = f.AuditConsistency(old, size); err != nil || of != size || auditor.Consistency(at(old), at(size), hashes(proof)) != nil {
			rt.Fatalf("%d in %d: %v", old, size, err)
		}
	})
	if _, of, _, err := f.AuditInclusion(0, 0); err != nil || of != newest {
		t.Errorf("newest: %d, %v", of, err)
	}
	_, _, _, err1 := f.AuditInclusion(newest, 0)
	_, _, _, err2 := f.AuditInclusion(0, newest+1)
	_, _, err3 := f.AuditConsistency(0, newest)
	_, _, err4 := f.AuditConsistency(newest, newest-1)
	for _, err := range []error{err1, err2, err3, err4} {
		if !isReason(err, policy.InvalidArgument) {
			t.Errorf("what the log does not hold: %v", err)
		}
	}
	if leaves, size, err := f.AuditLeaves(newest, 10); err != nil || len(leaves) != 0 || size != newest {
		t.Errorf("beyond the end: %d of %d, %v", len(leaves), size, err)
	}
}

// A log of several blocks, in which few hashes are kept, proves like a small one,
// whatever transaction a block ended in, and after a restore.
func TestINV26_ALogOfManyBlocksProves(t *testing.T) {
	f := grown(t, 2*audit.Block, audit.Block)
	to := empty(t)
	check(t, to.Restore(bytes.NewReader(snapshotOf(t, f.Store))))
	for _, s := range []*Store{f.Store, to.Store} {
		auditOf(t, s)
		size, root, err := s.AuditRoot()
		check(t, err)
		newest := auditor.Checkpoint{Size: size, Root: auditor.Hash(root)}
		for index := uint64(0); index < size; index += 97 {
			leaf, of, proof, err := s.AuditInclusion(index, 0)
			if err != nil || of != size || auditor.Inclusion(newest, index, auditor.RecordHash(leaf), hashes(proof)) != nil {
				t.Fatalf("leaf %d of %d: %v", index, size, err)
			}
			var old audit.Hash
			check(t, s.view(func(tx *bolt.Tx) error {
				old, err = audit.Root(index+1, hashReader(tx))
				return err
			}))
			_, proof, err = s.AuditConsistency(index+1, 0)
			if err != nil || auditor.Consistency(auditor.Checkpoint{Size: index + 1, Root: auditor.Hash(old)}, newest, hashes(proof)) != nil {
				t.Fatalf("%d in %d: %v", index+1, size, err)
			}
		}
	}
}

func hashes(in []audit.Hash) (out []auditor.Hash) {
	for _, h := range in {
		out = append(out, auditor.Hash(h))
	}
	return out
}

// What cannot be recorded is not done.
func TestINV27_AChangeThatCannotBeRecordedIsNotMade(t *testing.T) {
	f := seeded(t)
	before := contents(t, f.Store)
	s := f.stamp()
	s.Now = s.Now.AddDate(9000, 0, 0) // RFC 3339 has no such year; it does not survive the command's encoding either
	if _, err := Encode(Command{Stamp: s, Payload: createTenant(1, "ie1")}); err == nil {
		t.Error("a time that no leaf can hold was encoded")
	}
	e := entry{stamp: f.stamp(), before: f.Revision()}
	e.stamp.Actor = "Aoife Kelly"
	if err := e.record(Command{Payload: createTenant(1, "ie1")}); !isReason(err, policy.InvalidArgument) || len(e.writes) != 0 {
		t.Errorf("recorded: %v", err)
	}
	if contents(t, f.Store) != before {
		t.Error("something was left behind")
	}
}

// Log and state that do not end together are found before anything is served.
func TestINV27_LogAndStateEndTogether(t *testing.T) {
	for name, breakIt := range map[string]func(tx *bolt.Tx) error{
		"last leaf removed": func(tx *bolt.Tx) error { return tx.Bucket(bucketLeaves).Delete(numberKey(audit.Block)) },
		"last hash removed": func(tx *bolt.Tx) error {
			return tx.Bucket(bucketHashes).Delete(numberKey(audit.EndSparse(audit.Block) - 1))
		},
		"one leaf too many": func(tx *bolt.Tx) error {
			n := numberKey(audit.Block + 1)
			return tx.Bucket(bucketLeaves).Put(n, seal(bucketLeaves, n, []byte("{}")))
		},
	} {
		f := grown(t, audit.Block, 0)
		check(t, f.update(breakIt))
		path := f.path
		check(t, f.Close())
		if _, err := Open(Options{Path: path}); !errors.Is(err, errCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A commit that was cut before its last write is as if it had never begun:
// neither the change nor its leaf is there, whichever change it was.
func TestINV27_ACommitCutShortLeavesNeitherChangeNorLeaf(t *testing.T) {
	f := empty(t)
	path := filepath.Join(t.TempDir(), "cut.db")
	for _, e := range history(t) {
		before, index := f.Revision(), f.current.Load().applied.Index
		_, err := f.Apply([]Entry{e})
		check(t, errors.Join(err, f.settle()))
		file, err := os.ReadFile(f.path)
		check(t, err)
		check(t, os.WriteFile(path, withoutLastCommit(t, file), 0o600))
		cut, err := Open(Options{Path: path})
		check(t, err)
		if at, _ := cut.Applied(); at != index || cut.Revision() != before {
			t.Fatalf("entry %d: cut to index %d, revision %d; want %d, %d", e.Index, at, cut.Revision(), index, before)
		}
		auditOf(t, cut)
		check(t, cut.Close())
	}
}

// withoutLastCommit spoils the newer of bbolt's two meta pages, which a commit
// writes last.
func withoutLastCommit(t testing.TB, file []byte) []byte {
	t.Helper()
	page := os.Getpagesize()
	const header, txid, checksum = 16, 48, 56 // offsets: of meta in its page, of fields in meta
	at := func(n int) int { return n*page + header }
	newer := 0
	if binary.NativeEndian.Uint64(file[at(1)+txid:]) > binary.NativeEndian.Uint64(file[at(0)+txid:]) {
		newer = 1
	}
	file[at(newer)+checksum] ^= 0xff
	return file
}

// BenchmarkAudit is what the log costs one command: the same change with and
// without its leaf, in batches of 64, without the commit's fsync.
func BenchmarkAudit(b *testing.B) {
	f := seeded(b)
	check(b, f.settle())
	tx, err := f.db.Begin(true)
	check(b, err)
	defer func() { _ = tx.Rollback() }()
	e := entry{tx: tx, stamp: f.stamp(), command: make([]byte, 600)}
	c := Command{Stamp: e.stamp, Payload: createTenant(1, "ie1")}
	b.ReportAllocs()
	for n := uint64(1); b.Loop(); n++ {
		e.before, e.writes = n, e.writes[:0]
		check(b, e.record(c))
		check(b, e.commit())
	}
}
