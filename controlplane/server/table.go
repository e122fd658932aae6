package server

import (
	"cmp"
	"slices"

	"github.com/domicile-io/domicile/internal/mtls"
)

// Row is one row of the permission table, for tools and tests that walk it.
type Row struct {
	Method string      // full gRPC name, "/package.Service/Method"
	Roles  []string    // tokens that may call it
	Nodes  []mtls.Role // certificates that may call it by themselves
	Write  bool
	Open   bool // without any credential
	Local  bool // answered by the voter that was asked, leader or not
}

// Rows are the permission table, ordered by method.
func Rows() []Row {
	out := make([]Row, 0, len(permissions))
	for method, p := range permissions {
		r := Row{Method: method, Nodes: slices.Clone(p.nodes), Write: p.write, Open: p.open, Local: p.local}
		for _, name := range p.roles {
			r.Roles = append(r.Roles, string(name))
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Row) int { return cmp.Compare(a.Method, b.Method) })
	return out
}

// RoleInfo is one role that a credential may have.
type RoleInfo struct {
	Name     string
	OfTenant bool // its holder sees one tenant only
	OfRegion bool // its holder sees one region only
}

// Roles are all roles of credentials, in the order of the role list.
func Roles() []RoleInfo {
	out := make([]RoleInfo, 0, len(roles))
	for _, s := range roles {
		out = append(out, RoleInfo{Name: string(s.role), OfTenant: s.bound == toTenant, OfRegion: s.bound == toRegion})
	}
	return out
}
