package server

import (
	"context"
	"net/http"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/policy"
)

// Exports answers for what leaves and what arrives by export. Each method
// answers only for the principal's own tenant (Received: its own recipient).
type Exports interface {
	Transfers(ctx context.Context, who gate.Principal, pageSize int, pageToken string) (data.Transfers, error)
	Transfer(ctx context.Context, who gate.Principal, id string) (data.Transfer, error)
	Run(ctx context.Context, who gate.Principal) (data.ExportRun, error)
	Simulate(ctx context.Context, trial *gate.Trial, days int) (data.Simulation, error) // the trial names the tenant
	Received(ctx context.Context, who gate.Principal, cursor string, pageSize int) (data.Received, error)
}

var errNotYet = policy.Errorf(policy.NotYet, "this is not built yet; the README lists what is")

// notYet answers NOT_YET.
func (x *exchange) notYet() error { return errNotYet }

// egress answers the region's ledger as this tenant may see it: its own lines,
// and those of the region as a whole, which name no tenant.
func (x *exchange) egress() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	out := data.EgressLedger{Region: string(x.s.o.Region), Entries: []data.Egress{}}
	for _, e := range x.s.o.Ledger() {
		if e.Tenant != "" && e.Tenant != x.who.Tenant {
			continue
		}
		out.Entries = append(out.Entries, data.Egress{Class: e.Class.String(), Destination: e.Destination,
			Region: string(e.Region), Boundary: string(e.Boundary), Basis: e.Basis, Tenant: string(e.Tenant),
			Connections: e.Connections, BytesOut: e.BytesOut, BytesIn: e.BytesIn, LastTime: e.LastTime.UTC()})
	}
	return x.answer(http.StatusOK, out)
}

// transfers answers what left the region for this tenant's recipients: one record for each transfer.
func (x *exchange) transfers() error {
	p := newParams(x.r.URL)
	size, token := p.pageSize(), p.take("page_token")
	if err := p.done(); err != nil {
		return err
	}
	if x.s.o.Exports == nil {
		return errNotYet
	}
	out, err := x.s.o.Exports.Transfers(x.r.Context(), x.who, size, token)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, out)
}

// transfer answers one transfer with what it released and suppressed.
func (x *exchange) transfer() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	if x.s.o.Exports == nil {
		return errNotYet
	}
	id := x.r.PathValue("id")
	if !policy.ValidID(policy.KindTransfer, id) {
		return policy.Errorf(policy.NotFound, "there is no such transfer")
	}
	out, err := x.s.o.Exports.Transfer(x.r.Context(), x.who, id)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, out)
}

// runExports looks at the closed export windows now, instead of at the next interval.
func (x *exchange) runExports() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	if x.s.o.Exports == nil {
		return errNotYet
	}
	out, err := x.s.o.Exports.Run(x.r.Context(), x.who)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, out)
}

// received answers what arrived for a recipient. The recipient may be named;
// it must be the key's own.
func (x *exchange) received() error {
	p := newParams(x.r.URL)
	size, cursor, recipient := p.pageSize(), p.take("cursor"), p.take("recipient")
	if err := p.done(); err != nil {
		return err
	}
	if x.s.o.Exports == nil {
		return errNotYet
	}
	if recipient != "" && recipient != string(x.who.Recipient) {
		return policy.Errorf(policy.NotFound, "there is no such recipient")
	}
	out, err := x.s.o.Exports.Received(x.r.Context(), x.who, cursor, size)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, out)
}

// healthz says that the process answers.
func (x *exchange) healthz() {
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = x.w.Write([]byte("ok\n"))
}

// readyz says whether the node serves; why not is for the operators' listener.
func (x *exchange) readyz() {
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if x.s.o.Ready() != nil {
		x.w.Header().Set("Retry-After", "1")
		x.w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = x.w.Write([]byte("not ready\n"))
		return
	}
	_, _ = x.w.Write([]byte("ready\n"))
}
