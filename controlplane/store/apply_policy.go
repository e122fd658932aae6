package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// place fills in what the state knows better than any caller.
func place(t Tenant, p policy.ResidencyPolicy) policy.ResidencyPolicy {
	p.Tenant, p.HomeRegion, p.Boundary, p.HomeEpoch, p.ContractingEntity = t.ID, t.Home, t.Boundary, t.HomeEpoch, t.Entity
	return p
}

// writePolicy validates and stages a tenant's policy, its inbound pairs and the
// rows that they touch, and gives what it stored: encoding a policy is the
// dearest part of applying one. old is nil for a new tenant.
func (e *entry) writePolicy(t Tenant, old *Policy, p policy.ResidencyPolicy) (storedRow, error) {
	return e.writeSigned(t, old, p, nil)
}

// writeSigned is writePolicy for a tenant that signs its policies.
func (e *entry) writeSigned(t Tenant, old *Policy, p policy.ResidencyPolicy, signers *policy.Signers) (storedRow, error) {
	p = place(t, p)
	p.Revision = e.revision()
	if err := e.validate(p); err != nil {
		return nil, err
	}
	if old == nil || !maps.Equal(old.Egress, p.Egress) {
		if err := e.checkBases(old, p); err != nil {
			return nil, err
		}
		e.indexBases(old, p)
	}
	if old != nil {
		for _, r := range old.Recipients.List {
			e.drop(bucketPairs, pairKey(r.Region, t.ID, r.ID))
			e.touch(r.Region, pairRow(t.ID, r.ID))
		}
	}
	for _, r := range p.Recipients.List {
		e.mark(bucketPairs, pairKey(r.Region, t.ID, r.ID))
		e.touch(r.Region, pairRow(t.ID, r.ID))
	}
	e.touch(t.Home, tenantRow(t.ID))
	content, err := encode(Policy{ResidencyPolicy: p, Signers: signers, ETag: etagOf(e.revision())})
	if err != nil {
		return nil, err
	}
	e.writes = append(e.writes, write{bucketPolicies, []byte(t.ID), content})
	return content, nil
}

// validate checks a policy against the regions as they are now.
func (e *entry) validate(p policy.ResidencyPolicy) error {
	if fields := p.Validate(e.regions); len(fields) > 0 {
		return &policy.Error{Reason: policy.InvalidArgument, Message: "the policy is invalid: correct the named fields", Fields: fields}
	}
	if refusal := p.NotYet(); refusal != nil {
		return refusal
	}
	return nil
}

func (e *entry) putPolicy(p PutPolicy) (any, error) {
	k, err := e.known(p.Tenant)
	if err != nil {
		return nil, err
	}
	t, old := k.tenant, k.policy
	if err := match(p.IfMatch, old.ETag); err != nil {
		return nil, err
	}
	if p.Policy.HomeRegion != "" && p.Policy.HomeRegion != t.Home {
		return nil, policy.Errorf(policy.RegionImmutable, "a home region changes only by a move: leave home_region as it is")
	}
	doc := place(t, p.Policy)
	if same, err := samePolicy(old.ResidencyPolicy, doc); err != nil || same {
		return old, err
	}
	if old.Signers != nil {
		return nil, policy.Errorf(policy.ApprovalRequired, "the tenant signs its policies: the change must become a pending one")
	}
	if kind, _ := policy.Classify(&old.ResidencyPolicy, &doc); kind == policy.Loosen {
		return nil, policy.Errorf(policy.LooseningNeedsApproval, "the policy would loosen: it must become a pending change")
	}
	e.changed = true
	content, err := e.writePolicy(t, &old, doc)
	if err == nil && len(e.command) <= maxRemembered {
		doc.Revision = e.revision()
		e.made = &known{tenant: t, policy: Policy{ResidencyPolicy: doc, ETag: etagOf(doc.Revision)}}
	}
	return content, err
}

func (e *entry) tenantAndPolicy(id policy.TenantID, ifMatch string) (t Tenant, p Policy, err error) {
	if t, err = e.living(id); err != nil {
		return t, p, err
	}
	if p, err = need[Policy](e.tx, bucketPolicies, []byte(id), "policy"); err != nil {
		return t, p, err
	}
	return t, p, match(ifMatch, p.ETag)
}

