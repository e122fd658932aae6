// Package storetest is the conformance suite of store.Store: what every
// implementation must do, whatever it is built on. It is a test helper and
// takes a *testing.T.
package storetest

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Region is where the suite's tenants are at home.
const Region policy.RegionID = "ie1"

// Tenants of the suite.
const (
	TenantA policy.TenantID = "TN000102030405060708090a0b0c0d0e0f"
	TenantB policy.TenantID = "TNf0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
)

const recipient policy.RecipientID = "RP000102030405060708090a0b0c0d0e0f"

// Permit obtains a permit for one operation on call records from a real
// decision: nothing else makes one.
func Permit(t testing.TB, tenant policy.TenantID, op policy.Operation) policy.Permit {
	t.Helper()
	return PermitOf(t, tenant, op, policy.CallRecord)
}

// PermitOf is Permit for any class of data. There is no export of what may
// never be exported: then the permit is the empty one.
func PermitOf(t testing.TB, tenant policy.TenantID, op policy.Operation, class policy.DataClass) policy.Permit {
	t.Helper()
	home := policy.Region{ID: Region, Boundary: "eu", Country: "IE", Cloud: "aws-eu-west-1", BackupRegion: "none", Lifecycle: policy.Active}
	away := policy.Region{ID: "us1", Boundary: "us", Country: "US", Cloud: "aws-us-east-1", BackupRegion: "none", Lifecycle: policy.Active}
	top, err := policy.NewTopology([]policy.Region{home, away})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	p := policy.DefaultPolicy(tenant, home, "ie")
	p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Allow, Basis: "PSEUDONYMISED-UC2"}
	p.Recipients = policy.Recipients{List: []policy.Recipient{{ID: recipient, Region: away.ID, Purpose: "analytics",
		Transforms: "standard", Threshold: 10, Colluding: 3, AssessmentExpiry: now.AddDate(1, 0, 0)}}}
	set := (&policy.Set{}).With(1, []*policy.Rules{policy.Compile(&p, policy.TenantActive)}, nil)
	q := policy.Request{Tenant: tenant, Op: op, Class: class, Region: home.ID, Now: now, Attestation: policy.Declared}
	if op == policy.Export {
		q.Egress, q.Recipient, q.Purpose = policy.PseudonymisedExport, recipient, "analytics"
	}
	d := policy.Decide(set, top.WithBases([]policy.TransferBasis{{ID: "PSEUDONYMISED-UC2", State: policy.BasisActive}}), q)
	if d.Permit().Empty() && !(op == policy.Export && !class.Exportable()) {
		t.Fatalf("no permit for %s: reasons %v", op, d.Reasons())
	}
	return d.Permit()
}
