package store

import (
	"testing"

	"github.com/domicile-io/domicile/policy"
)

func raised(epoch uint64) RaiseEpoch {
	return RaiseEpoch{ClusterID: clusterID, Epoch: epoch, Cause: CauseRestore, Voter: "cp1", Source: hexHash("manifest"),
		Tokens: []Token{{SHA256: hexHash("new"), Principal: id[string](policy.KindPrincipal, 9), Scope: scope("operator", "")}}}
}

func TestAnEpochVoidsWhatWasGivenOut(t *testing.T) {
	f := seeded(t)
	tn := f.tenant(1, "ie1")
	p := got(f.Policy(tn.ID))(t)
	f.must(CreateToken{Token: Token{SHA256: hexHash("old"), Principal: id[string](policy.KindPrincipal, 2), Scope: scope("auditor", "")}})
	pending := addChange(1, p, loosened(p.ResidencyPolicy))
	f.must(pending)
	kept := f.stamp()
	kept.IdempotencyKey, kept.RequestHash = uuid(7), hexHash("7")
	first := f.applyStamped(kept, CreateKey{Key: apiKey(1, tn.ID, "ie1", policy.RoleIngest)})
	before := f.Revision()

	res := f.must(raised(2))
	want := policy.RevisionOf(2, before+1)
	if e := body[Epoch](t, res); e.Epoch != 2 || e.Revision != want || f.Revision() != want || res.Revision != want {
		t.Fatalf("%+v, revision %d, want %d", e, f.Revision(), want)
	}
	for _, token := range []string{"old", "operator"} {
		if _, err := f.TokenByHash(hexHash(token)); !isReason(err, policy.NotFound) {
			t.Errorf("token %s of the former epoch: %v", token, err)
		}
	}
	if _, err := f.TokenByHash(hexHash("new")); err != nil {
		t.Error(err)
	}
	if c := got(f.Change(pending.ID))(t); c.State != ChangeLapsed || c.ETag != etagOf(want) {
		t.Errorf("the pending change is %s, etag %s", c.State, c.ETag)
	}
	if again := f.applyStamped(kept, CreateKey{Key: apiKey(1, tn.ID, "ie1", policy.RoleIngest)}); !again.Replayed || again.Revision != first.Revision {
		t.Errorf("the idempotency record is gone: %+v", again)
	}
	// A change goes on from there, its etag is none of before, and the log is dense.
	next := f.must(addChange(2, p, loosened(p.ResidencyPolicy)))
	if next.Revision != want+1 {
		t.Errorf("the next change has revision %d, want %d", next.Revision, want+1)
	}
	leaves := auditOf(t, f.Store)
	if l := leaves[before]; l.Action != "cluster.restore" || l.Index != before || l.Revision != want {
		t.Errorf("the epoch's record is %+v", l)
	}
	check(t, f.view(checkAudit))
}

func TestINV35_NoDeltaLeadsIntoAnEpoch(t *testing.T) {
	f := seeded(t)
	f.tenant(1, "ie1")
	before := f.Revision()
	f.must(raised(3))
	f.tenant(2, "ie1")
	for _, from := range []uint64{before, before - 1, policy.RevisionOf(2, before)} {
		if _, err := f.RowsChanged("ie1", from); !isReason(err, policy.SnapshotGone) {
			t.Errorf("a delta leads from %d into the epoch: %v", from, err)
		}
	}
	d, err := f.RowsChanged("ie1", policy.RevisionOf(3, before+1))
	if err != nil || len(d.Rows) != 1 {
		t.Errorf("within the epoch: %+v, %v", d, err)
	}
}

func TestEpochRefusals(t *testing.T) {
	f := seeded(t)
	f.must(raised(2))
	for name, edit := range map[string]func(*RaiseEpoch){
		"the same epoch":    func(p *RaiseEpoch) { p.Epoch = 2 },
		"an earlier epoch":  func(p *RaiseEpoch) { p.Epoch = 1 },
		"beyond the last":   func(p *RaiseEpoch) { p.Epoch = policy.MaxEpoch + 1 },
		"a foreign cluster": func(p *RaiseEpoch) { p.ClusterID = id[string](policy.KindCluster, 99) },
		"no cause":          func(p *RaiseEpoch) { p.Cause = "because" },
		"no voter":          func(p *RaiseEpoch) { p.Voter = "+353 86 123" },
		"no source":         func(p *RaiseEpoch) { p.Source = "" },
		"a bad token":       func(p *RaiseEpoch) { p.Tokens[0].Role = "Operator!" },
	} {
		p := raised(3)
		edit(&p)
		before := contents(t, f.Store)
		if r := f.apply(p); r.Err == nil || r.Err.Reason != policy.InvalidArgument {
			t.Errorf("%s: %+v", name, r)
		}
		if contents(t, f.Store) != before {
			t.Errorf("%s left something behind", name)
		}
	}
	if r := empty(t).apply(raised(2)); r.Err == nil || r.Err.Reason != policy.NotFound {
		t.Errorf("without a cluster: %+v", r)
	}
}
