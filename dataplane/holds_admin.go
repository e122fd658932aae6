package dataplane

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/policy"
)

// EndedHold is a legal hold of a tenant whose end was ordered, as the administrator
// of a node sees it: whom it is about, only the tenant was told.
type EndedHold struct {
	ID        string          `json:"id"`
	Tenant    policy.TenantID `json:"tenant"`
	Order     string          `json:"order"` // OP…, of the tenant's end
	Everybody bool            `json:"everybody,omitempty"`
	Reason    string          `json:"reason"`
	Reference string          `json:"reference,omitempty"`
	Created   time.Time       `json:"create_time"`
	CreatedBy policy.KeyID    `json:"created_by"`
	Until     time.Time       `json:"until,omitzero"`
	Released  time.Time       `json:"release_time,omitzero"`
	Stands    bool            `json:"stands"` // the end waits for it
}

// HoldsAnswer is what the socket answers to `region holds`. With an error it may have
// holds nevertheless: those of tenants whose holds can be read.
type HoldsAnswer struct {
	Holds []EndedHold `json:"holds"`
	Error string      `json:"error,omitempty"`
}

// holdRoutes are the verbs of `domicile-dataplane region holds`.
func (n *Node) holdRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /region/holds", holdsAnswered(func(r *http.Request) ([]EndedHold, error) { return n.endedHolds(r.Context()) }))
	mux.HandleFunc("POST /region/holds:release", holdsAnswered(func(r *http.Request) ([]EndedHold, error) {
		return n.releaseEnded(context.WithoutCancel(r.Context()), r.FormValue("hold")) // whoever asked may leave
	}))
}

func holdsAnswered(do func(*http.Request) ([]EndedHold, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		holds, err := do(r)
		a := HoldsAnswer{Holds: holds}
		if err != nil {
			a.Error = err.Error()
		}
		_ = json.NewEncoder(w).Encode(a)
	}
}

// endedHolds lists the holds of every tenant whose end was ordered here, also beside
// an error of those that cannot be read.
func (n *Node) endedHolds(ctx context.Context) (out []EndedHold, err error) {
	service, view := n.subjects.Load(), n.feed.Current()
	if service == nil || view == nil {
		return nil, policy.Errorf(policy.NotReady, "the node has no bundle yet; try again in a moment")
	}
	orders := view.Orders()
	all, err := service.EveryHold(ctx, maps.Keys(orders))
	for _, tenant := range slices.Sorted(maps.Keys(all)) {
		for i := range all[tenant] {
			out = append(out, endedHold(service, tenant, orders[tenant].ID, &all[tenant][i]))
		}
	}
	return out, err
}

func endedHold(service *subject.Service, tenant policy.TenantID, order string, h *subject.Hold) EndedHold {
	return EndedHold{ID: h.ID, Tenant: tenant, Order: order, Everybody: h.Everybody, Reason: h.Reason, Reference: h.Reference,
		Created: h.Created, CreatedBy: h.By, Until: h.Until, Released: h.Released, Stands: service.Stands(h)}
}

// releaseEnded releases one of them. A hold of a tenant that lives is the tenant's
// own: it is not found here.
func (n *Node) releaseEnded(ctx context.Context, id string) ([]EndedHold, error) {
	all, unread := n.endedHolds(ctx)
	at := slices.IndexFunc(all, func(h EndedHold) bool { return h.ID == id })
	if at < 0 && unread != nil { // it may be one of those
		return nil, unread
	}
	if at < 0 {
		return nil, policy.Errorf(policy.NotFound, "no tenant whose end was ordered has such a hold here; `region holds list` shows those there are. A tenant that lives releases its holds itself: domicile subjects holds release")
	}
	service := n.subjects.Load()
	h, err := service.ReleaseEnded(ctx, all[at].Tenant, id, all[at].Order)
	if err != nil {
		return nil, err
	}
	n.log.Info("a legal hold of a tenant that ends was released by the node's administrator", "hold", id, "tenant", string(all[at].Tenant), "order", all[at].Order)
	return []EndedHold{endedHold(service, all[at].Tenant, all[at].Order, &h)}, nil
}
