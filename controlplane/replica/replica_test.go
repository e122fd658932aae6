package replica

import (
	"os"
	"testing"
)

func mkdir(dir string) error { return os.MkdirAll(dir, 0o700) }

func TestSingleVoter(t *testing.T) {
	c := startCluster(t, 1, nil)
	c.tenant(1)
	c.kill("cp1")
	c.start("cp1", nil)
	c.tenant(2)
	if _, err := c.leader().store.Tenant(tenantID(1)); err != nil {
		t.Fatal(err)
	}
}

func TestINV32_LeaderLossAndRestartLeaveEqualState(t *testing.T) {
	c := startCluster(t, 3, nil)
	for n := 1; n <= 5; n++ {
		c.tenant(n)
	}
	c.equal()
	lost := c.leader().o.Name
	c.kill(lost)
	for n := 6; n <= 10; n++ {
		c.tenant(n)
	}
	c.start(lost, nil)
	c.tenant(11)
	c.equal()
	for name, n := range c.nodes {
		for i := 1; i <= 11; i++ {
			if _, err := n.store.Tenant(tenantID(i)); err != nil {
				t.Errorf("%s: tenant %d: %v", name, i, err)
			}
		}
	}
}
