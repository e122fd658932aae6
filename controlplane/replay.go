package controlplane

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"

	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/controlplane/backup"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// ExportedLog is what `domicile audit list -o json` printed: the whole audit log
// up to a signed checkpoint. It says what was taken back after a backup, so that
// a restore does not give it out again.
type ExportedLog struct {
	Checkpoint backup.Checkpoint `json:"checkpoint"`
	Leaves     []string          `json:"leaves"`
	Beside
}

// Beside is what the records do not say, and a restore needs to repeat them. It
// is not signed: a withdrawal has its own signature, and a slug that is reserved
// too much costs a name.
type Beside struct {
	Slugs       map[policy.TenantID]policy.Slug         `json:"slugs,omitempty"`       // of all tenants that were ever made
	Withdrawals map[policy.TenantID][]policy.Withdrawal `json:"withdrawals,omitempty"` // of approvers, all of each tenant
}

// Replayed says which revocations of after the backup a restore repeated.
type Replayed struct {
	Records int      `json:"records"` // of the log, later than the backup
	Revoked []string `json:"revoked"` // ids that were taken back again
	// Lost are records whose effect is gone and cannot be repeated: a log says what
	// was changed, not to what.
	Lost []verify.Leaf `json:"lost"`
}

// after verifies the log and gives its records from after the backup, and the
// revision it ends at. A nil log has none.
func (l *ExportedLog) after(m backup.Manifest, root ed25519.PublicKey) (later []verify.Leaf, newest uint64, err error) {
	if l == nil {
		return nil, 0, nil
	}
	own, err := m.Checkpoint.Open(m.Cluster, root)
	if err != nil {
		return nil, 0, err
	}
	at, err := l.Checkpoint.Open(m.Cluster, root)
	if err != nil {
		return nil, 0, fmt.Errorf("the exported audit log: %w", err)
	}
	leaves, err := l.read(own, at)
	var f *verify.Finding
	if errors.As(err, &f) && forks(f) && l.beginsAnEpoch() {
		// The log went on after an earlier restore, and the backup is of before it: the
		// log is judged by its own checkpoint, and all of it is later.
		own = verify.Checkpoint{}
		leaves, err = l.read(at)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("the exported audit log: %w", err)
	}
	if len(leaves) > 0 {
		newest = leaves[len(leaves)-1].Revision
	}
	return leaves[min(own.Size, uint64(len(leaves))):], newest, nil
}

func forks(f *verify.Finding) bool {
	return f.Kind == verify.Altered || f.Kind == verify.Fork || f.Kind == verify.Truncated
}

func (l *ExportedLog) beginsAnEpoch() bool {
	for _, raw := range l.Leaves {
		if leaf, err := verify.ParseLeaf([]byte(raw)); err == nil && policy.EpochOf(leaf.Revision) > 1 {
			return true
		}
	}
	return false
}

func (l *ExportedLog) read(at ...verify.Checkpoint) ([]verify.Leaf, error) {
	log, err := verify.NewLog(at...)
	if err != nil {
		return nil, err
	}
	out := make([]verify.Leaf, 0, len(l.Leaves))
	for _, raw := range l.Leaves {
		if err := log.Add([]byte(raw)); err != nil {
			return nil, err
		}
		leaf, err := verify.ParseLeaf([]byte(raw))
		if err != nil {
			return nil, err
		}
		out = append(out, leaf)
	}
	return out, log.Done()
}

// revoke repeats what the records took back. What is gone already is no error.
func (a *applier) revoke(later []verify.Leaf) (Replayed, error) {
	out := Replayed{Records: len(later), Revoked: []string{}, Lost: []verify.Leaf{}}
	a.ended = map[policy.TenantID]bool{}
	for _, leaf := range later {
		if endsTenant(leaf.Action) {
			a.ended[policy.TenantID(leaf.Resource)] = true
		}
	}
	for _, leaf := range later {
		p, known, err := a.revocation(leaf)
		if err != nil {
			return out, err
		}
		if !known && passing(leaf.Action) {
			continue
		}
		if _, suspends := p.(store.SetTenantState); !known || suspends && endsTenant(leaf.Action) { // what is repeated of an end is that nothing goes on
			out.Lost = append(out.Lost, leaf)
		}
		if p == nil {
			continue // it is not there
		}
		res, err := a.apply(p)
		if err != nil {
			return out, err
		}
		if res.Err != nil {
			return out, fmt.Errorf("repeat %s of %s: %w", leaf.Action, leaf.Resource, res.Err)
		}
		out.Revoked = append(out.Revoked, leaf.Resource)
	}
	return out, nil
}

// revocation makes the command that a record of a revocation repeats: nil when
// what it took back is not in the state; known is false for other records.
func (a *applier) revocation(leaf verify.Leaf) (p store.Payload, known bool, err error) {
	switch leaf.Action {
	case "key.delete":
		k, err := a.store.Key(policy.KeyID(leaf.Resource))
		if absent(err) {
			return nil, true, nil
		}
		return store.DeleteKey{Tenant: k.Tenant, ID: k.ID, IfMatch: k.ETag}, true, err
	case "node.evict": // also of a node that the backup does not know yet
		id := policy.NodeID(leaf.Resource)
		n, err := a.store.Node(id)
		if err == nil && n.State == store.NodeEvicted {
			return nil, true, nil
		}
		if absent(err) {
			err = nil
		}
		return store.EvictNode{ID: id, Reason: "COMPROMISED"}, true, err
	case "basis.put":
		// The record does not say to what it was changed: it may have been a revocation,
		// and opening it again needs a grant of the root.
		b, err := a.store.Basis(leaf.Resource)
		if absent(err) {
			return nil, true, nil
		}
		return store.PutBasis{ID: b.ID, State: policy.BasisRevoked, ExpiresAt: b.ExpiresAt, IfMatch: b.ETag}, true, err
	}
	switch id := policy.TenantID(leaf.Resource); {
	case leaf.Action == "signing_key.withdraw":
		return a.withdrawal(id)
	case endsTenant(leaf.Action):
		if _, err := a.store.Tenant(id); absent(err) {
			return a.reservation(id)
		}
		fallthrough
	case leaf.Action == "tenant.suspend":
		p, err := a.suspension(id)
		return p, true, err
	}
	return nil, false, nil
}

// endsTenant reports whether a record is of a tenant's end.
func endsTenant(a string) bool {
	return a == "tenant.purge" || a == "tenant.delete" || a == "tenant.receipt"
}

// suspension keeps a tenant from coming back that was suspended or ended after the
// backup. It is not purged again: that takes nodes, which are not known yet, and of
// a tenant that signs two signatures, which no record holds. nil when there is
// nothing to suspend.
func (a *applier) suspension(id policy.TenantID) (store.Payload, error) {
	t, err := a.store.Tenant(id)
	switch {
	case absent(err):
		return nil, nil
	case err != nil:
		return nil, err
	case t.State != policy.TenantActive:
		return nil, nil
	}
	return store.SetTenantState{ID: id, State: policy.TenantSuspended, IfMatch: t.ETag}, nil
}

// passing are records whose effect is void after a restore anyway, or comes
// about again by itself.
func passing(a string) bool {
	return strings.HasPrefix(a, "token.") || strings.HasPrefix(a, "principal.") || strings.HasPrefix(a, "bootstrap.") || strings.HasPrefix(a, "cluster.") || strings.HasPrefix(a, "violation.") || strings.HasPrefix(a, "operation.") || a == "node.register"
}

func absent(err error) bool {
	return errors.Is(err, &policy.Error{Reason: policy.NotFound})
}
