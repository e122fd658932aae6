package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// tenant is domicile_tenant.
type tenant struct{ *connection }

var (
	_ resource.ResourceWithConfigure   = (*tenant)(nil)
	_ resource.ResourceWithImportState = (*tenant)(nil)
	_ resource.ResourceWithModifyPlan  = (*tenant)(nil)
)

func newTenant() resource.Resource { return &tenant{} }

// Metadata implements resource.Resource.
func (r *tenant) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "domicile_tenant"
}

// Schema implements resource.Resource.
func (r *tenant) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = tenantSchema()
}

// Configure implements resource.ResourceWithConfigure.
func (r *tenant) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.connection = configured(req.ProviderData, &resp.Diagnostics)
}

// Create implements resource.Resource.
func (r *tenant) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m tenantModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "create", defaultTimeout)
	defer cancel()
	in := &controlv1.CreateTenantRequest{Slug: m.Slug.ValueString(), HomeRegion: m.HomeRegion.ValueString(), BillingCountry: m.BillingCountry.ValueString()}
	if in.Policy = initialRules(ctx, m, &resp.Diagnostics); resp.Diagnostics.HasError() {
		return
	}
	key := r.repeatKey("tenant", in.GetSlug(), in.GetHomeRegion(), in.GetBillingCountry(), in.GetPolicy().String())
	t, err := r.CreateTenant(client.WithIdempotencyKey(ctx, key), in)
	if err == nil {
		t, err = r.Tenant(ctx, t.GetId()) // a repeat is answered with what was true then
	}
	if err == nil && ended(t) {
		err = policy.Errorf(policy.AlreadyExists, "a tenant had this slug and has ended; a slug is never given again")
	}
	if err != nil {
		fail(&resp.Diagnostics, "The tenant was not placed", err)
		return
	}
	wanted := m.Suspended
	m.take(t)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	if wanted.ValueBool() {
		r.suspend(ctx, &m, wanted, resp)
	}
}

// suspend stops a tenant that was just placed. It is in the state already.
func (r *tenant) suspend(ctx context.Context, m *tenantModel, wanted types.Bool, resp *resource.CreateResponse) {
	t, err := r.setSuspended(ctx, m.ID.ValueString(), wanted.ValueBool())
	if err != nil {
		fail(&resp.Diagnostics, "The tenant was placed and not suspended", err)
		return
	}
	m.take(t)
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
}

func (r *tenant) setSuspended(ctx context.Context, id string, suspended bool) (*controlv1.Tenant, error) {
	if suspended {
		return r.SuspendTenant(ctx, id)
	}
	return r.ResumeTenant(ctx, id)
}

// Read implements resource.Resource. A state that names another tenant than the
// one it describes is not followed.
func (r *tenant) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m tenantModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	t, err := r.Tenant(ctx, m.ID.ValueString())
	if has(err, policy.NotFound) || (err == nil && ended(t)) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		fail(&resp.Diagnostics, "The tenant could not be read", err)
		return
	}
	if foreign(m, t) {
		notThis(&resp.Diagnostics)
		return
	}
	m.take(t)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// foreign reports whether a state's id belongs to another tenant than its slug
// says. A slug never changes, so the state was edited or mixed up. After an
// import by slug or id there is only one of them.
func foreign(m tenantModel, t *controlv1.Tenant) bool {
	slug := m.Slug.ValueString()
	return slug != "" && slug != t.GetSlug()
}

// Update implements resource.Resource.
func (r *tenant) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, was tenantModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.Append(req.State.Get(ctx, &was)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, plan.Timeouts, "update", defaultTimeout)
	defer cancel()
	now, err := r.Tenant(ctx, was.ID.ValueString())
	if err != nil {
		fail(&resp.Diagnostics, "The tenant was not changed", err)
		return
	}
	if field := differs(was, now); field != "" {
		changedSince(&resp.Diagnostics, "tenant", field)
		return
	}
	if plan.HomeRegion.ValueString() != now.GetHomeRegion() {
		r.move(ctx, now, plan.HomeRegion.ValueString(), &resp.Diagnostics)
		return
	}
	if now, err = r.change(ctx, plan, now); err != nil {
		fail(&resp.Diagnostics, "The tenant was not changed", err)
		return
	}
	plan.take(now)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// move asks for a move and leaves the state as it is: only the control plane says
// where a tenant is at home.
func (r *tenant) move(ctx context.Context, now *controlv1.Tenant, to string, diags *diag.Diagnostics) {
	at := fmt.Sprintf("The tenant is still at home in %s", now.GetHomeRegion())
	id, err := client.StartMove(ctx, r.Control, now.GetId(), to)
	if err != nil {
		fail(diags, at, err)
		return
	}
	diags.AddError(at, fmt.Sprintf("Move %s was asked for, and this version of the provider cannot follow a move. Use one that is as new as the control plane; the state was not changed.", id))
}

// change writes what a plan changes of a tenant besides its home.
func (r *tenant) change(ctx context.Context, plan tenantModel, now *controlv1.Tenant) (*controlv1.Tenant, error) {
	if country := plan.BillingCountry.ValueString(); country != now.GetBillingCountry() {
		t, err := r.UpdateTenant(ctx, &controlv1.UpdateTenantRequest{Tenant: now.GetId(), BillingCountry: &country}, now.GetEtag())
		if err != nil {
			return now, err
		}
		now = t
	}
	if plan.Suspended.IsNull() || plan.Suspended.ValueBool() == (now.GetState() == "suspended") {
		return now, nil
	}
	return r.setSuspended(ctx, now.GetId(), plan.Suspended.ValueBool())
}

// differs names what is not as the state says; "" is nothing.
func differs(was tenantModel, now *controlv1.Tenant) string {
	switch {
	case was.Slug.ValueString() != now.GetSlug():
		return "slug"
	case was.HomeRegion.ValueString() != now.GetHomeRegion():
		return "home_region"
	case was.BillingCountry.ValueString() != now.GetBillingCountry():
		return "billing_country"
	case !was.State.IsNull() && was.State.ValueString() != now.GetState():
		return "state"
	}
	return ""
}

// ImportState implements resource.ResourceWithImportState: by id or by slug.
func (r *tenant) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	t, err := r.Tenant(ctx, req.ID)
	if err != nil {
		fail(&resp.Diagnostics, "The tenant could not be imported: give its id or its slug", err)
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), t.GetId())...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("allow_region_change"), false)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("deletion_protection"), true)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("purge_on_destroy"), false)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("wait_for"), "observation")...)
}
