package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/boolplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// roleBinding is domicile_role_binding.
type roleBinding struct{ *connection }

var (
	_ resource.ResourceWithConfigure   = (*roleBinding)(nil)
	_ resource.ResourceWithImportState = (*roleBinding)(nil)
)

func newRoleBinding() resource.Resource { return &roleBinding{} }

type roleBindingModel struct {
	Principal types.String `tfsdk:"principal"`
	Role      types.String `tfsdk:"role"`
	Tenant    types.String `tfsdk:"tenant"`
	Region    types.String `tfsdk:"region"`
	ReadOnly  types.Bool   `tfsdk:"read_only"`
	ExpiresAt types.String `tfsdk:"expires_at"`
	Timeouts  types.Object `tfsdk:"timeouts"`
}

// Metadata implements resource.Resource.
func (r *roleBinding) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "domicile_role_binding"
}

// Schema implements resource.Resource.
func (r *roleBinding) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{MarkdownDescription: "What a person who logs in may do. The person is an opaque principal, which `domicile whoami` tells them: no name stands here. It needs a token that may grant, " +
		"an operator's or a security officer's; role `terraform` may not. A binding that has run out is planned anew.",
		Attributes: map[string]schema.Attribute{
			"principal": schema.StringAttribute{Required: true, PlanModifiers: replaces(), MarkdownDescription: "`PR` and 32 hex digits."},
			"role": schema.StringAttribute{Required: true, PlanModifiers: replaces(), Validators: checks(oneOf("operator", "security_officer", "region_admin", "auditor", "tenant_admin", "tenant_reader", "terraform")),
				MarkdownDescription: "One of the roles of docs/operations/identity.md."},
			"tenant": schema.StringAttribute{Optional: true, PlanModifiers: replaces(), MarkdownDescription: "The tenant's id; with the tenant roles, and no other."},
			"region": schema.StringAttribute{Optional: true, PlanModifiers: replaces(), Validators: checks(isRegion), MarkdownDescription: "With `region_admin`, and no other."},
			"read_only": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false), PlanModifiers: []planmodifier.Bool{boolplanmodifier.RequiresReplace()},
				MarkdownDescription: "The person changes nothing, whatever the role. Default: `false`."},
			"expires_at": schema.StringAttribute{Required: true, Validators: checks(isTime), PlanModifiers: replaces(), MarkdownDescription: "RFC 3339, at most 366 days ahead."},
			"timeouts":   timeoutsAttribute(),
		}}
}

// Configure implements resource.ResourceWithConfigure.
func (r *roleBinding) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.connection = configured(req.ProviderData, &resp.Diagnostics)
}

// Create implements resource.Resource.
func (r *roleBinding) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m roleBindingModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	end, err := time.Parse(time.RFC3339, m.ExpiresAt.ValueString())
	left := time.Until(end)
	if err != nil || left < time.Minute {
		resp.Diagnostics.AddAttributeError(path.Root("expires_at"), "The binding would be over", "Give a time that is to come, such as 2027-06-30T00:00:00Z.")
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "create", defaultTimeout)
	defer cancel()
	_, err = r.CreatePrincipal(ctx, &controlv1.CreatePrincipalRequest{Id: m.Principal.ValueString(), Role: m.Role.ValueString(), Tenant: m.Tenant.ValueString(),
		Region: m.Region.ValueString(), ReadOnly: m.ReadOnly.ValueBool(), Lifetime: uint32(left.Round(time.Second).Seconds())})
	if err != nil {
		fail(&resp.Diagnostics, "The person was not bound to the role", err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Read implements resource.Resource.
func (r *roleBinding) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m roleBindingModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	p, err := r.Principal(ctx, m.Principal.ValueString())
	if has(err, policy.NotFound) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		fail(&resp.Diagnostics, "The binding could not be read", err)
		return
	}
	m.take(p)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// take puts what the control plane says into the model. An end within a minute of
// the one declared is that one: the control plane counts from when it was asked.
func (m *roleBindingModel) take(p *controlv1.Principal) {
	m.Role, m.ReadOnly = types.StringValue(p.GetRole()), types.BoolValue(p.GetReadOnly())
	if p.GetTenant() != "" || !m.Tenant.IsNull() {
		m.Tenant = types.StringValue(p.GetTenant())
	}
	if p.GetRegion() != "" || !m.Region.IsNull() {
		m.Region = types.StringValue(p.GetRegion())
	}
	end := p.GetExpiresAt().AsTime()
	if said, err := time.Parse(time.RFC3339, m.ExpiresAt.ValueString()); err != nil || said.Sub(end).Abs() > time.Minute {
		m.ExpiresAt = timeText(p.GetExpiresAt())
	}
}

// Update implements resource.Resource: whatever changes is another binding.
func (r *roleBinding) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m roleBindingModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete implements resource.Resource.
func (r *roleBinding) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m roleBindingModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "delete", defaultTimeout)
	defer cancel()
	p, err := r.Principal(ctx, m.Principal.ValueString())
	if err == nil {
		err = r.DeletePrincipal(ctx, m.Principal.ValueString(), p.GetEtag())
	}
	if err != nil && !has(err, policy.NotFound) {
		fail(&resp.Diagnostics, "The role was not taken away", err)
	}
}

// ImportState implements resource.ResourceWithImportState: the principal.
func (r *roleBinding) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughID(ctx, path.Root("principal"), req, resp)
}
