package story

import (
	"context"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// explain asks two questions of the Irish policy and shows every reason.
func (t *teller) explain(ctx context.Context) error {
	h := t.homes[0]
	for _, q := range []struct {
		in       *controlv1.ExplainDecisionRequest
		effect   policy.Effect
		sentence string
	}{
		{&controlv1.ExplainDecisionRequest{Tenant: h.slug, Operation: "store", DataClass: "call_record", Region: "us1", Attestation: "declared"},
			policy.Deny, "may us1 store a call record of " + h.slug + "? no"},
		{&controlv1.ExplainDecisionRequest{Tenant: h.slug, Operation: "export", DataClass: "call_record", Region: "ie1", Attestation: "declared",
			EgressClass: policy.PseudonymisedExport.String(), Recipient: h.recipient, Purpose: purpose},
			policy.Allow, "may ie1 export it to its recipient? yes, on conditions"},
	} {
		d, err := t.control.Explain(ctx, q.in)
		if err != nil {
			return err
		}
		if err := t.check(d.GetEffect() == q.effect.String() && len(d.GetReasons()) > 0, "%s (revision %d)", q.sentence, d.GetRevision()); err != nil {
			for _, r := range d.GetReasons() {
				t.Screen.Line("      %s", r.GetRule())
			}
			return err
		}
		for _, r := range d.GetReasons() {
			t.Screen.Para("      ", r.GetRule()+": "+r.GetExplanation())
		}
	}
	t.command("explain %s --operation store --class call_record --region us1", h.slug)
	return nil
}
