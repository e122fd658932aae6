package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// connections of the load, to the leader, of each system alike.
const connections = 8

// policies is the load on our policy store over gRPC: the real API, mutual TLS, an
// operator's token on each call, an Idempotency-Key on each write, one audit leaf
// for each change.
type policies struct {
	conns   []*grpc.ClientConn
	token   string
	workers []*policyWorker
}

// policyWorker tightens the policy of a tenant of its own, again and again.
type policyWorker struct {
	tenant string
	etag   string
	// revision of its last write.
	revision uint64
	kept     uint32          // seconds
	many     []*policyWorker // of its batches
}

const kept = 10 * 365 * 24 * 3600

func openPolicies(ctx context.Context, c *testcluster.Cluster, workers int) (*policies, error) {
	status, err := c.Control("cp1").Status(ctx)
	if err != nil {
		return nil, err
	}
	config := c.Env.VoterConfig(status.Leader)
	own, err := mtls.Load(config.GatewayTLS)
	if err != nil {
		return nil, err
	}
	p := &policies{token: c.Env.Token()}
	for range connections {
		cc, err := grpc.NewClient("passthrough:///"+config.GRPCAddress, grpc.WithNoProxy(), grpc.WithDisableRetry(),
			grpc.WithTransportCredentials(credentials.NewTLS(own.Client(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}))))
		if err != nil {
			return nil, err
		}
		p.conns = append(p.conns, cc)
	}
	for i := range workers {
		t, err := controlv1.NewTenantServiceClient(p.conn(i)).CreateTenant(p.call(ctx, "idempotency-key", uuid.NewString()),
			&controlv1.CreateTenantRequest{Slug: "w-" + letters(int64(i+1)), HomeRegion: "ie1", BillingCountry: "IE"})
		if err != nil {
			return nil, err
		}
		now, err := controlv1.NewPolicyServiceClient(p.conn(i)).GetPolicy(p.call(ctx), &controlv1.GetPolicyRequest{Tenant: t.GetId()})
		if err != nil {
			return nil, err
		}
		p.workers = append(p.workers, &policyWorker{tenant: t.GetId(), etag: now.GetEtag(), kept: kept})
	}
	for i := range workers { // before any clock runs
		if err := p.place(ctx, i); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *policies) close() error {
	var all []error
	for _, cc := range p.conns {
		all = append(all, cc.Close())
	}
	return errors.Join(all...)
}

func (p *policies) conn(worker int) *grpc.ClientConn { return p.conns[worker%len(p.conns)] }

func (p *policies) call(ctx context.Context, pairs ...string) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(append(pairs, "authorization", "Bearer "+p.token)...))
}

// put tightens a worker's policy by one second.
func (p *policies) put(ctx context.Context, worker int) error {
	w := p.workers[worker]
	w.kept--
	got, err := controlv1.NewPolicyServiceClient(p.conn(worker)).PutPolicy(p.call(ctx, "idempotency-key", uuid.NewString(), "if-match", `"`+w.etag+`"`),
		&controlv1.PutPolicyRequest{Tenant: w.tenant, Rules: tightened(w.kept)})
	if err == nil {
		w.etag, w.revision = got.GetEtag(), got.GetRevision()
	}
	return err
}

// get reads a worker's policy; consistency is X-Consistency.
func (p *policies) get(ctx context.Context, worker int, consistency string) error {
	_, err := controlv1.NewPolicyServiceClient(p.conn(worker)).GetPolicy(p.call(ctx, "x-consistency", consistency), &controlv1.GetPolicyRequest{Tenant: p.workers[worker].tenant})
	return err
}

// many runs workers for a while and gives operations a second, and what one cost the
// servers' processes and this one.
func many(ctx context.Context, workers int, length time.Duration, servers []int, once func(ctx context.Context, worker int) (int, error)) (float64, cost, error) {
	var next, done atomic.Int64
	names := make(chan int, workers)
	for i := range workers {
		names <- i
	}
	m := meterOf(servers...)
	took, err := load(ctx, workers, length, func(ctx context.Context) (bool, error) {
		worker := <-names // each goroutine holds one at a time, so a worker is never in two calls
		defer func() { names <- worker }()
		next.Add(1)
		n, err := once(ctx, worker)
		done.Add(int64(n))
		return true, err
	})
	if err != nil {
		err = fmt.Errorf("after %d calls: %w", next.Load(), err)
	}
	return rate(int(done.Load()), took), m.per(int(done.Load())), err
}

func single(once func(ctx context.Context, worker int) error) func(context.Context, int) (int, error) {
	return func(ctx context.Context, worker int) (int, error) { return 1, once(ctx, worker) }
}

const batchItems = 100

// batch tightens the policies of many tenants of the worker's own, each once.
func (p *policies) batch(ctx context.Context, worker int) (int, error) {
	w := p.workers[worker]
	req := &controlv1.BatchUpdatePoliciesRequest{}
	for _, one := range w.many {
		one.kept--
		req.Requests = append(req.Requests, &controlv1.PolicyUpdate{Tenant: one.tenant, Etag: one.etag, Rules: tightened(one.kept)})
	}
	got, err := controlv1.NewBatchServiceClient(p.conn(worker)).BatchUpdatePolicies(p.call(ctx, "idempotency-key", uuid.NewString()), req)
	if err != nil {
		return 0, err
	}
	for i, o := range got.GetOutcomes() {
		if o.GetReason() != "" {
			return i, fmt.Errorf("item %d was refused: %s", i, o.GetReason())
		}
		w.many[i].etag = o.GetEtag()
	}
	return len(got.GetOutcomes()), nil
}

// place makes a worker's tenants for batches, in a batch.
func (p *policies) place(ctx context.Context, worker int) error {
	req := &controlv1.BatchCreateTenantsRequest{}
	for i := range batchItems {
		req.Requests = append(req.Requests, &controlv1.CreateTenantRequest{Slug: "m-" + letters(int64(worker*batchItems+i+1)), HomeRegion: "ie1", BillingCountry: "IE"})
	}
	got, err := controlv1.NewBatchServiceClient(p.conn(worker)).BatchCreateTenants(p.call(ctx, "idempotency-key", uuid.NewString()), req)
	if err != nil {
		return err
	}
	for _, o := range got.GetOutcomes() {
		p.workers[worker].many = append(p.workers[worker].many, &policyWorker{tenant: o.GetTenant(), etag: o.GetEtag(), kept: kept})
	}
	return nil
}

func tightened(seconds uint32) *controlv1.PolicyRules {
	return &controlv1.PolicyRules{Recipients: &controlv1.RecipientList{DenyAll: true},
		Classes: map[string]*controlv1.ClassRule{"call_record": {Mode: "sealed", Retention: seconds}}}
}
