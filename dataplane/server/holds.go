package server

import (
	"net/http"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/policy"
)

// holds answers legal holds, released ones included.
func (x *exchange) holds() error {
	service, err := x.subjects()
	if err != nil {
		return err
	}
	p := newParams(x.r.URL)
	size, token := p.pageSize(), p.take("page_token")
	if err := p.done(); err != nil {
		return err
	}
	list, next, err := service.Holds(x.r.Context(), x.who.Tenant, size, token)
	if err != nil {
		return err
	}
	out := data.Holds{Holds: make([]data.Hold, 0, len(list)), NextPageToken: next}
	for i := range list {
		out.Holds = append(out.Holds, holdForm(&list[i]))
	}
	return x.answer(http.StatusOK, out)
}

// putHold sets a legal hold: what it covers is not destroyed while it stands.
func (x *exchange) putHold() error {
	service, err := x.subjects()
	if err != nil {
		return err
	}
	var in data.HoldRequest
	if err := x.plainBody(&in); err != nil {
		return err
	}
	h := subject.Hold{Reason: in.Reason, Reference: in.Reference, By: x.who.Key}
	if in.Until != nil {
		h.Until = in.Until.UTC()
	}
	var who *subject.Who
	if in.SubjectRef != (data.SubjectRef{}) || !in.Everybody {
		w, err := x.person(in.SubjectRef)
		if err != nil {
			return err
		}
		if who = &w; in.Everybody {
			return invalid([]policy.FieldError{{Field: "everybody", Message: "does not go together with a number"}})
		}
	}
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	if h, err = service.PutHold(ctx, x.who.Tenant, who, h); err != nil {
		return err
	}
	return x.answer(http.StatusCreated, holdForm(&h))
}

// releaseHold ends a legal hold.
func (x *exchange) releaseHold() error {
	service, err := x.subjects()
	if err != nil {
		return err
	}
	var in data.HoldRelease
	if err := x.plainBody(&in); err != nil {
		return err
	}
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	h, err := service.ReleaseHold(ctx, x.who.Tenant, in.ID)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, holdForm(&h))
}

func holdForm(h *subject.Hold) data.Hold {
	out := data.Hold{ID: h.ID, Everybody: h.Everybody, Owners: subject.OwnerForms(h.Owners), Reason: h.Reason, Reference: h.Reference,
		Created: h.Created.UTC(), CreatedBy: string(h.By)}
	if !h.Until.IsZero() {
		out.Until = &h.Until
	}
	if !h.Released.IsZero() {
		out.Released = &h.Released
	}
	return out
}
