package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/control"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) trustPin() *cobra.Command {
	var cert, root string
	c := &cobra.Command{Use: "pin --cert FILE --root FILE", Short: "Let this machine know the root, and what a key signs for", Args: cobra.NoArgs,
		Long: `Keeps the operator's root, and the cluster and the tenant that the certificate names, in your configuration
folder (or in DOMICILE_TRUST_DIR), in a file that only you can read and write. Nothing is sent anywhere.

Whoever signs needs it once on each machine where a key file lies, an approver as well: changes approve, keys
sign, keys create --sign, sign-purge and withdraw prove by it what the control plane shows, and remember there
the latest policy that was proven. Both files come from the operator, and not from the control plane.
domicile trust enrol does the same for a tenant's key.`,
		RunE: a.run(func(context.Context, []string) error {
			if cert == "" || root == "" {
				return usagef("--cert and --root are both needed: the key's certificate, and the root's public key (root.pub), from the operator")
			}
			c, err := readCertificate(cert)
			if err != nil {
				return err
			}
			p, folder, err := a.pinOf(c, root)
			if err != nil {
				return err
			}
			if err := p.save(folder); err != nil {
				return err
			}
			return a.plain(map[string]any{"file": pinPath(folder, p.Tenant), "tenant": p.Tenant, "cluster": p.Cluster, "root_public_key": p.Root, "keys": p.Keys}, func() {
				a.out.Fields([2]string{"pinned", pinPath(folder, p.Tenant)}, [2]string{"tenant", string(p.Tenant)}, [2]string{"cluster", p.Cluster}, [2]string{"root", p.Root})
			})
		})}
	c.Flags().StringVar(&cert, "cert", "", "key's certificate `file`")
	c.Flags().StringVar(&root, "root", "", "root's public key `file`, root.pub")
	return c
}

// pinOf is what is pinned of the tenant that a certificate names, with its key: a new
// pin of the root that is named, or the one that is there. It is not saved. Nothing that
// is pinned is replaced by another.
func (a *app) pinOf(c certificateFile, root string) (*pin, string, error) {
	folder, err := a.pinFolder()
	if err != nil {
		return nil, "", err
	}
	p, err := readPin(folder, c.Tenant)
	if err != nil {
		return nil, "", err
	}
	next := &pin{Cluster: c.Cluster, Tenant: c.Tenant}
	switch {
	case root != "":
		public, err := readPublicKey(root)
		if err != nil {
			return nil, "", err
		}
		next.Root = hex.EncodeToString(public)
	case p == nil:
		return nil, "", usagef("--root is missing: name the operator's root.pub, which this machine then pins; get it from the operator, and not from the control plane")
	default:
		next.Root = p.Root
	}
	if p != nil && (p.Cluster != next.Cluster || p.Root != next.Root) {
		return nil, "", fmt.Errorf("%s pins tenant %s to cluster %s and root %s, and this would be cluster %s and root %s; nothing was changed: only when the operator says that it is another now, remove that file and pin again", pinPath(folder, c.Tenant), c.Tenant, p.Cluster, p.Root, next.Cluster, next.Root)
	}
	if p == nil {
		p = next
	}
	if err := p.certifies(c); err != nil {
		return nil, "", err
	}
	if !slices.Contains(p.Keys, c.Key.ID) {
		p.Keys = append(p.Keys, c.Key.ID)
	}
	return p, folder, p.check()
}

// certifies refuses a certificate that says it is the root's and is not. One of a
// tenant's former key is proven with the whole chain, before anything is signed.
func (p *pin) certifies(c certificateFile) error {
	if policy.VerifySignature(p.root(), c.Key.Statement(c.Cluster, c.Tenant), c.Key.Certificate) == nil {
		return nil
	}
	if c.Key.Purpose == policy.TenantKey && c.Key.Certificate.KeyID != policy.KeyIDOf(p.root()) {
		return nil
	}
	return errors.New("the certificate is not that root's over this key, tenant and cluster; nothing was pinned: get both files from the operator")
}

func (a *app) trustVerify() *cobra.Command {
	return &cobra.Command{Use: "verify TENANT", Short: "Prove a tenant's policy in force against what is pinned here", Args: cobra.ExactArgs(1),
		Long: `Asks the control plane for the policy in force and all that proves it, and verifies that as nodes do: against
the pinned root, and against the latest that this machine has seen proven. Signs nothing; exit code 1 when it
does not hold.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			e, err := cp.SignedPolicy(ctx, args[0])
			if err != nil {
				return err
			}
			if policy.ValidID(policy.KindTenant, args[0]) && e.GetTenant() != args[0] {
				return fmt.Errorf("the control plane shows tenant %.40q in the place of %s; %w", e.GetTenant(), args[0], errUnproven)
			}
			folder, err := a.pinFolder()
			if err != nil {
				return err
			}
			p, err := readPin(folder, policy.TenantID(e.GetTenant()))
			if err != nil {
				return err
			}
			if p == nil {
				return fmt.Errorf("nothing of tenant %s is pinned on this machine, so nothing can be proven: `domicile trust pin --cert FILE --root root.pub`", e.GetTenant())
			}
			row, err := p.prove(e)
			if err == nil {
				err = p.save(folder)
			}
			if err != nil {
				return err
			}
			proven := control.SignedPolicyOf(p.Cluster, row.Policy, "", row.Signers) // and not e, which says more than it proves
			return a.result(proven, func() { a.sayProven(p, row) })
		})}
}

func (a *app) sayProven(p *pin, row *policy.TenantRow) {
	head, _ := row.Signers.Head()
	hash, _ := policy.PolicyHash(row.Policy) // VerifyRow has computed it
	counting := 0
	for _, k := range row.Signers.Approvers {
		if _, ok := row.Signers.Approver(k.ID); ok {
			counting++
		}
	}
	a.out.Fields([2]string{"tenant", string(p.Tenant)}, [2]string{"home", string(row.Home)}, [2]string{"policy", fmt.Sprintf("number %d, proven", row.Signers.Sequence)},
		[2]string{"hash", hex.EncodeToString(hash[:])}, [2]string{"signed by", head.ID}, [2]string{"approvers", number(uint64(counting))}, [2]string{"cluster", p.Cluster})
}
