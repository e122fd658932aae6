package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

type initialPolicyModel struct {
	rulesModel
	Recipients types.List `tfsdk:"recipients"`
}

// initialRules are what a tenant is placed with; nil is the control plane's default.
func initialRules(ctx context.Context, m tenantModel, diags *diag.Diagnostics) *controlv1.PolicyRules {
	if m.InitialPolicy.IsNull() {
		return nil
	}
	var p initialPolicyModel
	if diags.Append(m.InitialPolicy.As(ctx, &p, basetypes.ObjectAsOptions{})...); diags.HasError() {
		return nil
	}
	rules := &controlv1.PolicyRules{Recipients: &controlv1.RecipientList{}}
	diags.Append(p.into(ctx, rules)...)
	var list []receiverModel
	diags.Append(p.Recipients.ElementsAs(ctx, &list, false)...)
	for _, r := range list {
		out := r.wire(diags)
		out.Id = recipientID(m.Slug.ValueString(), r)
		rules.Recipients.List = append(rules.Recipients.List, out)
	}
	rules.Recipients.DenyAll = len(rules.Recipients.List) == 0
	return rules
}
