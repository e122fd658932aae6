// Package overload asks a region's node, a process of its own, for more than it can
// do, and counts what it does all the same.
package overload

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

var (
	measure = flag.Bool("overload.measure", false, "measure a node's capacity, ask it for 1, 2, 5 and 10 times as much, and hold the promises against it; two minutes, and the machine to itself")
	result  = flag.String("overload.result", "", "file to write the measured table to (Markdown)")
	phase   = flag.Duration("overload.phase", 8*time.Second, "how long each load lasts")
)

// bin is where the binaries are, built once.
var bin string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testcluster.BuildAndRun(&bin, m.Run))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// node is region ie1 and its tenants.
type node struct {
	*testcluster.Cluster
	t     *testing.T
	tls   *tls.Config
	regio map[string]*client.Region
}

func openNode(t *testing.T, edit func(*dataplane.Config)) *node {
	t.Helper()
	c, err := testcluster.Open(t.Context(), testcluster.Options{Dir: t.TempDir(), Bin: bin, EditRegion: func(_ *dev.Environment, config *dataplane.Config) error {
		edit(config)
		return nil
	}})
	check(t, err)
	t.Cleanup(func() { check(t, c.Close()) })
	roots, err := mtls.LoadRoots(c.Env.CAFile())
	check(t, err)
	return &node{Cluster: c, t: t, tls: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, ClientSessionCache: tls.NewLRUClientSessionCache(0)}, regio: map[string]*client.Region{}}
}

// tenant places one and gives it a key.
func (n *node) tenant(slug string) *sender {
	n.t.Helper()
	control := n.Control("cp1")
	_, err := control.CreateTenant(n.t.Context(), &controlv1.CreateTenantRequest{Slug: slug, HomeRegion: "ie1", BillingCountry: "IE"})
	check(n.t, err)
	key, err := control.CreateKey(n.t.Context(), &controlv1.CreateKeyRequest{Tenant: slug, Region: "ie1", Role: "admin"})
	check(n.t, err)
	if !key.Distributed {
		n.t.Fatalf("the key of %s was not at its region in time", slug)
	}
	n.regio[slug] = n.Region("ie1", key.Secret)
	return &sender{slug: slug, url: n.Env.RegionURL("ie1") + "/v1/calls:batch", key: key.Secret,
		http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: n.tls, MaxIdleConnsPerHost: 2048, MaxConnsPerHost: 2048, DisableCompression: true}}}
}

// stored is how many calls a tenant has, by the counters of the day of its records.
func (n *node) stored(slug string) int64 {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	rows, err := n.regio[slug].Rollups(ctx, day)
	for errors.Is(err, &policy.Error{Reason: policy.Overloaded}) && ctx.Err() == nil { // its quota is used up by its own flood
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
		rows, err = n.regio[slug].Rollups(ctx, day)
	}
	check(n.t, err)
	sum := int64(0)
	for _, r := range rows.Rollups {
		sum += r.Calls
	}
	return sum
}

// rss is the node's resident memory in bytes.
func (n *node) rss() int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.Process("ie1").PID()))
	check(n.t, err)
	_, rest, _ := strings.Cut(string(raw), "VmRSS:")
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	check(n.t, err)
	return kb << 10
}
