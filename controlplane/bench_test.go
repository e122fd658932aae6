package controlplane_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
)

// writers measures policy writes on three voters with 64 clients, each of which
// changes a tenant of its own. A node of the region is connected.
func writers(b *testing.B, put func(c *cluster, leader int, tenant string, etag string, retention int) (next string, err error)) {
	c := prepare(b, 3)
	c.timing.Heartbeat = time.Second
	c.startAll()
	leader := c.leader()
	n := c.subscribe(leader, "ie1", 0, "")
	go func() {
		for {
			if _, err := n.stream.Recv(); err != nil {
				return
			}
		}
	}()
	const clients = 64
	var left atomic.Int64
	left.Store(int64(b.N))
	var tenants, etags [clients]string
	for i := range clients {
		a := c.tenant(fmt.Sprintf("bench-%c%c", 'a'+i%26, 'a'+i/26), "ie1")
		tenants[i] = a.str("id")
		_, etags[i] = c.rules(tenants[i])
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for r := 1_000_000_000; left.Add(-1) >= 0; r-- {
				next, err := put(c, leader, tenants[i], etags[i], r)
				if err != nil {
					b.Error(err)
					return
				}
				etags[i] = next
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

func BenchmarkPolicyWritesREST(b *testing.B) {
	writers(b, func(c *cluster, leader int, tenant, etag string, retention int) (string, error) {
		body := fmt.Sprintf(`{"classes":{"call_record":{"mode":"sealed","retention":%d}},"recipients":{"deny_all":true}}`, retention)
		a, err := c.try(leader, "PUT", "/v1/tenants/"+tenant+"/policy", body, headers{"If-Match": etag})
		if err == nil && a.Status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.Status, a.Raw)
		}
		return a.Header.Get("ETag"), err
	})
}

func BenchmarkPolicyWritesGRPC(b *testing.B) {
	var dialled sync.Map // by cluster: the benchmark is run with growing b.N
	writers(b, func(c *cluster, leader int, tenant, etag string, retention int) (string, error) {
		once, _ := dialled.LoadOrStore(c, sync.OnceValue(func() controlv1.PolicyServiceClient {
			return controlv1.NewPolicyServiceClient(c.dial(leader, mtls.ControlRegion, mtls.Gateway))
		}))
		client := once.(func() controlv1.PolicyServiceClient)()
		ctx := metadata.AppendToOutgoingContext(b.Context(), "authorization", "Bearer "+operatorToken, "if-match", etag)
		p, err := client.PutPolicy(ctx, &controlv1.PutPolicyRequest{Tenant: tenant, Rules: &controlv1.PolicyRules{
			Classes:    map[string]*controlv1.ClassRule{"call_record": {Mode: "sealed", Retention: uint32(retention)}},
			Recipients: &controlv1.RecipientList{DenyAll: true}}})
		return p.GetEtag(), err
	})
}

// BenchmarkPolicyBatchesGRPC counts policies: 16 clients put 100 in each call.
func BenchmarkPolicyBatchesGRPC(b *testing.B) {
	const clients, items = 16, 100
	c := prepare(b, 3)
	c.timing.Heartbeat = time.Second
	c.startAll()
	leader := c.leader()
	conn := c.dial(leader, mtls.ControlRegion, mtls.Gateway)
	client := controlv1.NewBatchServiceClient(conn)
	ctx := metadata.AppendToOutgoingContext(b.Context(), "authorization", "Bearer "+operatorToken)
	outcomes := func(r interface {
		GetOutcomes() []*controlv1.BatchOutcome
	}, err error) []*controlv1.BatchOutcome {
		if err != nil {
			b.Error(err)
			return nil
		}
		return r.GetOutcomes()
	}
	var have [clients][]*controlv1.BatchOutcome
	for i := range clients {
		req := &controlv1.BatchCreateTenantsRequest{}
		for j := range items {
			slug := fmt.Sprintf("b-%c-%c%c", 'a'+i, 'a'+j%26, 'a'+j/26)
			req.Requests = append(req.Requests, &controlv1.CreateTenantRequest{Slug: slug, HomeRegion: "ie1", BillingCountry: "IE"})
		}
		have[i] = outcomes(client.BatchCreateTenants(ctx, req))
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for r := uint32(1_000_000_000); left.Add(-items) > -items && !b.Failed(); r-- {
				req := &controlv1.BatchUpdatePoliciesRequest{}
				for _, o := range have[i] {
					req.Requests = append(req.Requests, &controlv1.PolicyUpdate{Tenant: o.GetTenant(), Etag: o.GetEtag(), Rules: &controlv1.PolicyRules{
						Classes: map[string]*controlv1.ClassRule{"call_record": {Mode: "sealed", Retention: r}}, Recipients: &controlv1.RecipientList{DenyAll: true}}})
				}
				have[i] = outcomes(client.BatchUpdatePolicies(ctx, req))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "policies/s")
}
