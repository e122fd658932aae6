package server

import (
	"context"

	"github.com/domicile-io/domicile/dataplane/admission"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/telemetry"
	"github.com/domicile-io/domicile/policy"
)

// delivery is who brings records, whichever way they came: a request of HTTP or a
// stream of gRPC.
type delivery struct {
	s     *Server
	who   gate.Principal
	place *admission.Place
}

// permit asks the gate, now, whether this tenant's data may be moved, and whether the
// key that was shown still is one.
func (d *delivery) permit(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
	permit, err := d.allowed(op, class)
	if err == nil {
		err = d.s.o.Gate.Stands(d.who)
	}
	if err != nil {
		return policy.Permit{}, err
	}
	return permit, nil
}

func (d *delivery) allowed(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
	return d.s.o.Gate.Check(gate.Question{Tenant: d.who.Tenant, Op: op, Class: class})
}

// stillHome is asked after a write is durable and before it is acknowledged: a
// tenant that moved away in between must not be told that its record is here.
func (d *delivery) stillHome(before policy.Permit) error {
	after, err := d.allowed(before.Operation(), before.Class())
	if err == nil && after.HomeEpoch() == before.HomeEpoch() {
		return nil
	}
	e := policy.Errorf(policy.OutcomeUnknown, "the tenant's home changed while the request ran; send it again")
	e.Cause = err
	return e
}

// keep makes one chunk durable and charges it to the tenant; it says what became of
// each record. An error means that none of the chunk may be acknowledged.
func (d *delivery) keep(ctx context.Context, source record.SourceKind, c *chunk) (got []store.Appended, failed error) {
	permit, err := d.permit(policy.Ingest, policy.CallRecord)
	if err != nil {
		return nil, err
	}
	ctx, span := telemetry.Start(ctx, telemetry.Append)
	span.Records(source, len(c.records)+len(c.bad))
	defer func() { span.EndWith(failed) }()
	if len(c.records) > 0 {
		if got, err = d.s.o.Store.Append(ctx, permit, c.records); err != nil {
			return nil, err
		}
	}
	if len(c.bad) > 0 {
		now := d.s.now().UTC()
		for i := range c.bad {
			c.bad[i].ReceivedAt = now
		}
		if _, err := d.s.o.Store.Quarantine(ctx, permit, c.bad); err != nil {
			return nil, err
		}
	}
	if err := d.stillHome(permit); err != nil {
		return nil, err
	}
	d.place.Spend(ctx, int64(len(c.records)+len(c.bad)), 0)
	return got, nil
}
