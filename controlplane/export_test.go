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

// Confirmations is how often this voter made sure that it leads.
func (p *Plane) Confirmations() uint64 { return p.replica.Confirmations() }

// LastLog is the index of this voter's last Raft entry.
func (p *Plane) LastLog() uint64 { return p.replica.Status().LastLog }
