package store

import (
	"slices"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

func checkBasis(b policy.TransferBasis) *fault {
	if _, err := policy.ParseBasisID(b.ID); err != nil {
		return &fault{"id", err.Error()}
	}
	switch {
	case !b.State.Valid():
		return &fault{"state", "must be active, revoked or expired"}
	case b.ExpiresAt != nil && b.ExpiresAt.Unix() <= 0:
		return &fault{"expires_at", "must be a time"}
	case b.Grant != nil && !grantPattern(b.Grant.Signature):
		return &fault{"grant", "must be an Ed25519 signature"}
	}
	return nil
}

func grantPattern(s policy.Signature) bool {
	return keyIDPattern.MatchString(s.KeyID) && signaturePattern.MatchString(s.Value)
}

func (e *entry) putBasis(p PutBasis) (any, error) {
	old, exists, err := load[Basis](e.tx, bucketBases, []byte(p.ID))
	if err != nil {
		return nil, err
	}
	var before *policy.TransferBasis
	switch {
	case exists:
		before = &old.TransferBasis
		if err := match(p.IfMatch, old.ETag); err != nil {
			return nil, err
		}
	case p.IfMatch != "":
		return nil, policy.Errorf(policy.ETagMismatch, "the transfer basis does not exist: leave If-Match out to add it")
	}
	next := old
	next.ID, next.State, next.ExpiresAt = p.ID, p.State, utc(p.ExpiresAt)
	if p.Grant != nil {
		g := *p.Grant
		g.Until = utc(g.Until)
		next.Grant = &g
	}
	if f := checkBasis(next.TransferBasis); f != nil {
		return nil, f.refusal()
	}
	if err := next.Granted(before); err != nil {
		return nil, needsGrant(before)
	}
	if exists && sameBasis(old.TransferBasis, next.TransferBasis) {
		return old, nil
	}
	e.changed, next.ETag = true, etagOf(e.revision())
	e.touch(everyRegion, policy.Row{Basis: &next.TransferBasis}.RowKey())
	return next, e.put(bucketBases, []byte(next.ID), next)
}

// needsGrant is the refusal of a loosening: the metadata is what is to be signed.
func needsGrant(before *policy.TransferBasis) *policy.Error {
	return policy.Errorf(policy.LooseningNeedsApproval, "this opens a transfer basis, or keeps it open for longer: it needs a grant that the holder of the operator's root has signed, with `domicile bases grant`").
		With("grant_sequence", strconv.FormatUint(before.NextGrant(), 10))
}

func sameBasis(a, b policy.TransferBasis) bool {
	sameEnd := (a.ExpiresAt == nil) == (b.ExpiresAt == nil) && (a.ExpiresAt == nil || a.ExpiresAt.Equal(*b.ExpiresAt))
	return a.State == b.State && sameEnd && a.NextGrant() == b.NextGrant()
}

// utc in whole seconds, as grants sign them.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	whole := t.UTC().Truncate(time.Second)
	return &whole
}

func (e *entry) drillBasis(p DrillBasis) (any, error) {
	b, err := need[Basis](e.tx, bucketBases, []byte(p.ID), "transfer basis")
	if err != nil {
		return nil, err
	}
	e.changed = true
	now := e.stamp.Now
	b.DrilledAt = &now
	return b, e.put(bucketBases, []byte(b.ID), b)
}

// checkBases refuses a policy that would newly name a basis which does not exist.
func (e *entry) checkBases(old *Policy, p policy.ResidencyPolicy) error {
	for _, c := range policy.EgressClasses() {
		id := p.Egress[c].Basis
		if id == "" || (old != nil && old.Egress[c].Basis == id) {
			continue
		}
		if _, known := e.regions.Basis(id); !known {
			return invalid("egress."+c.String()+".basis", "is not a transfer basis of this cluster: GET /v1/bases lists them")
		}
	}
	return nil
}

// basesOf names each basis under which a policy lets something leave, once, in order.
func basesOf(p policy.ResidencyPolicy) (ids []string) {
	for _, c := range policy.EgressClasses() {
		if id := p.Egress[c].Basis; id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// indexBases keeps which tenants rely on which basis.
func (e *entry) indexBases(old *Policy, p policy.ResidencyPolicy) {
	var before []string
	after := basesOf(p)
	if old != nil {
		before = basesOf(old.ResidencyPolicy)
	}
	for _, id := range before {
		if !slices.Contains(after, id) {
			e.drop(bucketBasisTenants, path(id, p.Tenant))
		}
	}
	for _, id := range after {
		if !slices.Contains(before, id) {
			e.mark(bucketBasisTenants, path(id, p.Tenant))
		}
	}
}

// OnBasis gives the policies that name a basis, after the given tenant, ordered
// by tenant, at most limit and MaxList, and how many there are in all.
func (s *Store) OnBasis(basis string, after policy.TenantID, limit int) (out []Policy, all int, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		all = countPrefix(tx, bucketBasisTenants, path(basis, ""))
		return eachSuffix(tx, bucketBasisTenants, path(basis, ""), func(id string) error {
			if id <= string(after) || len(out) >= page(limit) {
				return nil
			}
			p, err := need[Policy](tx, bucketPolicies, []byte(id), "policy")
			if err == nil {
				out = append(out, p)
			}
			return dangling(err)
		})
	})
	return out, all, err
}
