package store

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

func opID(n int) string { return id[string](policy.KindOperation, n) }

func TestOperationsEndOnceAndAreNotFloodedByReports(t *testing.T) {
	f := seeded(t)
	o := body[Operation](t, f.must(BeginOperation{ID: opID(1), Kind: OperationBackup, Voter: "cp1"}))
	if o.State != OperationQueued || o.Actor == "" {
		t.Errorf("%+v", o)
	}
	if again := body[Operation](t, f.must(BeginOperation{ID: opID(2), Kind: OperationBackup, Voter: "cp1"})); again.ID != o.ID {
		t.Errorf("a second one was begun: %+v", again)
	}
	f.refuses(ReportOperation{ID: opID(9), State: OperationRunning}, policy.NotFound)
	f.refuses(ReportOperation{ID: o.ID, Voter: "cp2", State: OperationRunning}, policy.PermissionDenied)
	f.refuses(ReportOperation{ID: o.ID, Voter: "cp1", State: OperationFailed}, policy.InvalidArgument) // without a cause
	f.refuses(ReportOperation{ID: o.ID, Voter: "cp1", State: OperationFailed, Cause: "BAD_LUCK"}, policy.InvalidArgument)
	f.refuses(ReportOperation{ID: o.ID, Voter: "cp1", State: OperationSucceeded, Outcome: OperationOutcome{File: "../etc/passwd"}}, policy.InvalidArgument)
	f.must(ReportOperation{ID: o.ID, Voter: "cp1", State: OperationRunning})
	at := f.Revision()
	for n := range uint64(5) { // the clock of the tests stands still
		f.must(ReportOperation{ID: o.ID, Voter: "cp1", State: OperationRunning, Completed: n})
	}
	if f.Revision() != at {
		t.Errorf("reports within two seconds took %d revisions", f.Revision()-at)
	}
	asked := body[Operation](t, f.must(CancelOperation{ID: o.ID}))
	if !asked.Cancel || asked.State != OperationRunning {
		t.Errorf("%+v", asked)
	}
	f.must(ReportOperation{ID: o.ID, Voter: "cp1", State: OperationCancelled, Cause: CauseAsked})
	f.must(ReportOperation{ID: o.ID, Voter: "cp1", State: OperationSucceeded})
	if end := got(f.Operation(o.ID))(t); end.State != OperationCancelled || end.EndedAt == nil {
		t.Errorf("%+v", end)
	}
	f.refuses(CancelOperation{ID: o.ID}, policy.AlreadyExists)
	queued := body[Operation](t, f.must(BeginOperation{ID: opID(3), Kind: OperationVerify, Voter: "cp1"}))
	if c := body[Operation](t, f.must(CancelOperation{ID: queued.ID})); c.State != OperationCancelled {
		t.Errorf("what nobody has begun goes on: %+v", c)
	}
}

func TestOperationsAreListedWithTheEndsOfTenants(t *testing.T) {
	f := seeded(t)
	a := body[Tenant](t, f.must(createTenant(1, "us1")))
	f.must(purge(a, nodeN("us1", 1))) // operation 1
	f.must(BeginOperation{ID: opID(2), Kind: OperationVerify, Voter: "cp1"})
	f.must(BeginOperation{ID: opID(3), Kind: OperationImport, Voter: "cp1", Total: 4})
	var ids []string
	for after := ""; ; {
		page := got(f.Operations(after, 1, nil))(t)
		if len(page) == 0 {
			break
		}
		after = page[0].ID
		ids = append(ids, after)
		if (page[0].Tenant == nil) == (page[0].Operation == nil) {
			t.Errorf("%+v", page[0])
		}
	}
	if len(ids) != 3 || ids[0] != opID(1) || ids[2] != opID(3) {
		t.Errorf("%v", ids)
	}
	f.refuses(BeginOperation{ID: opID(1), Kind: OperationImport, Voter: "cp1"}, policy.InvalidArgument) // the id is the tenant's
}

func TestTheOldestEndedOperationMakesRoom(t *testing.T) {
	f := seeded(t)
	for n := 1; n <= MaxOperations; n++ {
		f.must(BeginOperation{ID: opID(n), Kind: OperationImport, Voter: "cp1"})
	}
	f.refuses(BeginOperation{ID: opID(MaxOperations + 1), Kind: OperationImport, Voter: "cp1"}, policy.Overloaded)
	f.must(ReportOperation{ID: opID(7), Voter: "cp1", State: OperationSucceeded})
	f.must(BeginOperation{ID: opID(MaxOperations + 1), Kind: OperationImport, Voter: "cp1"})
	if _, err := f.Operation(opID(7)); err == nil {
		t.Error("the ended one is still there")
	}
	if n := len(got(f.UnfinishedOperations())(t)); n != MaxOperations {
		t.Errorf("%d are unfinished", n)
	}
}

func TestAnEpochInterruptsOperations(t *testing.T) {
	f := seeded(t)
	f.must(BeginOperation{ID: opID(1), Kind: OperationImport, Voter: "cp1"})
	f.must(Invite{ClusterID: clusterID, Invitation: Invitation{SHA256: hexHash("x"), Name: "cp4", Wants: Voter, ExpiresAt: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), Operation: opID(2)}})
	f.must(RaiseEpoch{ClusterID: clusterID, Epoch: 2, Cause: CauseRestore, Source: hexHash("y"), Voter: "cp1"})
	for n := 1; n <= 2; n++ {
		if o := got(f.Operation(opID(n)))(t); o.State != OperationFailed || o.Cause != CauseInterrupted {
			t.Errorf("%+v", o)
		}
	}
}
