package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// Delete implements resource.Resource. The state's protection was asked when the
// destruction was planned, and is asked again.
func (r *tenant) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m tenantModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if m.Protection.ValueBool() {
		protected(&resp.Diagnostics, "tenant")
		return
	}
	t, err := r.Tenant(ctx, m.ID.ValueString())
	switch {
	case has(err, policy.NotFound):
		return
	case err != nil:
		fail(&resp.Diagnostics, "The tenant was not ended", err)
		return
	case foreign(m, t):
		notThis(&resp.Diagnostics)
		return
	case m.HomeRegion.ValueString() != t.GetHomeRegion():
		changedSince(&resp.Diagnostics, "tenant", "home_region")
		return
	}
	if err := r.end(ctx, m, t); err != nil {
		fail(&resp.Diagnostics, "The tenant was not ended", err)
	}
}

// end destroys a tenant's data where that was allowed, and waits for the receipts.
func (r *tenant) end(ctx context.Context, m tenantModel, t *controlv1.Tenant) error {
	write, cancel := limited(ctx, m.Timeouts, "delete", purgeTimeout)
	defer cancel()
	id := t.GetOperation()
	switch {
	case t.GetState() == "deleted":
		return nil
	case t.GetState() == "purged":
		_, err := r.DeleteTenant(write, t.GetId(), t.GetEtag())
		return err
	case !m.PurgeOnDestroy.ValueBool():
		return policy.Errorf(policy.InvalidArgument, "its data is in %s and is not destroyed; set purge_on_destroy = true and apply that first, "+
			"or purge the tenant with `domicile tenants purge`", t.GetHomeRegion())
	case t.GetState() != "purging":
		op, err := r.PurgeTenant(write, &controlv1.PurgeTenantRequest{Tenant: t.GetId(), Delete: true}, t.GetEtag())
		if err != nil {
			return err
		}
		id = op.GetId()
	}
	// Waiting, unlike writing, may be interrupted: the operation goes on, and the
	// next destroy waits for the same one.
	deadline, _ := write.Deadline()
	ctx, stop := context.WithDeadline(ctx, deadline)
	defer stop()
	_, err := client.Await(ctx, r.Control, id, nil)
	return err
}

func protected(diags *diag.Diagnostics, what string) {
	diags.AddError("Deletion protection is on",
		"This "+what+" would be ended, and its deletion_protection is true. If that is meant, set deletion_protection = false, apply that first, and then plan the end again.")
}

func notThis(diags *diag.Diagnostics) {
	diags.AddError("The state names another tenant",
		"The id in the state belongs to a tenant with another slug, and a slug never changes: the state was edited, or mixed up with another. "+
			"Nothing was read into it and nothing was written. Restore the state, or remove the resource with `terraform state rm` and import the right tenant.")
}
