package server

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/aws/awstest"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/policy"
)

// custodianOf is a key service behind a door of its own.
func custodianOf(t *testing.T, service *awstest.KMS) *aws.KMS {
	t.Helper()
	door, err := egress.New(egress.Options{Region: "ie1", Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { _ = door.Close() })
	config := aws.KMSConfig{Account: aws.Account{Region: service.Region, Endpoint: service.URL, CredentialsFile: service.Login}}
	for _, d := range config.Destinations() {
		must(t, door.Allow(policy.LocalKey, egress.HostPort(d)))
	}
	pem, err := os.ReadFile(service.CA)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client, err := door.HTTP(egress.Route{Class: policy.LocalKey, Region: "ie1"}, &tls.Config{RootCAs: roots})
	must(t, err)
	kms, err := aws.NewKMS(aws.KMSOptions{Config: config, Cluster: "CL" + strings.Repeat("0", 32), Region: "ie1", Client: client})
	must(t, err)
	return kms
}

// TestFailClosedKeyServiceAway is the key service's row of 04 §3 from end to end:
// a real listener, gate, store and key table on a key service that goes away,
// with the clock injected. What was acknowledged is there afterwards.
func TestFailClosedKeyServiceAway(t *testing.T) {
	service := awstest.NewKMS(t, "eu-west-1")
	var elapsed atomic.Int64
	elapsed.Store(int64(time.Hour))
	clock := func() time.Duration { return time.Duration(elapsed.Load()) }
	var keys *local.Keyring
	r := startWith(t, func(o *local.Options) {
		o.Custodian, o.Elapsed, o.Refresh = custodianOf(t, service), clock, 5*time.Millisecond
	}, func(o *gate.Options, k *local.Keyring) { o.Elapsed, o.Keys, keys = clock, k.Healthy, k })
	step := func(name string, ingest, read int, leaves bool) {
		t.Helper()
		if status, raw := r.post("/v1/calls", writer, native(strings.ReplaceAll(name, " ", "-"), "completed", 1)); status != ingest {
			t.Errorf("%s: ingest %d %s, want %d", name, status, raw, ingest)
		}
		if status, _, raw := r.ask(http.MethodGet, "/v1/calls?"+year, reader, nil); status != read {
			t.Errorf("%s: read %d %s, want %d", name, status, raw, read)
		}
		d := r.gate.Explain(gate.Question{Tenant: tenantID("a"), Op: policy.Export, Class: policy.CallRecord, Egress: policy.PseudonymisedExport})
		if held := d.Has(policy.RuleKeysDown); held == leaves {
			t.Errorf("%s: an export is held for the keys: %v, want %v", name, held, !leaves)
		}
	}
	wait := func(healthy bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); (keys.Healthy() == nil) != healthy; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the keyring is healthy: %v, want %v", !healthy, healthy)
			}
		}
	}
	step("the service answers", http.StatusCreated, http.StatusOK, true)
	service.Down(true)
	wait(false)
	step("just away", http.StatusCreated, http.StatusOK, false)
	elapsed.Add(int64(policy.KeysFor - 1))
	step("away for just under ten minutes", http.StatusCreated, http.StatusOK, false)
	elapsed.Add(1)
	step("away for ten minutes", http.StatusServiceUnavailable, http.StatusServiceUnavailable, false)
	elapsed.Add(int64(time.Hour))
	step("away for an hour", http.StatusServiceUnavailable, http.StatusServiceUnavailable, false)
	service.Down(false)
	wait(true)
	step("back", http.StatusCreated, http.StatusOK, true)
	var page data.Calls
	if r.get("/v1/calls?"+year, reader, &page); len(page.Calls) != 4 {
		t.Errorf("%d calls are there, 4 were acknowledged", len(page.Calls))
	}
}
