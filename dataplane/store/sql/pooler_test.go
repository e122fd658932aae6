package sql_test

import (
	"context"
	"testing"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

// A commit that was carried out and answered with an error by somebody else is not
// one that was not: whoever rewrites would destroy the keys of what is stored.
func TestINV33_ACommitThatAPoolerLostIsUnknown(t *testing.T) {
	var p postgres.Pooler
	s, _ := open(t, postgres.Database(t), openKeys(t), func(o *sql.Options) { o.Dial = p.Dial })
	ctx := context.Background()
	p.Arm()
	recs := []record.Record{storetest.Native(1), storetest.Native(2), storetest.Native(3)}
	if _, err := s.Append(ctx, permit(t, policy.Ingest), recs); !isReason(err, policy.OutcomeUnknown) {
		t.Errorf("append: %v", err)
	}
	calls := everyCall(t, s, store.Query{})
	if p.Armed() || len(calls) != len(recs) {
		t.Fatalf("%d calls are stored: the commit was not carried out", len(calls))
	}
	p.Arm()
	if _, err := s.Rewrite(ctx, permit(t, policy.Erase), store.Rewrite{Calls: []string{calls[0].ID}}); !isReason(err, policy.OutcomeUnknown) {
		t.Errorf("rewrite: %v", err)
	}
	if p.Armed() {
		t.Fatal("a rewrite without a commit")
	}
	if left := everyCall(t, s, store.Query{}); len(left) != len(recs)-1 {
		t.Fatalf("%d calls are left of %d when one was dropped", len(left), len(recs))
	}
}
