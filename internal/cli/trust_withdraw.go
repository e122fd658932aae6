package cli

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// withdrawalFile is what the root signs offline and `trust withdraw` brings to the
// control plane. Nothing in it is secret.
type withdrawalFile struct {
	Cluster string          `json:"cluster"`
	Tenant  policy.TenantID `json:"tenant"`
	policy.Withdrawal
}

var keyIDPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// certifyWithdrawal signs the end of an approver's key with the root, offline.
func (a *app) certifyWithdrawal(root ed25519.PrivateKey, o certifyFlags) error {
	if !keyIDPattern.MatchString(o.approver) {
		return usagef("--approver must be the id of the approver's key, 32 hex digits: `domicile trust keys` lists it")
	}
	w := withdrawalFile{Cluster: o.cluster, Tenant: policy.TenantID(o.tenant), Withdrawal: policy.Withdrawal{Key: o.approver}}
	w.Signature = policy.Sign(root, w.Statement(w.Cluster, w.Tenant))
	raw, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the withdrawal: %w", err)
	}
	if err := writeNew(o.out, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return a.plain(w, func() {
		a.out.Fields([2]string{"withdrawal", o.out}, [2]string{"key", w.Key}, [2]string{"tenant", string(w.Tenant)})
		a.err.Line("  next: domicile trust withdraw %s %s --cert %s", w.Tenant, w.Key, o.out)
	})
}

func (a *app) trustWithdraw() *cobra.Command {
	var key, cert string
	var yes bool
	c := &cobra.Command{Use: "withdraw TENANT KEY (--key FILE | --cert FILE)", Short: "End an approver without a successor, for good", Args: cobra.ExactArgs(2),
		Long: `Shows in plain words whose key it is and who is left, then signs that with the tenant's key (--key), or
brings what the root has signed offline (--cert, of ` + "`domicile trust certify --purpose withdrawal`" + `).

From then on a signature of that key counts no more, under changes that wait for signatures either:
propose those again. It cannot be undone; the same person may come back with another key.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			if (key == "") == (cert == "") {
				return usagef("one of --key and --cert is needed: the tenant's key file, or the file that the root has signed")
			}
			return a.withdraw(ctx, args[0], args[1], key, cert, yes)
		})}
	c.Flags().StringVar(&key, "key", "", "tenant's key `file`; it stays on this machine")
	c.Flags().StringVar(&cert, "cert", "", "`file` of a withdrawal that the root has signed")
	c.Flags().BoolVar(&yes, "yes", false, "withdraw without asking; for scripts that have looked")
	return c
}

func (a *app) withdraw(ctx context.Context, tenant, id, key, cert string, yes bool) error {
	cp, err := a.control()
	if err != nil {
		return err
	}
	var who *signatory
	var keys []*controlv1.SigningKey
	var cluster string
	if key != "" { // what is signed here names an approver of the proven chain, and not one that is only shown
		if who, _, err = a.keySignatory(ctx, cp, key, tenant); err != nil {
			return err
		}
		keys = control.SigningKeysOf(who.pin.Tenant, who.row.Signers)
	} else {
		enrolled, err := cp.SigningKeys(ctx, tenant)
		if err != nil {
			return err
		}
		keys, cluster = enrolled.GetKeys(), enrolled.GetCluster()
	}
	k, left := approversWithout(keys, id)
	if k == nil {
		return usagef("no approver of the tenant has this key, or it is withdrawn already; `domicile trust keys %s` lists them", tenant)
	}
	w := policy.Withdrawal{Key: id}
	if who == nil {
		if w, err = readWithdrawal(cert, cluster, k); err != nil {
			return err
		}
	}
	a.sayWithdrawal(k, left)
	if !yes && !a.confirmed("Type withdraw to end this approver: ", "withdraw") {
		return errors.New("nothing was signed or sent; repeat the command to look again")
	}
	if who != nil {
		w.Signature = policy.Sign(who.key, w.Statement(who.pin.Cluster, who.pin.Tenant))
	}
	done, err := cp.WithdrawSigningKey(ctx, &controlv1.WithdrawSigningKeyRequest{Tenant: tenant, SigningKey: id,
		Signature: control.SignatureOf(w.Signature)})
	if err != nil {
		return err
	}
	return a.result(done, func() { a.out.Line("approver key %s of %s is withdrawn", done.GetId(), done.GetTenant()) })
}

// approversWithout finds an approver's key that is not withdrawn, and who is left
// without it. One that was replaced is found as well: nodes may know it as withdrawn
// and a restored control plane not.
func approversWithout(keys []*controlv1.SigningKey, id string) (found *controlv1.SigningKey, left []*controlv1.SigningKey) {
	for _, k := range keys {
		switch {
		case k.GetPurpose() != string(policy.ApproverKey) || k.GetWithdrawal() != nil:
		case k.GetId() == id:
			found = k
		case k.GetActive():
			left = append(left, k)
		}
	}
	return found, left
}

// sayWithdrawal says in plain words what a withdrawal does.
func (a *app) sayWithdrawal(k *controlv1.SigningKey, left []*controlv1.SigningKey) {
	if !k.GetActive() {
		a.err.Line("This key of the approver %s of tenant %s was replaced by another and approves nothing; that will be so for good.",
			a.err.Bold(screen.Clean(k.GetPrincipal())), screen.Clean(k.GetTenant()))
		return
	}
	a.err.Line("The approver %s, employed by %s, at work in %s, can approve nothing of tenant %s any more, for good.",
		a.err.Bold(screen.Clean(k.GetPrincipal())), screen.Clean(k.GetEntity()), screen.Clean(k.GetBoundary()), screen.Clean(k.GetTenant()))
	a.err.Line("Changes that wait for signatures must be proposed again.")
	if len(left) == 0 {
		a.err.Line("%s until another approver is enrolled, nothing can loosen the tenant's policy, and it cannot be purged.", a.err.Bad("Nobody is left:"))
		return
	}
	a.err.Line("Left to approve:")
	for _, k := range left {
		a.err.Line("  %s, employed by %s, at work in %s", screen.Clean(k.GetPrincipal()), screen.Clean(k.GetEntity()), screen.Clean(k.GetBoundary()))
	}
}

// readWithdrawal reads what the root has signed, which must be of this key.
func readWithdrawal(path, cluster string, k *controlv1.SigningKey) (policy.Withdrawal, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return policy.Withdrawal{}, usagef("the withdrawal cannot be read: %v", err)
	}
	var w withdrawalFile
	if err := json.Unmarshal(raw, &w); err != nil || !keyIDPattern.MatchString(w.Key) {
		return policy.Withdrawal{}, usagef("%s is no withdrawal of `domicile trust certify --purpose withdrawal`", path)
	}
	if w.Key != k.GetId() || string(w.Tenant) != k.GetTenant() || w.Cluster != cluster {
		return policy.Withdrawal{}, usagef("%s is of key %s of tenant %s in cluster %s, not of this one", path, w.Key, w.Tenant, w.Cluster)
	}
	return w.Withdrawal, nil
}
