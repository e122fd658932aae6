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
