package store

import (
	"bytes"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// Limits of one purge.
const (
	maxPurgeNodes    = 256
	maxPurgeReceipts = 1000
)

// gone is the refusal of what would bring an ending tenant back.
func gone(t Tenant) *policy.Error {
	return policy.Errorf(policy.Destroyed, "the tenant has ended (%s): its data is destroyed and it cannot come back; place another, under another slug", t.State).With("state", string(t.State))
}

// living is a tenant that has not ended.
func (e *entry) living(id policy.TenantID) (Tenant, error) {
	t, err := need[Tenant](e.tx, bucketTenants, []byte(id), "tenant")
	if err == nil && t.State.Ends() {
		err = gone(t)
	}
	return t, err
}

func (e *entry) setTenantState(p SetTenantState) (any, error) {
	t, err := e.living(p.ID)
	if err != nil {
		return nil, err
	}
	if p.IfMatch != "" {
		if err := match(p.IfMatch, t.ETag); err != nil {
			return nil, err
		}
	}
	if p.State != policy.TenantActive && p.State != policy.TenantSuspended {
		return nil, invalid("state", "must be active or suspended")
	}
	if t.State == p.State {
		return t, nil
	}
	e.changed = true
	t.State, t.ETag = p.State, etagOf(e.revision())
	return t, e.storeTenant(t)
}

// storeTenant stages a tenant, and touches every row that shows its state.
func (e *entry) storeTenant(t Tenant) error {
	e.touch(t.Home, tenantRow(t.ID))
	regions, err := list[Region](e.tx, bucketRegions, nil, nil, -1, nil)
	if err != nil {
		return err
	}
	for _, r := range regions {
		if err := eachSuffix(e.tx, bucketPairs, path(r.ID, string(t.ID)+"/"), func(recipient string) error {
			e.touch(r.ID, pairRow(t.ID, policy.RecipientID(recipient)))
			return nil
		}); err != nil {
			return err
		}
	}
	return e.put(bucketTenants, []byte(t.ID), t)
}

func (e *entry) purgeTenant(p PurgeTenant) (any, error) {
	t, err := need[Tenant](e.tx, bucketTenants, []byte(p.ID), "tenant")
	if err != nil {
		return nil, err
	}
	if t.State.Ends() {
		return e.purgeAgain(t, p)
	}
	if err := match(p.IfMatch, t.ETag); err != nil {
		return nil, err
	}
	if !policy.ValidID(policy.KindOperation, p.Operation) {
		return nil, invalid("operation", "must be OP and 32 hex digits")
	}
	if err := checkPurgeNodes(p.Nodes, t.Home); err != nil {
		return nil, err
	}
	doc, err := need[Policy](e.tx, bucketPolicies, []byte(t.ID), "policy")
	if err != nil {
		return nil, dangling(err)
	}
	if err := e.mayEnd(t, doc, p.Signatures); err != nil {
		return nil, err
	}
	e.changed = true
	if err := e.dropBelongings(t, doc); err != nil {
		return nil, err
	}
	t.State, t.ETag = policy.TenantPurging, etagOf(e.revision())
	t.Purge = &Purge{PurgeOrder: policy.PurgeOrder{ID: p.Operation, Signatures: p.Signatures}, Delete: p.Delete, StartedAt: e.stamp.Now,
		Signers: doc.Signers, Nodes: p.Nodes, Missing: p.Nodes}
	if err := e.put(bucketOperations, []byte(p.Operation), t.ID); err != nil {
		return nil, err
	}
	return t, e.storeTenant(t)
}

// purgeAgain: what runs goes on, and may be told to delete at its end.
func (e *entry) purgeAgain(t Tenant, p PurgeTenant) (any, error) {
	if t.State == policy.TenantDeleted || t.Purge.Delete == p.Delete || !p.Delete {
		return t, nil
	}
	if err := match(p.IfMatch, t.ETag); err != nil {
		return nil, err
	}
	e.changed = true
	next := *t.Purge
	next.Delete = true
	t.Purge, t.ETag = &next, etagOf(e.revision())
	e.settle(&t)
	return t, e.storeTenant(t)
}

func checkPurgeNodes(nodes []PurgeNode, home policy.RegionID) error {
	if len(nodes) > maxPurgeNodes {
		return invalid("nodes", "may be %d at most", maxPurgeNodes)
	}
	atHome := false
	seen := map[PurgeNode]bool{}
	for _, n := range nodes {
		if _, err := policy.ParseRegionID(string(n.Region)); err != nil || !policy.ValidID(policy.KindNode, string(n.Node)) || seen[n] {
			return invalid("nodes", "must be regions and ND ids, each once")
		}
		seen[n] = true
		atHome = atHome || n.Region == home
	}
	if !atHome {
		return invalid("nodes", "must have one of the home region: a purge that nobody carries out destroys nothing")
	}
	return nil
}

// mayEnd: a tenant that signs is ended by its key and a second person, who sign
// what every node verifies again.
func (e *entry) mayEnd(t Tenant, doc Policy, signatures []policy.Signature) error {
	if doc.Signers == nil {
		if len(signatures) > 0 {
			return invalid("signatures", "must be left out: the tenant has no signing key")
		}
		return nil
	}
	cluster, err := need[Cluster](e.tx, bucketMeta, metaCluster, "cluster yet")
	if err != nil {
		return err
	}
	for _, s := range signatures {
		if !grantPattern(s) {
			return invalid("signatures", "must be Ed25519 signatures")
		}
	}
	if err := doc.Signers.VerifyPurge(cluster.ID, t.ID, signatures); err != nil {
		return policy.Errorf(policy.ApprovalRequired, "%s; both sign with `domicile tenants sign-purge`, each on their own machine", err)
	}
	return nil
}

// dropBelongings takes out what a tenant has in the replicated state. Pairs stay:
// by them recipients' regions learn of the order.
func (e *entry) dropBelongings(t Tenant, doc Policy) error {
	keys, err := keysOf(e.tx, t.ID, "", MaxKeys)
	if err != nil {
		return dangling(err)
	}
	for _, k := range keys {
		e.drop(bucketKeys, []byte(k.ID))
		e.drop(bucketTenantKeys, path(t.ID, k.ID))
	}
	for _, id := range basesOf(doc.ResidencyPolicy) {
		e.drop(bucketBasisTenants, path(id, t.ID))
	}
	e.drop(bucketPolicies, []byte(t.ID))
	prefix := path(t.ID, "")
	c := e.tx.Bucket(bucketPending).Cursor()
	for k, raw := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, raw = c.Next() {
		id, err := decode[string](bucketPending, k, raw)
		if err != nil {
			return err
		}
		ch, err := need[Change](e.tx, bucketChanges, []byte(id), "change")
		if err != nil {
			return dangling(err)
		}
		ch.State, ch.ETag = ChangeRejected, etagOf(e.revision())
		e.drop(bucketPending, bytes.Clone(k))
		if err := e.put(bucketChanges, []byte(id), ch); err != nil {
			return err
		}
	}
	return nil
}

func (e *entry) recordPurge(p RecordPurge) (any, error) {
	r := p.Receipt
	t, err := need[Tenant](e.tx, bucketTenants, []byte(r.Tenant), "purge of that tenant")
	if err != nil {
		return nil, err
	}
	if t.Purge == nil || t.Purge.ID != r.Order {
		return nil, policy.Errorf(policy.NotFound, "no such purge order")
	}
	if !hashPattern.MatchString(p.SHA256) || !receiptPattern.MatchString(p.Signature) || !policy.ValidID(policy.KindNode, string(r.Node)) || r.Time.Unix() <= 0 {
		return nil, invalid("receipt", "is malformed")
	}
	if _, err := policy.ParseRegionID(string(r.Region)); err != nil {
		return nil, invalid("receipt.region", "%v", err)
	}
	key := []byte(string(r.Tenant) + "/" + string(r.Node) + "/" + p.SHA256[:16])
	if _, ok, err := load[PurgeReceipt](e.tx, bucketReceipts, key); err != nil || ok {
		return t, err
	}
	if countPrefix(e.tx, bucketReceipts, path(r.Tenant, "")) >= maxPurgeReceipts {
		return nil, policy.Errorf(policy.Overloaded, "there are %d receipts of this purge, the most that are kept", maxPurgeReceipts)
	}
	e.changed = true
	if err := e.put(bucketReceipts, key, PurgeReceipt{PurgeReceipt: r, SHA256: p.SHA256, Signature: p.Signature, RecordedAt: e.stamp.Now}); err != nil {
		return nil, err
	}
	return e.noLongerMissing(t, PurgeNode{r.Region, r.Node}, false)
}

func (e *entry) excuseNode(p ExcuseNode) (any, error) {
	t, err := need[Tenant](e.tx, bucketTenants, []byte(p.Tenant), "tenant")
	if err != nil {
		return nil, err
	}
	if t.Purge != nil {
		for _, n := range t.Purge.Missing {
			if n.Node != p.Node {
				continue
			}
			known, ok, err := load[Node](e.tx, bucketNodes, []byte(p.Node))
			if err != nil {
				return nil, err
			}
			if !ok || known.State != NodeEvicted { // it may be back in a moment, and has everything of the tenant
				return nil, invalid("node", "is not evicted: away is not gone, and what lies on its disk would pass for destroyed; if its receipt will never come, evict it first: domicile nodes evict %s --reason LOST", p.Node)
			}
			e.changed = true
			return e.noLongerMissing(t, n, true)
		}
	}
	return nil, policy.Errorf(policy.AlreadyExists, "no receipt of that node is waited for: there is nothing to excuse")
}

// noLongerMissing takes a node off the list, and ends the purge with the last.
func (e *entry) noLongerMissing(t Tenant, n PurgeNode, excused bool) (any, error) {
	next := *t.Purge
	next.Missing = nil
	for _, m := range t.Purge.Missing {
		if m != n {
			next.Missing = append(next.Missing, m)
		}
	}
	if excused {
		next.Excused = append(slices.Clone(next.Excused), n)
	}
	t.Purge, t.ETag = &next, etagOf(e.revision())
	if len(next.Missing) == 0 && t.State == policy.TenantPurging {
		t.State = policy.TenantPurged
		next.EndedAt = &e.stamp.Now
	}
	e.settle(&t)
	return t, e.storeTenant(t)
}

// settle deletes a tenant that is purged and was to be deleted.
func (e *entry) settle(t *Tenant) {
	if t.State == policy.TenantPurged && t.Purge.Delete {
		t.State = policy.TenantDeleted
	}
}

func (e *entry) deleteTenant(p DeleteTenant) (any, error) {
	t, err := need[Tenant](e.tx, bucketTenants, []byte(p.ID), "tenant")
	if err != nil {
		return nil, err
	}
	if t.State == policy.TenantDeleted {
		return t, nil
	}
	if err := match(p.IfMatch, t.ETag); err != nil {
		return nil, err
	}
	if t.State != policy.TenantPurged {
		return nil, invalid("purge", "must be true: the tenant's data is in %s and is not destroyed yet", t.Home)
	}
	e.changed = true
	next := *t.Purge
	next.Delete = true
	t.State, t.Purge, t.ETag = policy.TenantDeleted, &next, etagOf(e.revision())
	return t, e.storeTenant(t)
}

// TenantOf finds the tenant whose end an operation is.
func (s *Store) TenantOf(operation string) (t Tenant, err error) {
	err = s.peek(func(tx *bolt.Tx) error {
		id, err := need[policy.TenantID](tx, bucketOperations, []byte(operation), "operation")
		if err != nil {
			return err
		}
		t, err = need[Tenant](tx, bucketTenants, []byte(id), "tenant")
		return dangling(err)
	})
	return t, err
}

// PurgeReceipts lists the receipts of a tenant's purge, ordered by node.
func (s *Store) PurgeReceipts(id policy.TenantID) ([]PurgeReceipt, error) {
	return all[PurgeReceipt](s, bucketReceipts, path(id, ""))
}
