package system

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/testcluster"
)

const regionName = "api.ie1.example"

// oneName is a region of two nodes that its tenants know by one name only.
type oneName struct {
	ctx     context.Context
	c       *testcluster.Cluster
	nodes   []string
	rest    *front
	streams *front
	caller  *caller
	tenant  *controlv1.Tenant
	region  *client.Region
	sent    map[string]bool // native ids that must be there, once
	receipt string          // of the first batch
	body    string          // its first line
}

// underOneName gives both nodes a certificate of the region's name, and has them
// answer to it and to nothing else.
func underOneName(t *testing.T, dir string) edit {
	store := inDatabases(t)
	return func(env *dev.Environment, c *dataplane.Config) error {
		m, err := mtls.Load(c.TLS)
		if err != nil {
			return err
		}
		ca, err := mtls.OpenAuthority(filepath.Join(dir, "pki"))
		if err != nil {
			return err
		}
		if c.TLS, err = ca.Issue(filepath.Join(dir, "named", filepath.Base(c.DataDir)), m.Identity, "127.0.0.1", regionName); err != nil {
			return err
		}
		c.Hosts, c.BaseURLs = []string{regionName}, map[string]string{"ie1": "https://" + regionName}
		return store(env, c)
	}
}

func startOneName(t *testing.T) *oneName {
	dir := t.TempDir()
	c := start(t, testcluster.Options{Dir: dir, Regions: []string{"ie1"}, Second: []string{"ie1"}, EditRegion: underOneName(t, dir)})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	n := &oneName{ctx: ctx, c: c, nodes: []string{"ie1", dev.SecondName("ie1")}, sent: map[string]bool{}}
	n.rest = newFront(t, n.nodes, func(node string) string { return c.Env.RegionURL(node)[len("https://"):] })
	n.streams = newFront(t, n.nodes, c.Env.IngestAddress)
	n.caller = newCaller(t, n.rest, c.Env.CAFile())
	var region *client.Region
	n.tenant, region = place(t, c, "acme-ie", "ie1", "IE", nil)
	n.region = n.by(n.caller, region.Key)
	return n
}

func (n *oneName) by(c *caller, key string) *client.Region {
	return &client.Region{BaseURL: "https://" + regionName, Key: key, HTTP: &http.Client{Transport: c}}
}

// Nodes of a region behind one name, which gives each connection to the next of
// them: whatever was begun at one goes on at the other. Then one dies.
func TestINV33_NodesBehindOneNameAreOneRegion(t *testing.T) {
	n := startOneName(t)
	for _, part := range []struct {
		name string
		do   func(*oneName, *testing.T)
	}{
		{"batches", (*oneName).batches}, {"pages", (*oneName).pages}, {"twilio", (*oneName).twilio}, {"receipts", (*oneName).receipts},
		{"uploads", (*oneName).uploads}, {"holds", (*oneName).holds}, {"erasures", (*oneName).erasures},
	} {
		t.Run(part.name, func(t *testing.T) {
			before := n.caller.counts()
			part.do(n, t)
			after := n.caller.counts()
			for _, node := range n.nodes {
				if after[node] -= before[node]; after[node] == 0 {
					t.Errorf("%s answered nothing", node)
				}
			}
			t.Logf("answers: %v", after)
		})
	}
	t.Run("streams", n.reconnects)
	t.Run("kill", n.kill)
}

// each is every call by native id, read in pages of seven.
func (n *oneName) each(t *testing.T) map[string]int {
	t.Helper()
	stored := map[string]int{}
	check(t, n.region.AllCalls(n.ctx, client.Filter{PageSize: 7}, func(call data.Call) error { stored[call.NativeID]++; return nil }))
	return stored
}

// whole wants what was sent, each once, and nothing else.
func (n *oneName) whole(t *testing.T, stored map[string]int) {
	t.Helper()
	for id := range n.sent {
		if stored[id] != 1 {
			t.Errorf("%s is there %d times", id, stored[id])
		}
	}
	if len(stored) != len(n.sent) {
		t.Errorf("%d calls are listed, %d were sent", len(stored), len(n.sent))
	}
}
