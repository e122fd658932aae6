package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"google.golang.org/protobuf/proto"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// A tenant has one policy, and three kinds of resources own parts of it: its
// rules, its recipients, its access. Each reads the whole, changes its part and
// writes the whole back under the etag that it read.

// edit changes its part of the rules in place. It gives the name of a field that
// is not what the plan was made of, and then nothing is written; "" is none.
type edit func(rules *controlv1.PolicyRules) (changed string)

// policyTries is how often a write is repeated that another part's write overtook.
const policyTries = 8

// errChanged is what a plan was not made of.
type errChanged struct{ field string }

func (e errChanged) Error() string { return e.field + " has changed" }

// editPolicy writes one part. Parts of one run take turns.
func (c *connection) editPolicy(ctx context.Context, tenant string, e edit) (*controlv1.Policy, error) {
	c.policies.Lock()
	defer c.policies.Unlock()
	for try := 1; ; try++ {
		now, err := c.Policy(ctx, tenant)
		if err != nil {
			return nil, err
		}
		next, changed := edited(now, e)
		if changed != "" {
			return nil, errChanged{changed}
		}
		if proto.Equal(next, ordered(now.GetRules())) {
			return now, nil
		}
		p, err := c.PutPolicy(ctx, tenant, next, now.GetEtag())
		if !has(err, policy.ETagMismatch) || try == policyTries {
			return p, err
		}
	}
}

func edited(now *controlv1.Policy, e edit) (*controlv1.PolicyRules, string) {
	next := ordered(now.GetRules())
	if next.GetRecipients() == nil {
		next.Recipients = &controlv1.RecipientList{}
	}
	changed := e(next)
	return ordered(next), changed
}

// ordered is a copy in which what is a set is in order.
func ordered(rules *controlv1.PolicyRules) *controlv1.PolicyRules {
	out := proto.CloneOf(rules)
	for _, p := range out.GetConsent() {
		slices.Sort(p.Purposes)
	}
	slices.Sort(out.GetAccess().GetAllowedReasons())
	slices.SortFunc(out.GetRecipients().GetList(), func(a, b *controlv1.Recipient) int { return strings.Compare(a.GetId(), b.GetId()) })
	return out
}

// planPolicy says at plan time what an edit would loosen, by the function that
// the control plane itself judges by.
func (c *connection) planPolicy(ctx context.Context, tenant string, e edit, diags *diag.Diagnostics) {
	now, err := c.Policy(ctx, tenant)
	if err != nil { // what is not there yet is placed in this run
		if !has(err, policy.NotFound) {
			fail(diags, "What the change would loosen could not be asked", err)
		}
		return
	}
	next, changed := edited(now, e)
	if changed != "" { // the refresh was left out; apply will refuse
		return
	}
	base := policy.ResidencyPolicy{Tenant: policy.TenantID(now.GetTenant()), HomeRegion: policy.RegionID(now.GetHomeRegion()), Boundary: policy.Boundary(now.GetBoundary()),
		HomeEpoch: uint64(now.GetHomeEpoch()), ContractingEntity: now.GetContractingEntity()}
	from, err := control.ApplyRules(base, now.GetRules(), "")
	if err != nil {
		fail(diags, "The policy in force is not what this version understands", err)
		return
	}
	to, err := control.ApplyRules(base, next, "")
	if err == nil {
		err = ruledOut(&from, &to)
	}
	if err != nil {
		fail(diags, "The policy cannot be like this", err)
		return
	}
	kind, fields := policy.Classify(&from, &to)
	warnLoosening(kind, fields, diags)
	if kind != policy.Loosen && len(fields) > 0 && len(now.GetSignatures()) > 0 {
		diags.AddWarning("The tenant signs its policies",
			"Nothing of this is looser, and it still waits for the tenant's signature: applying ends with the id of a pending change (CH…). The apply after `domicile changes approve` finds it done.")
	}
}

// ruledOut is what the control plane would refuse in a change of rules, as far as
// it can be known without it.
func ruledOut(from, to *policy.ResidencyPolicy) error {
	if bad := to.Outlasting(from); len(bad) > 0 {
		return errors.New(bad[0].Field + ": " + bad[0].Message)
	}
	if refusal := to.NotYet(); refusal != nil {
		return refusal
	}
	return nil
}

func warnLoosening(kind policy.ChangeKind, fields []policy.FieldChange, diags *diag.Diagnostics) {
	if kind != policy.Loosen {
		return
	}
	var b strings.Builder
	for _, f := range fields {
		if f.Kind == policy.Loosen {
			fmt.Fprintf(&b, "\n  %s: %s → %s", f.Field, orNothing(f.From), orNothing(f.To))
		}
	}
	diags.AddWarning("This loosens the tenant's policy",
		"What would be looser:"+b.String()+"\n\nApplying does not do it: it ends with the id of a pending change (CH…), which the tenant's key and a second person sign with `domicile changes approve`. The apply after that finds it done.")
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// failPolicy reports why a part was not written.
func failPolicy(diags *diag.Diagnostics, what string, err error) {
	if e, ok := err.(errChanged); ok {
		changedSince(diags, "policy", e.field)
		return
	}
	fail(diags, what, err)
}
