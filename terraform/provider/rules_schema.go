package provider

import (
	"maps"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/domicile-io/domicile/policy"
)

// closed lists a vocabulary for the documentation.
func closed[T interface{ String() string }](all []T) string {
	names := make([]string, 0, len(all))
	for _, v := range all {
		names = append(names, "`"+v.String()+"`")
	}
	return strings.Join(names, ", ")
}

func rulesAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"classes": schema.MapNestedAttribute{Required: true, MarkdownDescription: "Data class to rule. A class that is left out is denied. The classes: " + closed(policy.DataClasses()) + ".",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"mode": schema.StringAttribute{Required: true, Validators: checks(oneOf("sealed", "restricted", "replicated")),
					MarkdownDescription: "`sealed`: stored, processed and viewed in the region only. `restricted`: processed and viewed inside the boundary too. `replicated` is not built yet."},
				"retention":      defaultInt(0, "Seconds; 0 is until erased. Of `recording` and `transcript` no longer than of `call_record`: they end with their call."),
				"redact_profile": defaultText("", "Name of a redaction profile."),
			}}},
		"egress": schema.MapNestedAttribute{Optional: true, MarkdownDescription: "Egress class to rule. A class that is left out is denied. The classes: " + closed(policy.EgressClasses()) + ".",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"effect":  schema.StringAttribute{Required: true, Validators: checks(oneOf("allow", "deny", "cap")), MarkdownDescription: "`allow`, `deny` or `cap`."},
				"per_day": defaultInt(0, "With `cap`: how many a day."),
				"basis":   defaultText("", "Id of the transfer basis, such as `PSEUDONYMISED-UC2`."),
			}}},
		"consent": schema.MapAttribute{Optional: true, ElementType: types.SetType{ElemType: types.StringType}, MarkdownDescription: "Data class to the purposes that a person must have consented to."},
		"on_region_unavailable": schema.StringAttribute{Optional: true, Computed: true, Default: stringdefault.StaticString("fail_closed"), Validators: checks(oneOf("fail_closed", "failover_in_boundary")),
			MarkdownDescription: "`fail_closed` (the default); `failover_in_boundary` is not built yet."},
		"max_policy_staleness": defaultInt(int64(policy.DefaultMaxStaleness), "Seconds that a region may go without word of the control plane before exports wait. Default: 60."),
		"min_attestation": schema.StringAttribute{Optional: true, Computed: true, Default: stringdefault.StaticString("declared"), Validators: checks(oneOf("declared", "operator_signed", "cloud_signed")),
			MarkdownDescription: "What a node must prove of its place: `declared` (the default), `operator_signed` or `cloud_signed`."},
		"allow_region_change": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false),
			MarkdownDescription: "Whether the policy lets the tenant leave its boundary. Default: `false`."},
	}
}

func defaultInt(v int64, what string) schema.Attribute {
	return schema.Int64Attribute{Optional: true, Computed: true, Default: int64default.StaticInt64(v), MarkdownDescription: what}
}

func defaultText(v, what string) schema.Attribute {
	return schema.StringAttribute{Optional: true, Computed: true, Default: stringdefault.StaticString(v), MarkdownDescription: what}
}

// initialPolicyAttribute is the whole policy of a tenant that is being placed:
// the one policy that is no change and needs nobody's approval.
func initialPolicyAttribute() schema.Attribute {
	attributes := rulesAttributes()
	recipient := recipientAttributes()
	maps.DeleteFunc(recipient, func(name string, _ schema.Attribute) bool {
		return name == "id" || name == "tenant" || name == "recipient_id"
	})
	attributes["recipients"] = schema.ListNestedAttribute{Optional: true, MarkdownDescription: "Who may receive exports from the start. Left out: nobody. " +
		"A `domicile_recipient` with the same region, purpose and number manages one of them afterwards.",
		NestedObject: schema.NestedAttributeObject{Attributes: recipient}}
	return schema.SingleNestedAttribute{Optional: true, Attributes: attributes,
		MarkdownDescription: "The policy that the tenant is placed with. It is not a change, so nobody approves it; later it does nothing. Left out: every class sealed, nothing leaves."}
}
