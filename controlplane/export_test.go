package controlplane

import (
	"context"

	"github.com/domicile-io/domicile/controlplane/store"
)

// State lets tests look under the API: whether a refused request changed anything.
func (p *Plane) State() *store.Store { return p.store }

// Propose lets tests make states that a clock or an operator would make later.
func (p *Plane) Propose(ctx context.Context, c store.Command) (store.Result, error) {
	return p.replica.Propose(ctx, c)
}
