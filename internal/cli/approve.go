package cli

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// errNotShown stops a signature when what would be signed is not what was shown.
var errNotShown = errors.New("the control plane asks to sign another policy than the one it shows; nothing was signed: do not sign, and ask who runs it")

func (a *app) changesApprove() *cobra.Command {
	var keyPath, tenant string
	var yes bool
	c := &cobra.Command{Use: "approve CHANGE --key FILE [--tenant TENANT]", Short: "Show what a change would do, then sign it", Args: cobra.ExactArgs(1),
		Long: `Proves the policy in force, as a node does, against what this machine has pinned (domicile trust pin): who
signed it, under which number, with keys that the operator's root has certified. Then shows the difference
to the proposed policy in plain words, computed on this machine, and signs exactly that with a local key
file. What the control plane cannot prove, nobody signs.

A tightening applies with the tenant's key, a loosening with the tenant's key and a second person's; each
signs on their own machine. Whoever approves for several tenants with one key names the tenant by its id: of
which one a change is, is the control plane's word.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			if keyPath == "" {
				return usagef("--key is missing: name your key file; it stays on this machine")
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			ch, err := cp.Change(ctx, args[0])
			if err != nil {
				return err
			}
			who, err := a.approving(keyPath, tenant, ch)
			if err != nil {
				return err
			}
			row, err := who.proven(ctx, cp, string(who.pin.Tenant))
			if err == nil {
				err = who.counts(row)
			}
			if err != nil {
				return err
			}
			statement, err := a.reviewed(who.pin, row, ch)
			if err != nil {
				return err
			}
			if !yes {
				if err := a.confirm(); err != nil {
					return err
				}
			}
			sig := policy.Sign(who.key, statement)
			done, err := cp.ApproveChange(ctx, &controlv1.ApproveChangeRequest{Change: ch.GetId(), Signatures: []*controlv1.Signature{control.SignatureOf(sig)}})
			if err == nil && done.GetState() == "applied" { // remembered, so that an earlier one is told from it
				_, err = who.proven(ctx, cp, string(who.pin.Tenant))
			}
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
	c.Flags().StringVar(&tenant, "tenant", "", "id of the tenant, TN…; needed of a key that signs for several")
	c.Flags().BoolVar(&yes, "yes", false, "sign without asking; for scripts that have looked")
	return c
}

// approving is who signs a change. The change chooses none of several tenants: a
// control plane could show that of another in the place of the one that was asked for.
func (a *app) approving(keyPath, tenant string, ch *controlv1.Change) (*signatory, error) {
	who, err := a.signatory(keyPath, tenant)
	if err != nil {
		return nil, err
	}
	if ch.GetTenant() != string(who.pin.Tenant) {
		return nil, fmt.Errorf("the control plane says that the change is of tenant %.40q, and you sign for %s; nothing was signed: look whether it is the right change, or find out who answers there", ch.GetTenant(), who.pin.Tenant)
	}
	return who, nil
}

// reviewed shows a change of a proven policy in plain words and gives the statement to
// sign. Cluster and tenant are the pinned ones, and the number is the one after the
// proven policy's: a signature for another is for a policy that nobody here has seen.
func (a *app) reviewed(p *pin, row *policy.TenantRow, ch *controlv1.Change) ([]byte, error) {
	if ch.GetTenant() != string(p.Tenant) {
		return nil, errNotShown
	}
	if want := row.Signers.Sequence + 1; ch.GetSequence() != want {
		return nil, fmt.Errorf("the change is for number %d of the tenant's policies, and the one after the policy in force, which is proven, is %d; nothing was signed: it must be proposed again, and if it was not made for an earlier policy, ask who runs the control plane", ch.GetSequence(), want)
	}
	inForce := row.Policy
	proposed, err := control.ApplyRules(*inForce, ch.GetProposed(), "rules")
	if err != nil {
		return nil, fmt.Errorf("read the proposed policy: %w", err)
	}
	if ch.GetBillingCountry() != "" { // re-contracting: the one thing beside its rules that a change may change
		proposed.ContractingEntity = ch.GetContractingEntity()
	}
	hash, err := policy.PolicyHash(&proposed)
	if err != nil {
		return nil, err
	}
	if hex.EncodeToString(hash[:]) != ch.GetHash() {
		return nil, errNotShown
	}
	kind, fields := policy.Classify(inForce, &proposed)
	a.err.Line("The policy in force of tenant %s, home %s, is number %d: its signature and keys hold against the root that is pinned here.", p.Tenant, screen.Clean(string(inForce.HomeRegion)), row.Signers.Sequence)
	a.err.Line("Change %s would %s it:", a.err.Bold(screen.Clean(ch.GetId())), kind)
	a.err.Line("")
	for _, f := range fields {
		a.err.Line("  %s", a.plainly(f))
	}
	if c := ch.GetBillingCountry(); c != "" {
		a.err.Line("  The tenant is then billed in %s, and its contract is with %s instead of %s.", a.err.Bold(screen.Clean(c)),
			a.err.Bold(screen.Clean(proposed.ContractingEntity)), screen.Clean(inForce.ContractingEntity))
	}
	a.err.Line("")
	return policy.PolicyStatement(p.Cluster, p.Tenant, ch.GetSequence(), hash), nil
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
