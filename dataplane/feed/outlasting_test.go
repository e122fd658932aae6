package feed

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// A policy of before, which keeps recordings longer than their calls, is still taken,
// or its tenant would stand still; and it keeps them no longer (INV21).
func TestINV21_APolicyOfBeforeIsTakenAndKeepsNothingLonger(t *testing.T) {
	ie := policy.Region{ID: "ie1", Boundary: "eu", Country: "IE", BackupRegion: "none", Lifecycle: policy.Active}
	id := policy.TenantID("TN00000000000000000000000000000001")
	p := policy.DefaultPolicy(id, ie, "IE-LTD")
	p.Revision = 2
	p.Classes[policy.CallRecord] = policy.ClassRule{Mode: policy.Sealed, Retention: 3600}
	if len(p.Outlasting(nil)) == 0 {
		t.Fatal("nobody would refuse this policy today: the test shows nothing")
	}
	row := policy.TenantRow{ID: id, Slug: "t0", State: policy.TenantActive, Home: "ie1", HomeEpoch: 1, Policy: &p}
	view, err := NewView(2, []policy.Row{{Format: policy.FormatVersion, Region: &ie}, {Format: policy.FormatVersion, Tenant: &row}})
	if err != nil {
		t.Fatal(err)
	}
	rules, ok := view.Set.Rules(id)
	for _, c := range []policy.DataClass{policy.Recording, policy.Transcript} {
		if kept := rules.Retention(c); !ok || kept != time.Hour {
			t.Errorf("%v is kept %s", c, kept)
		}
	}
}
