package cli

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// errNotShown stops a signature when what would be signed is not what was shown.
var errNotShown = errors.New("the control plane asks to sign another policy than the one it shows; nothing was signed: do not sign, and ask who runs it")

// policyShown rebuilds a policy from what the control plane shows of it. Its
// hash is computed here: nobody signs a hash that somebody else computed.
func policyShown(p *controlv1.Policy, rules *controlv1.PolicyRules) (policy.ResidencyPolicy, error) {
	base := policy.ResidencyPolicy{Tenant: policy.TenantID(p.GetTenant()), HomeRegion: policy.RegionID(p.GetHomeRegion()), Boundary: policy.Boundary(p.GetBoundary()),
		HomeEpoch: uint64(p.GetHomeEpoch()), ContractingEntity: p.GetContractingEntity()}
	out, err := control.ApplyRules(base, rules, "rules")
	if err != nil {
		return out, fmt.Errorf("read the policy: %w", err)
	}
	return out, nil
}

// signInForce signs the policy in force under the next sequence, as the
// enrolment of a tenant's key needs it.
func (a *app) signInForce(ctx context.Context, cp *client.Control, tenant string, c certificateFile, keyPath string) (*controlv1.Signature, error) {
	if keyPath == "" {
		return nil, usagef("--key is missing: a tenant's key signs the policy in force as it is enrolled")
	}
	key, err := readSecretKey(keyPath)
	if err != nil {
		return nil, err
	}
	if keyID(key) != c.Key.ID {
		return nil, usagef("--key and --cert do not belong together: the certificate is of key %s", c.Key.ID)
	}
	now, err := cp.Policy(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if now.GetTenant() != string(c.Tenant) {
		return nil, usagef("the certificate is of tenant %s, not of %s", c.Tenant, tenant)
	}
	enrolled, err := cp.SigningKeys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	doc, err := policyShown(now, now.GetRules())
	if err != nil {
		return nil, err
	}
	hash, err := policy.PolicyHash(&doc)
	if err != nil {
		return nil, err
	}
	sig := policy.Sign(key, policy.PolicyStatement(c.Cluster, c.Tenant, enrolled.GetSequence()+1, hash))
	return control.SignatureOf(sig), nil
}

func (a *app) changesApprove() *cobra.Command {
	var keyPath string
	var yes bool
	c := &cobra.Command{Use: "approve CHANGE --key FILE", Short: "Show what a change would do, then sign it", Args: cobra.ExactArgs(1),
		Long: `Shows the difference between the policy in force and the proposed one in plain words, computed on this
machine, and signs exactly that with a local key file. A tightening applies with the tenant's key, a
loosening with the tenant's key and a second person's; each signs on their own machine.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			if keyPath == "" {
				return usagef("--key is missing: name your key file; it stays on this machine")
			}
			key, err := readSecretKey(keyPath)
			if err != nil {
				return err
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			ch, err := cp.Change(ctx, args[0])
			if err != nil {
				return err
			}
			statement, err := a.reviewed(ctx, cp, ch)
			if err != nil {
				return err
			}
			if !yes {
				if err := a.confirm(); err != nil {
					return err
				}
			}
			sig := policy.Sign(key, statement)
			done, err := cp.ApproveChange(ctx, &controlv1.ApproveChangeRequest{Change: ch.GetId(), Signatures: []*controlv1.Signature{control.SignatureOf(sig)}})
			if err != nil {
				return err
			}
			return a.result(done, func() {
				if done.GetState() == "applied" {
					a.out.Line("change %s is applied", done.GetId())
					return
				}
				a.out.Line("change %s has your signature and waits for another: the tenant's key and, as it loosens, a second person's", done.GetId())
			})
		})}
	c.Flags().StringVar(&keyPath, "key", "", "your key `file`")
	c.Flags().BoolVar(&yes, "yes", false, "sign without asking; for scripts that have looked")
	return c
}

// reviewed shows a change in plain words and gives the statement to sign.
func (a *app) reviewed(ctx context.Context, cp *client.Control, ch *controlv1.Change) ([]byte, error) {
	now, err := cp.Policy(ctx, ch.GetTenant())
	if err != nil {
		return nil, err
	}
	keys, err := cp.SigningKeys(ctx, ch.GetTenant())
	if err != nil {
		return nil, err
	}
	inForce, err := policyShown(now, now.GetRules())
	if err != nil {
		return nil, err
	}
	proposed, err := policyShown(now, ch.GetProposed())
	if err != nil {
		return nil, err
	}
	if ch.GetBillingCountry() != "" { // re-contracting: the one thing beside its rules that a change may change
		proposed.ContractingEntity = ch.GetContractingEntity()
	}
	hash, err := policy.PolicyHash(&proposed)
	if err != nil {
		return nil, err
	}
	if hex.EncodeToString(hash[:]) != ch.GetHash() || now.GetTenant() != ch.GetTenant() {
		return nil, errNotShown
	}
	kind, fields := policy.Classify(&inForce, &proposed)
	a.err.Line("Change %s of tenant %s, home %s, would %s its policy:", a.err.Bold(screen.Clean(ch.GetId())), screen.Clean(now.GetTenant()), screen.Clean(now.GetHomeRegion()), kind)
	a.err.Line("")
	for _, f := range fields {
		a.err.Line("  %s", a.plainly(f))
	}
	if c := ch.GetBillingCountry(); c != "" {
		a.err.Line("  The tenant is then billed in %s, and its contract is with %s instead of %s.", a.err.Bold(screen.Clean(c)),
			a.err.Bold(screen.Clean(proposed.ContractingEntity)), screen.Clean(inForce.ContractingEntity))
	}
	a.err.Line("")
	return policy.PolicyStatement(keys.GetCluster(), proposed.Tenant, ch.GetSequence(), hash), nil
}

func (a *app) confirm() error {
	a.err.Line("Type approve to sign exactly this:")
	line, _ := bufio.NewReader(a.in).ReadString('\n')
	if strings.TrimSpace(line) != "approve" {
		return errors.New("nothing was signed; repeat the command to look again, or `domicile changes reject`")
	}
	return nil
}

// plainly says one difference in words. What the control plane says of it moves no
// cursor: it could wipe the line of another difference.
func (a *app) plainly(f policy.FieldChange) string {
	effect := map[policy.ChangeKind]string{policy.Loosen: a.err.Bad("loosens"), policy.Tighten: a.err.Good("tightens"), policy.Neutral: "changes"}[f.Kind]
	return fmt.Sprintf("%s  %s: %s → %s", effect, screen.Clean(meaning(f.Field)), screen.Clean(orNothing(f.From)), screen.Clean(orNothing(f.To)))
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// meaning says what a field of the policy is about.
func meaning(field string) string {
	p := strings.SplitN(field, ".", 3)
	last := p[len(p)-1]
	switch field {
	case "contracting_entity":
		return "who the tenant's contract is with, and so whose people may approve"
	case "on_region_unavailable":
		return "what happens while its region is away"
	case "max_policy_staleness":
		return "for how many seconds a node may act on a policy that it cannot refresh"
	case "min_attestation":
		return "how a node must have proved where it stands (declared, operator_signed, cloud_signed)"
	case "allow_region_change":
		return "whether the tenant may move to another home"
	case "recipients.list":
		return "how many lines name recipients: one of them stands twice"
	}
	if len(p) > 1 {
		switch p[0] + "." + last {
		case "classes.mode":
			return "where " + p[1] + " may be processed and viewed (sealed: at home only; restricted: within the boundary)"
		case "classes.retention":
			if c, err := policy.ParseDataClass(p[1]); err == nil && c.HangsOnCall() {
				return "for how many seconds " + p[1] + " is kept (0: until erased; no longer than its call_record)"
			}
			return "for how many seconds " + p[1] + " is kept (0: until erased)"
		case "egress.effect":
			return "whether " + p[1] + " may leave the region"
		case "egress.per_day":
			return "how often a day " + p[1] + " may leave the region"
		case "egress.basis":
			return "the legal basis on which " + p[1] + " leaves"
		case "classes.redact_profile":
			return "what is blacked out of " + p[1]
		case "recipients.deny_all":
			return "whether nobody at all may receive exports"
		}
		switch p[0] {
		case "classes":
			return "whether " + p[1] + " may be kept at all (sealed: at home only; restricted: viewed within the boundary)"
		case "recipients":
			if len(p) == 2 {
				return "who receives pseudonymised exports: recipient " + p[1] + ", in region"
			}
			return last + " of recipient " + p[1]
		case "access":
			return "staff access, " + last
		case "consent":
			return "a purpose for which " + p[1] + " needs consent"
		}
	}
	return field
}
