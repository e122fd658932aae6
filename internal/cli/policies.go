package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"sort"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

const maxPolicyFile = 1 << 20 // bytes

// readProto reads a JSON file strictly: an unknown field is an error, because a
// misspelt residency field must not pass.
func (a *app) readProto(path string, into proto.Message) error {
	in := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return usagef("the file cannot be read: %v", err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxPolicyFile+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if len(raw) > maxPolicyFile {
		return usagef("%s is larger than %d bytes", path, maxPolicyFile)
	}
	if err := protojson.Unmarshal(raw, into); err != nil {
		return usagef("%s is not valid: %v", path, err)
	}
	return nil
}

func (a *app) policiesCommand() *cobra.Command {
	return group("policies", "Read and write a tenant's residency policy", a.policiesGet(), a.policiesPut())
}

func (a *app) policiesGet() *cobra.Command {
	var rulesOnly bool
	c := &cobra.Command{Use: "get TENANT", Short: "Show a tenant's policy", Args: cobra.ExactArgs(1),
		Example: "  domicile policies get acme-ie\n  domicile policies get acme-ie --rules >rules.json    # to edit and put back",
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			p, err := cp.Policy(ctx, args[0])
			if err != nil {
				return err
			}
			if rulesOnly {
				a.output = "json"
				return a.result(p.GetRules(), nil)
			}
			return a.result(p, func() { a.showPolicy(p) })
		})}
	c.Flags().BoolVar(&rulesOnly, "rules", false, "print only the rules, as the JSON that `policies put` takes")
	return c
}

func (a *app) showPolicy(p *controlv1.Policy) {
	r := p.GetRules()
	a.out.Fields([2]string{"tenant", p.GetTenant()}, [2]string{"home region", p.GetHomeRegion()}, [2]string{"boundary", p.GetBoundary()},
		[2]string{"revision", number(p.GetRevision())}, [2]string{"contracting entity", p.GetContractingEntity()},
		[2]string{"when home is away", r.GetOnRegionUnavailable()}, [2]string{"freshness bound", number(r.GetMaxPolicyStaleness()) + " s"},
		[2]string{"least attestation", r.GetMinAttestation()})
	a.out.Line("")
	rows := make([][]string, 0, len(r.GetClasses()))
	for _, class := range sortedKeys(r.GetClasses()) {
		rule := r.GetClasses()[class]
		rows = append(rows, []string{class, rule.GetMode(), keptFor(class, rule, r.GetClasses()[policy.CallRecord.String()])})
	}
	a.out.Table([]string{"DATA CLASS", "MODE", "KEPT"}, rows)
	a.out.Line("")
	rows = rows[:0]
	for _, class := range sortedKeys(r.GetEgress()) {
		if rule := r.GetEgress()[class]; rule.GetEffect() != "deny" {
			rows = append(rows, []string{class, rule.GetEffect(), dash(rule.GetBasis())})
		}
	}
	a.out.Table([]string{"EGRESS ALLOWED", "EFFECT", "BASIS"}, rows)
	a.out.Line("")
	if r.GetRecipients().GetDenyAll() || len(r.GetRecipients().GetList()) == 0 {
		a.out.Line("no recipients: nothing is exported")
		return
	}
	a.out.Table(recipientHeader, recipientRows(r.GetRecipients().GetList()))
}

// keptFor says how long a class is kept; what hangs on a call ends with it, also
// where a policy of before says more.
func keptFor(class string, rule, calls *controlv1.ClassRule) string {
	c, _ := policy.ParseDataClass(class) // one that this program does not know hangs on nothing
	own := policy.Seconds(rule.GetRetention())
	kept := policy.KeptFor(c, own, policy.Seconds(calls.GetRetention()))
	switch {
	case kept != own:
		return number(kept) + " s, as call records"
	case kept > 0:
		return number(kept) + " s"
	}
	return "until erased"
}

func (a *app) policiesPut() *cobra.Command {
	var etag string
	c := &cobra.Command{Use: "put TENANT FILE", Short: "Replace a tenant's rules; what loosens them waits for approval", Args: cobra.ExactArgs(2),
		Long: `Replaces a tenant's rules by those of a JSON file (- reads standard input). What tightens applies at
once. What loosens is refused with LOOSENING_NEEDS_APPROVAL and becomes a pending change.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			rules := &controlv1.PolicyRules{}
			if err := a.readProto(args[1], rules); err != nil {
				return err
			}
			if etag == "" {
				old, err := cp.Policy(ctx, args[0])
				if err != nil {
					return err
				}
				etag = old.GetEtag()
			}
			p, err := cp.PutPolicy(ctx, args[0], rules, etag)
			if err != nil {
				return err
			}
			return a.result(p, func() { a.out.Line("policy of %s is at revision %d", args[0], p.GetRevision()) })
		})}
	c.Flags().StringVar(&etag, "etag", "", "refuse if the policy is no longer this `version`; default: the version read just before")
	return c
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
