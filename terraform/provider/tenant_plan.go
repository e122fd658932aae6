package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// ModifyPlan implements resource.ResourceWithModifyPlan: what ends a tenant or
// changes its home is judged before anything is done.
func (r *tenant) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.State.Raw.IsNull() || r.connection == nil {
		return
	}
	var was, plan tenantModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &was)...); resp.Diagnostics.HasError() {
		return
	}
	if req.Plan.Raw.IsNull() {
		if was.Protection.ValueBool() {
			protected(&resp.Diagnostics, "tenant")
		}
		return
	}
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	if !plan.Slug.IsUnknown() && !plan.Slug.Equal(was.Slug) {
		resp.Diagnostics.AddAttributeError(path.Root("slug"), "A slug is given once and for all",
			"Another slug is another tenant, and a tenant is never destroyed to make another. Put the slug back, or declare a second resource.")
		return
	}
	if plan.InitialPolicy.IsUnknown() || !plan.InitialPolicy.Equal(was.InitialPolicy) {
		resp.Diagnostics.AddAttributeWarning(path.Root("initial_policy"), "It counts only when the tenant is placed",
			"The tenant is there, so this change does nothing to its policy. Change it with a domicile_residency_policy.")
	}
	if plan.HomeRegion.IsUnknown() || plan.HomeRegion.Equal(was.HomeRegion) {
		return
	}
	r.planMove(ctx, was, plan, &resp.Diagnostics)
}

// planMove shows what a change of home would meet, and refuses it unless it is
// allowed and possible.
func (r *tenant) planMove(ctx context.Context, was, plan tenantModel, diags *diag.Diagnostics) {
	at := path.Root("home_region")
	var features []string
	if !plan.RequiredFeatures.IsUnknown() {
		if diags.Append(plan.RequiredFeatures.ElementsAs(ctx, &features, false)...); diags.HasError() {
			return
		}
	}
	found, err := r.CheckPlacement(ctx, &controlv1.CheckPlacementRequest{Tenant: was.ID.ValueString(), Region: plan.HomeRegion.ValueString(), Features: features})
	if err != nil {
		fail(diags, "What the change of home region would meet could not be asked", err)
		return
	}
	list := findings(found)
	move := fmt.Sprintf("%s → %s", was.HomeRegion.ValueString(), plan.HomeRegion.ValueString())
	switch {
	case !plan.AllowRegionChange.ValueBool():
		diags.AddAttributeError(at, "A change of home region is refused",
			fmt.Sprintf("%s would move all of the tenant's data. What it would meet:\n%s\n\nIf that is meant, set allow_region_change = true.", move, list))
	case !found.GetPossible():
		diags.AddAttributeError(at, "The tenant cannot live there",
			fmt.Sprintf("%s is blocked. What it would meet:\n%s\n\nNothing was changed. docs/operations/tenants.md says what each code means and what to do.", move, list))
	default:
		diags.AddAttributeWarning(at, "This changes where the tenant's data lives",
			fmt.Sprintf("%s is a move, in place. What it would meet:\n%s\n\nCredentials of the old home stop working at cut-over.", move, list))
	}
}

func findings(c *controlv1.CheckPlacementResponse) string {
	if len(c.GetFindings()) == 0 {
		return "  nothing blocks and nothing differs"
	}
	var b strings.Builder
	for _, f := range c.GetFindings() {
		fmt.Fprintf(&b, "\n  %-7s %s %s", f.GetSeverity(), f.GetCode(), f.GetSubject())
	}
	return strings.TrimPrefix(b.String(), "\n")
}
