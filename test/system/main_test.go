// Package system tests the whole of Domicile as its operators run it: separate
// processes of the real binaries, real TLS, real files, real kills.
package system

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// bin is where the binaries are, built once.
var bin string

func TestMain(m *testing.M) {
	if config := os.Getenv(impostorOf); config != "" {
		fmt.Fprintln(os.Stderr, runImpostor(config))
		os.Exit(1) // it serves until it is killed
	}
	os.Exit(testcluster.BuildAndRun(&bin, func() int { return postgres.Main(m) }))
}

// start runs a system that ends with the test.
func start(t *testing.T, o testcluster.Options) *testcluster.Cluster {
	t.Helper()
	if o.Bin == "" {
		o.Bin = bin
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	c, err := testcluster.Open(context.Background(), o)
	check(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// place makes a tenant and a key of role admin for it.
func place(t *testing.T, c *testcluster.Cluster, slug, region, country string, rules *controlv1.PolicyRules) (*controlv1.Tenant, *client.Region) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	control := c.Control("cp1")
	tenant, err := control.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: slug, HomeRegion: region, BillingCountry: country, Policy: rules})
	check(t, err)
	key, err := control.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: slug, Region: region, Role: "admin"})
	check(t, err)
	if !key.Distributed {
		t.Fatalf("the key of %s was not at its region within 2 s", slug)
	}
	return tenant, c.Region(region, key.Secret)
}

// until asks until done says so; a system that never gets there fails the test.
func until(t *testing.T, limit time.Duration, what string, done func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

// metrics reads what a process says of itself.
func metrics(t *testing.T, c *testcluster.Cluster, name string) string {
	t.Helper()
	resp, err := http.Get(c.Env.OpsURL(name) + "/metrics")
	check(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	return string(text)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
