package server

import (
	"slices"
	"time"

	"github.com/domicile-io/domicile/controlplane/store"
)

// role is what a credential's holder may be.
type role string

const (
	operator        role = "operator"
	securityOfficer role = "security_officer"
	regionAdmin     role = "region_admin"
	auditor         role = "auditor"
	terraform       role = "terraform"
	tenantAdmin     role = "tenant_admin"
	tenantReader    role = "tenant_reader"
)

// The roles that nobody is given: of the bootstrap token, and of a login that
// nothing is bound to.
const (
	bootstrapper role = "bootstrap"
	unbound      role = "unbound"
)

// binding is what a role is confined to.
type binding string

const (
	toCluster binding = "cluster"
	toRegion  binding = "region"
	toTenant  binding = "tenant"
)

const day = 24 * time.Hour

// rank is what there is to know of a role beside the permission table.
type rank struct {
	role    role
	bound   binding
	longest time.Duration // of a token
	gives   []role        // in tokens and bindings, and takes away again
	about   string
}

// roles is the one list of what credentials can be given.
var roles = []rank{
	{operator, toCluster, 30 * day, []role{operator, regionAdmin, auditor, terraform, tenantAdmin, tenantReader}, "runs the system: regions, tenants, policies, members"},
	{securityOfficer, toCluster, 7 * day, []role{operator, securityOfficer, regionAdmin, auditor, terraform, tenantAdmin, tenantReader}, "gives and takes credentials, signing keys and approvals; places nothing"},
	{regionAdmin, toRegion, 30 * day, nil, "looks after one region; others do not exist for them"},
	{auditor, toCluster, 30 * day, nil, "reads everything, changes nothing"},
	{terraform, toCluster, 90 * day, nil, "the program that places tenants and writes policies"},
	{tenantAdmin, toTenant, 30 * day, nil, "one tenant: keys, policies, recipients"},
	{tenantReader, toTenant, 30 * day, nil, "one tenant, reading"},
}

func roleNames() []role {
	names := make([]role, len(roles))
	for i, s := range roles {
		names[i] = s.role
	}
	return names
}

// rank finds a role in the list; the zero value is no role's.
func (r role) rank() rank {
	if i := slices.IndexFunc(roles, func(s rank) bool { return s.role == r }); i >= 0 {
		return roles[i]
	}
	return rank{}
}

// gives reports whether a holder may give another a role, or take it away.
func (r role) gives(other role) bool {
	if r == bootstrapper {
		return other == operator || other == securityOfficer
	}
	return slices.Contains(r.rank().gives, other)
}

// sound reports whether a stored scope is of a role and confined as the role
// demands. What is not sound opens nothing.
func sound(s store.Scope) bool {
	st := role(s.Role).rank()
	return st.role != "" && (st.bound == toTenant) == (s.Tenant != "") && (st.bound == toRegion) == (s.Region != "")
}
