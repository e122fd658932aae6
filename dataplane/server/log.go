package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// logCheckpoint answers anybody: what was signed is to be kept by whoever wants
// to, and says nothing of a tenant.
func (x *exchange) logCheckpoint() {
	var err error = errNotYet
	if x.s.o.Log != nil {
		form, _, failed := x.s.o.Log.Checkpoint(x.r.Context(), 0)
		if failed == nil {
			_ = x.answer(http.StatusOK, form)
			return
		}
		err = failed
	}
	api.WriteProblem(x.w, err, x.id)
}

// logLeaves answers the records of the region's log that are about this tenant.
func (x *exchange) logLeaves() error {
	p := newParams(x.r.URL)
	start, size := p.number("start"), p.pageSize()
	if err := p.done(); err != nil {
		return err
	}
	if x.s.o.Log == nil {
		return errNotYet
	}
	out, err := x.s.o.Log.Leaves(x.r.Context(), x.who.Tenant, start, size)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, out)
}

// logProof answers the proof that one record is in the region's log.
func (x *exchange) logProof() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	if x.s.o.Log == nil {
		return errNotYet
	}
	index, err := strconv.ParseUint(x.r.PathValue("index"), 10, 63)
	if err != nil {
		return policy.Errorf(policy.NotFound, "there is no such record in the region's log")
	}
	out, err := x.s.o.Log.Prove(x.r.Context(), x.who.Tenant, index)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, out)
}

// logConsistency answers the proof that a later log continues an earlier one.
func (x *exchange) logConsistency() error {
	p := newParams(x.r.URL)
	from, to := p.number("from"), p.number("to")
	if err := p.done(); err != nil {
		return err
	}
	if x.s.o.Log == nil {
		return errNotYet
	}
	out, err := x.s.o.Log.Consistency(x.r.Context(), from, to)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, out)
}

// receipt answers what one request stored, with the proof that it is in the
// log. What it commits to is opened for whoever may see call records.
func (x *exchange) receipt() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	if x.s.o.Log == nil {
		return errNotYet
	}
	out, err := x.s.o.Log.Receipt(x.r.Context(), x.who.Tenant, x.r.PathValue("id"), func(ctx context.Context, writer [16]byte, part store.BatchPart) ([]store.Opened, error) {
		permit, err := x.permit(policy.View, policy.CallRecord)
		var refused *policy.Error
		if errors.As(err, &refused) {
			return nil, nil // the receipt is valid without
		}
		if err != nil {
			return nil, err
		}
		return x.s.o.Store.Opened(ctx, permit, writer, part)
	})
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, out)
}
