package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// rulesModel is the part of a policy that domicile_residency_policy owns; its
// recipients and its rules of access are resources of their own.
type rulesModel struct {
	Classes             types.Map    `tfsdk:"classes"`
	Egress              types.Map    `tfsdk:"egress"`
	Consent             types.Map    `tfsdk:"consent"`
	OnRegionUnavailable types.String `tfsdk:"on_region_unavailable"`
	MaxPolicyStaleness  types.Int64  `tfsdk:"max_policy_staleness"`
	MinAttestation      types.String `tfsdk:"min_attestation"`
	AllowRegionChange   types.Bool   `tfsdk:"allow_region_change"`
}

type classModel struct {
	Mode          types.String `tfsdk:"mode"`
	Retention     types.Int64  `tfsdk:"retention"`
	RedactProfile types.String `tfsdk:"redact_profile"`
}

type egressModel struct {
	Effect types.String `tfsdk:"effect"`
	PerDay types.Int64  `tfsdk:"per_day"`
	Basis  types.String `tfsdk:"basis"`
}

var (
	classType  = types.ObjectType{AttrTypes: map[string]attr.Type{"mode": types.StringType, "retention": types.Int64Type, "redact_profile": types.StringType}}
	egressType = types.ObjectType{AttrTypes: map[string]attr.Type{"effect": types.StringType, "per_day": types.Int64Type, "basis": types.StringType}}
	textsType  = types.SetType{ElemType: types.StringType}
)

// into puts the model's rules into those of a whole policy; recipients and access
// stay as they are there.
func (m rulesModel) into(ctx context.Context, rules *controlv1.PolicyRules) diag.Diagnostics {
	var diags diag.Diagnostics
	classes, egress, consent := map[string]classModel{}, map[string]egressModel{}, map[string][]string{}
	diags.Append(m.Classes.ElementsAs(ctx, &classes, false)...)
	diags.Append(m.Egress.ElementsAs(ctx, &egress, false)...)
	diags.Append(m.Consent.ElementsAs(ctx, &consent, false)...)
	rules.Classes, rules.Egress, rules.Consent = map[string]*controlv1.ClassRule{}, map[string]*controlv1.EgressRule{}, map[string]*controlv1.Purposes{}
	for name, c := range classes {
		rules.Classes[name] = &controlv1.ClassRule{Mode: c.Mode.ValueString(), Retention: uint32(c.Retention.ValueInt64()), RedactProfile: c.RedactProfile.ValueString()}
	}
	for name, e := range egress {
		rules.Egress[name] = &controlv1.EgressRule{Effect: e.Effect.ValueString(), PerDay: uint32(e.PerDay.ValueInt64()), Basis: e.Basis.ValueString()}
	}
	for name, p := range consent {
		rules.Consent[name] = &controlv1.Purposes{Purposes: p}
	}
	rules.OnRegionUnavailable, rules.MinAttestation = m.OnRegionUnavailable.ValueString(), m.MinAttestation.ValueString()
	rules.MaxPolicyStaleness, rules.AllowRegionChange = uint32(m.MaxPolicyStaleness.ValueInt64()), m.AllowRegionChange.ValueBool()
	return diags
}

// from takes the rules of a policy. What was left out and is empty stays left out.
func (m *rulesModel) from(ctx context.Context, rules *controlv1.PolicyRules) diag.Diagnostics {
	var diags diag.Diagnostics
	classes, egress, consent := map[string]classModel{}, map[string]egressModel{}, map[string][]string{}
	for name, c := range rules.GetClasses() {
		classes[name] = classModel{types.StringValue(c.GetMode()), types.Int64Value(int64(c.GetRetention())), types.StringValue(c.GetRedactProfile())}
	}
	for name, e := range rules.GetEgress() {
		egress[name] = egressModel{types.StringValue(e.GetEffect()), types.Int64Value(int64(e.GetPerDay())), types.StringValue(e.GetBasis())}
	}
	for name, p := range rules.GetConsent() {
		consent[name] = p.GetPurposes()
	}
	m.Classes = mapFrom(ctx, classType, m.Classes, classes, &diags)
	m.Egress = mapFrom(ctx, egressType, m.Egress, egress, &diags)
	m.Consent = mapFrom(ctx, textsType, m.Consent, consent, &diags)
	m.OnRegionUnavailable, m.MinAttestation = types.StringValue(rules.GetOnRegionUnavailable()), types.StringValue(rules.GetMinAttestation())
	m.MaxPolicyStaleness, m.AllowRegionChange = types.Int64Value(int64(rules.GetMaxPolicyStaleness())), types.BoolValue(rules.GetAllowRegionChange())
	return diags
}

func mapFrom[V any](ctx context.Context, of attr.Type, before types.Map, all map[string]V, diags *diag.Diagnostics) types.Map {
	if len(all) == 0 && before.IsNull() {
		return types.MapNull(of)
	}
	v, d := types.MapValueFrom(ctx, of, all)
	diags.Append(d...)
	return v
}

// known reports whether every rule is known while planning.
func (m rulesModel) known(ctx context.Context) bool {
	for _, v := range []attr.Value{m.Classes, m.Egress, m.Consent, m.OnRegionUnavailable, m.MaxPolicyStaleness, m.MinAttestation, m.AllowRegionChange} {
		t, err := v.ToTerraformValue(ctx)
		if err != nil || !t.IsFullyKnown() {
			return false
		}
	}
	return true
}
