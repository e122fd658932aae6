package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

const tenantDoc = "A tenant with its home region. The region is always given, and a change of it is a move, planned in place: " +
	"the plan shows what would block or differ, it is refused unless `allow_region_change` is true, and a tenant is never destroyed and created again to get there. " +
	"Moves are not built yet: applying one ends with the control plane's `NOT_YET`, and nothing has changed."

func tenantSchema() schema.Schema {
	attributes := map[string]schema.Attribute{
		"id": schema.StringAttribute{Computed: true, PlanModifiers: kept(), MarkdownDescription: "`TN` and 32 hex digits."},
		"slug": schema.StringAttribute{Required: true, Validators: checks(isSlug),
			MarkdownDescription: "The operator's name for the tenant, given once and for all and never given again. It is not at home: choose one that says nothing about people."},
		"home_region": schema.StringAttribute{Required: true, Validators: checks(isRegion),
			MarkdownDescription: "Where the tenant's data lives, such as `ie1`. There is no default."},
		"billing_country": schema.StringAttribute{Required: true, Validators: checks(isCountry),
			MarkdownDescription: "ISO 3166 alpha-2. It decides who contracts; the home region it does not."},
		"suspended": schema.BoolAttribute{Optional: true,
			MarkdownDescription: "Stops everything of the tenant and deletes nothing. Left out, Terraform leaves the state alone: what somebody suspended stays suspended."},
		"initial_policy": initialPolicyAttribute(),
		"required_features": schema.SetAttribute{Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Features that the tenant needs, such as `recording`: a plan that changes the home region says which of them the new one lacks."},
		"allow_region_change": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false),
			MarkdownDescription: "Lets a plan change `home_region`. Default: `false`."},
		"wait_for": schema.StringAttribute{Optional: true, Computed: true, Default: stringdefault.StaticString("observation"), Validators: checks(oneOf("observation")),
			MarkdownDescription: "How far a move is followed. Only `observation`, from which on the next plan is empty; purging the old home is another decision."},
		"deletion_protection": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(true),
			MarkdownDescription: "Refuses every plan that would end the tenant. Default: `true`."},
		"purge_on_destroy": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false),
			MarkdownDescription: "Lets `destroy` destroy the tenant's data first, for good. Without it only a tenant whose data is purged can be ended. Default: `false`."},
		"timeouts": timeoutsAttribute(),
		"boundary": schema.StringAttribute{Computed: true, MarkdownDescription: "The boundary of the home region, such as `eu`."},
		"home_epoch": schema.Int64Attribute{Computed: true,
			MarkdownDescription: "Counts the tenant's moves, from 1."},
		"contracting_entity": schema.StringAttribute{Computed: true, MarkdownDescription: "Who contracts with customers of the billing country."},
		"suggested_region":   schema.StringAttribute{Computed: true, MarkdownDescription: "Where the billing country would suggest. Never applied by itself."},
		"state":              schema.StringAttribute{Computed: true, MarkdownDescription: "`active`, `suspended`, `purging`, `purged` or `deleted`."},
		"assurance":          schema.StringAttribute{Computed: true, MarkdownDescription: "`signed` by the tenant's own key, or `operator`."},
		"create_time":        schema.StringAttribute{Computed: true, PlanModifiers: kept(), MarkdownDescription: "RFC 3339, UTC."},
	}
	return schema.Schema{MarkdownDescription: tenantDoc, Attributes: attributes}
}
