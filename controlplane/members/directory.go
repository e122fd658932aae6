package members

import (
	"slices"

	"github.com/domicile-io/domicile/controlplane/store"
)

// Address is where a member listens, host:port each.
type Address struct{ Raft, GRPC string }

// Directory finds members by name.
type Directory struct {
	store *store.Store
	seed  map[string]Address // of a new cluster, until its members have announced themselves
	reach map[string]Address // what is different from here; "" is as announced
}

// NewDirectory makes a directory. seed and reach may be nil.
func NewDirectory(st *store.Store, seed, reach map[string]Address) *Directory {
	return &Directory{store: st, seed: seed, reach: reach}
}

// Announced is where a member says that it is reached: what others may be told.
func (d *Directory) Announced(name string) (Address, bool) {
	if m, ok := d.store.Members().Find(store.MemberName(name)); ok && m.RaftAddress != "" {
		return Address{Raft: m.RaftAddress, GRPC: m.GRPCAddress}, true
	}
	a, ok := d.seed[name]
	return a, ok
}

// Reached is where this process reaches a member.
func (d *Directory) Reached(name string) (Address, bool) {
	a, ok := d.Announced(name)
	if near, differs := d.reach[name]; differs {
		if near.Raft != "" {
			a.Raft = near.Raft
		}
		if near.GRPC != "" {
			a.GRPC = near.GRPC
		}
		ok = ok || near.Raft != "" && near.GRPC != ""
	}
	return a, ok
}

// RaftAddress is replica.Options.Address.
func (d *Directory) RaftAddress(name string) (string, bool) {
	a, ok := d.Reached(name)
	return a.Raft, ok && a.Raft != ""
}

// Names lists the members that this process knows, ordered.
func (d *Directory) Names() []string {
	var out []string
	for name := range d.seed {
		if m, ok := d.store.Members().Find(store.MemberName(name)); !ok || m.RemovedAt == nil {
			out = append(out, name)
		}
	}
	for _, m := range d.store.Members().Present() {
		out = append(out, string(m.Name))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
