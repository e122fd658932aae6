package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/types"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// tenantModel is a tenant as Terraform sees it.
type tenantModel struct {
	ID                types.String `tfsdk:"id"`
	Slug              types.String `tfsdk:"slug"`
	HomeRegion        types.String `tfsdk:"home_region"`
	BillingCountry    types.String `tfsdk:"billing_country"`
	Suspended         types.Bool   `tfsdk:"suspended"`
	InitialPolicy     types.Object `tfsdk:"initial_policy"`
	RequiredFeatures  types.Set    `tfsdk:"required_features"`
	AllowRegionChange types.Bool   `tfsdk:"allow_region_change"`
	WaitFor           types.String `tfsdk:"wait_for"`
	Protection        types.Bool   `tfsdk:"deletion_protection"`
	PurgeOnDestroy    types.Bool   `tfsdk:"purge_on_destroy"`
	Timeouts          types.Object `tfsdk:"timeouts"`
	tenantFacts
}

// tenantFacts are what the control plane says of a tenant.
type tenantFacts struct {
	Boundary          types.String `tfsdk:"boundary"`
	HomeEpoch         types.Int64  `tfsdk:"home_epoch"`
	ContractingEntity types.String `tfsdk:"contracting_entity"`
	SuggestedRegion   types.String `tfsdk:"suggested_region"`
	State             types.String `tfsdk:"state"`
	Assurance         types.String `tfsdk:"assurance"`
	CreateTime        types.String `tfsdk:"create_time"`
}

func factsOf(t *controlv1.Tenant) tenantFacts {
	return tenantFacts{
		Boundary: types.StringValue(t.GetBoundary()), HomeEpoch: types.Int64Value(int64(t.GetHomeEpoch())),
		ContractingEntity: types.StringValue(t.GetContractingEntity()), SuggestedRegion: types.StringValue(t.GetSuggestedRegion()),
		State: types.StringValue(t.GetState()), Assurance: types.StringValue(t.GetAssurance()),
		CreateTime: timeText(t.GetCreateTime()),
	}
}

// take puts what the control plane says into the model; what only Terraform
// knows stays.
func (m *tenantModel) take(t *controlv1.Tenant) {
	m.ID, m.Slug = types.StringValue(t.GetId()), types.StringValue(t.GetSlug())
	m.HomeRegion, m.BillingCountry = types.StringValue(t.GetHomeRegion()), types.StringValue(t.GetBillingCountry())
	if !m.Suspended.IsNull() {
		m.Suspended = types.BoolValue(t.GetState() == "suspended")
	}
	m.tenantFacts = factsOf(t)
}

// ended reports whether nothing of a tenant is to be managed any more.
func ended(t *controlv1.Tenant) bool {
	switch t.GetState() {
	case "purging", "purged", "deleted":
		return true
	}
	return false
}