// samePolicy compares everything but the revision and who signed it.
func samePolicy(a, b policy.ResidencyPolicy) (bool, error) {
	if !maps.Equal(a.Classes, b.Classes) || !maps.Equal(a.Egress, b.Egress) {
		return false, nil // the usual change, seen without encoding both
	}
	a.Revision, b.Revision = 0, 0
	a.Signatures, b.Signatures = nil, nil
	x, err := encode(Policy{ResidencyPolicy: a})
	if err != nil {
		return false, err
	}
	y, err := encode(Policy{ResidencyPolicy: b})
	return bytes.Equal(x, y), err
}

func (e *entry) addChange(p AddChange) (any, error) {
	t, old, err := e.tenantAndPolicy(p.Tenant, p.IfMatch)
	if err != nil {
		return nil, err
	}
	doc := place(t, p.Proposed)
	doc.Revision, doc.Signatures = 0, nil
	canonical, err := doc.Canonical()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(canonical)
	if p.Hash != hex.EncodeToString(sum[:]) {
		return nil, invalid("hash", "is not SHA-256 of the proposed policy")
	}
	if id, ok, err := load[string](e.tx, bucketPending, path(t.ID, p.Hash)); err != nil {
		return nil, err
	} else if ok {
		c, err := need[Change](e.tx, bucketChanges, []byte(id), "change")
		if err != nil || c.Base == old.ETag {
			return c, err
		}
		return e.rebase(c, old, p.Fields)
	}
	if err := e.checkNewChange(p, old, doc); err != nil {
		return nil, err
	}
	e.changed = true
	c := Change{ID: p.ID, Tenant: t.ID, State: ChangePending, Hash: p.Hash, Fields: p.Fields,
		Proposed: doc, CreatedAt: e.stamp.Now, ETag: etagOf(e.revision()), Base: old.ETag, Sequence: nextSequence(old)}
	if err := e.put(bucketPending, path(t.ID, c.Hash), c.ID); err != nil {
		return nil, err
	}
	return c, e.put(bucketChanges, []byte(c.ID), c)
}

func checkFields(fields []policy.FieldChange) error {
	for _, f := range fields {
		if !fieldPattern.MatchString(f.Field) || !textPattern.MatchString(f.From) || !textPattern.MatchString(f.To) {
			return invalid("fields", "must hold names and codes only")
		}
	}
	return nil
}

func (e *entry) checkNewChange(p AddChange, old Policy, doc policy.ResidencyPolicy) error {
	if !policy.ValidID(policy.KindChange, p.ID) {
		return invalid("id", "must be CH and 32 hex digits")
	}
	if err := checkFields(p.Fields); err != nil {
		return err
	}
	if _, ok, err := load[Change](e.tx, bucketChanges, []byte(p.ID)); err != nil {
		return err
	} else if ok {
		return policy.Errorf(policy.AlreadyExists, "the change id is taken: send the request again")
	}
	if kind, _ := policy.Classify(&old.ResidencyPolicy, &doc); kind != policy.Loosen && old.Signers == nil {
		return invalid("proposed", "does not loosen: put it as a policy")
	}
	if err := e.validate(doc); err != nil {
		return err
	}
	if n := countPrefix(e.tx, bucketPending, path(p.Tenant, "")); n >= MaxPendingChanges {
		return policy.Errorf(policy.Overloaded, "%d changes of this tenant are pending: reject some first", n)
	}
	return nil
}

func (e *entry) rejectChange(p RejectChange) (any, error) {
	c, err := need[Change](e.tx, bucketChanges, []byte(p.ID), "change")
	if err != nil {
		return nil, err
	}
	if p.IfMatch != "" {
		if err := match(p.IfMatch, c.ETag); err != nil {
			return nil, err
		}
	}
	if c.State != ChangePending {
		return nil, policy.Errorf(policy.AlreadyExists, "the change is already %s: nothing is left to reject", c.State).With("state", string(c.State))
	}
	e.changed = true
	c.State, c.ETag = ChangeRejected, etagOf(e.revision())
	e.drop(bucketPending, path(c.Tenant, c.Hash))
	return c, e.put(bucketChanges, []byte(c.ID), c)
}

// countPrefix counts the keys that begin with prefix.
func countPrefix(tx *bolt.Tx, bucket, prefix []byte) (n int) {
	c := tx.Bucket(bucket).Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		n++
	}
	return n
}
