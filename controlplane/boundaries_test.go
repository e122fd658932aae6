package controlplane_test

import (
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/policy"
)

// Five voters stand in three boundaries, two, two and one. A whole boundary is
// lost: the others go on, and the leader says who is missing.
func TestFiveVotersLoseABoundaryAndGoOn(t *testing.T) {
	c := prepare(t, 5)
	for i, region := range []string{"ie1", "ie1", "us1", "us1", "au1"} {
		c.configs[i].Region = policy.RegionID(region)
		c.configs[i].Autopilot = controlplane.Autopilot{StableFor: 300 * time.Millisecond, DeadAfter: time.Hour}
	}
	c.startAll()
	c.tenant("before", "ie1")
	if b := c.members()["cp5"]["boundary"]; b != "au" {
		t.Errorf("cp5 is in boundary %v", b)
	}
	c.stop(2)
	c.stop(3)
	c.leader()
	c.tenant("after", "us1")
	c.want(c.do(4, "GET", "/v1/tenants/before", nil, nil), 200, "")
	eventually(t, func() error {
		for name, want := range map[string]string{"cp3": "silent", "cp4": "silent", "cp5": "ok"} {
			if got := c.members()[name]["health"]; got != want {
				return errStatus(0)
			}
		}
		return nil
	}, "the leader does not say which voters are missing")
}
