package cli

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// signatory is who signs: a key file, and what this machine has pinned of the tenant
// that the key signs for.
type signatory struct {
	key    ed25519.PrivateKey
	pin    *pin
	folder string
	row    *policy.TenantRow // once it is proven
}

func (s *signatory) id() string { return keyID(s.key) }

// signatory reads a key file and finds its pin. A key of several tenants' needs the
// tenant's id in ref; a slug is the control plane's word, so it chooses nothing.
func (a *app) signatory(path, ref string) (*signatory, error) {
	key, err := readSecretKey(path)
	if err != nil {
		return nil, err
	}
	folder, err := a.pinFolder()
	if err != nil {
		return nil, err
	}
	pins, err := pinsOf(folder, keyID(key))
	if err != nil {
		return nil, err
	}
	if len(pins) == 0 {
		return nil, fmt.Errorf("nothing of key %s is pinned on this machine, so nothing that the control plane shows can be proven; nothing was signed: `domicile trust pin --cert FILE --root root.pub`, with the root's public key from the operator and not from the control plane", keyID(key))
	}
	if len(pins) == 1 && !policy.ValidID(policy.KindTenant, ref) {
		return &signatory{key: key, pin: pins[0], folder: folder}, nil
	}
	for _, p := range pins {
		if string(p.Tenant) == ref {
			return &signatory{key: key, pin: p, folder: folder}, nil
		}
	}
	if policy.ValidID(policy.KindTenant, ref) {
		return nil, fmt.Errorf("key %s is not pinned for tenant %s; nothing was signed: if it was certified for it, `domicile trust pin` with that certificate", keyID(key), ref)
	}
	return nil, usagef("key %s signs for %d tenants: give the tenant's id, TN…, and not its slug (changes approve: --tenant TN…)", keyID(key), len(pins))
}

// proven asks the control plane for the policy in force and what proves it, and holds
// that against the pinned root and against what this machine has seen before, as a node
// does with its row of a bundle. What it gives is remembered; nothing else of it is
// believed. An error means: sign nothing.
func (s *signatory) proven(ctx context.Context, cp *client.Control, ref string) (*policy.TenantRow, error) {
	e, err := cp.SignedPolicy(ctx, ref)
	if err != nil {
		return nil, err
	}
	if e.GetTenant() != string(s.pin.Tenant) {
		return nil, fmt.Errorf("the control plane says that this is tenant %.40q, and your key signs for %s; nothing was signed: give that tenant, or find out who answers there", e.GetTenant(), s.pin.Tenant)
	}
	if s.row, err = s.pin.prove(e); err != nil {
		return nil, err
	}
	return s.row, s.pin.save(s.folder)
}

// errUnproven ends what is said of a policy in force that does not hold.
var errUnproven = errors.New("nothing was signed. It may be a control plane that somebody has taken over, or that was restored from before: nodes refuse the same. Ask who runs it; docs/operations/trust.md says more")

// prove verifies what a control plane shows, and makes it what is remembered.
func (p *pin) prove(e *controlv1.SignedPolicy) (*policy.TenantRow, error) {
	if e.GetCluster() != p.Cluster { // signatures name the pinned one all the same
		return nil, fmt.Errorf("the control plane says that it is cluster %.40q, and tenant %s is pinned to %s here; %w", e.GetCluster(), p.Tenant, p.Cluster, errUnproven)
	}
	row, err := control.SignedRowFrom(e)
	if err != nil {
		return nil, fmt.Errorf("the policy in force that the control plane shows cannot be read: %v; %w", err, errUnproven)
	}
	if row.ID != p.Tenant {
		return nil, fmt.Errorf("the control plane shows the policy of another tenant than %s; %w", p.Tenant, errUnproven)
	}
	if row.Signers == nil && p.Proven == nil {
		return nil, fmt.Errorf("the control plane says that tenant %s has no signing key, so nobody has signed its policy in force and nothing proves it; nothing was signed: if that is so, `domicile trust enrol --first` begins; if its key was enrolled, ask who runs the control plane", p.Tenant)
	}
	if err := policy.VerifyRow(p.Cluster, p.root(), p.Proven, row); err != nil {
		return nil, fmt.Errorf("the policy in force that the control plane shows for tenant %s does not hold against the pinned root and %s: %w; %w", p.Tenant, p.seen(), err, errUnproven)
	}
	p.Proven = row
	return row, nil
}

// seen says what this machine remembers.
func (p *pin) seen() string {
	if p.Proven == nil {
		return "cluster " + p.Cluster
	}
	return fmt.Sprintf("number %d, which this machine has seen proven", p.Proven.Signers.Sequence)
}

// own refuses a key that is not the tenant's present one, as the proven chain has it.
func (s *signatory) own(row *policy.TenantRow) error {
	if head, _ := row.Signers.Head(); head.ID != s.id() {
		return fmt.Errorf("key %s is not the tenant's present signing key, which is %s: its signature would count nowhere, and nothing was signed", s.id(), head.ID)
	}
	return nil
}

// counts refuses a key that is neither the tenant's present one nor an approver's.
func (s *signatory) counts(row *policy.TenantRow) error {
	if _, ok := row.Signers.Approver(s.id()); ok {
		return nil
	}
	if err := s.own(row); err != nil {
		return fmt.Errorf("your key is no approver's that counts, and %w", err)
	}
	return nil
}
