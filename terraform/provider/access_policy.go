package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/types"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// accessPolicy is domicile_access_policy.
type accessPolicy struct{ *connection }

var (
	_ resource.ResourceWithConfigure   = (*accessPolicy)(nil)
	_ resource.ResourceWithImportState = (*accessPolicy)(nil)
	_ resource.ResourceWithModifyPlan  = (*accessPolicy)(nil)
)

func newAccessPolicy() resource.Resource { return &accessPolicy{} }

type accessPolicyModel struct {
	Tenant           types.String `tfsdk:"tenant"`
	Approval         types.String `tfsdk:"approval"`
	AllowedReasons   types.Set    `tfsdk:"allowed_reasons"`
	ApproverBoundary types.String `tfsdk:"approver_boundary"`
	MaxDuration      types.Int64  `tfsdk:"max_duration"`
	ScopeWidth       types.String `tfsdk:"scope_width"`
	Timeouts         types.Object `tfsdk:"timeouts"`
}

// Metadata implements resource.Resource.
func (r *accessPolicy) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "domicile_access_policy"
}

// Schema implements resource.Resource.
func (r *accessPolicy) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{MarkdownDescription: "The part of a tenant's policy that says when staff may look at its data. What tightens applies at once; what loosens waits for two signatures, as with `domicile_residency_policy`. " +
		"Destroying it leaves the rules in force. (Staff access itself is not built yet: nobody may look at all.)",
		Attributes: map[string]schema.Attribute{
			"tenant": schema.StringAttribute{Required: true, PlanModifiers: replaces(), MarkdownDescription: "The tenant's id or slug."},
			"approval": schema.StringAttribute{Optional: true, Computed: true, Default: stringdefault.StaticString(policy.ApprovalByPeople), Validators: checks(oneOf(policy.ApprovalByPeople)),
				MarkdownDescription: "`required`: two people approve each request."},
			"allowed_reasons": schema.SetAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: "Reason codes that a request may have, such as `CUSTOMER_INITIATED_SUPPORT`. Left out: none."},
			"approver_boundary": schema.StringAttribute{Optional: true, Computed: true, PlanModifiers: kept(),
				MarkdownDescription: "Where one of the approvers must be. Default: the boundary of the tenant's home."},
			"max_duration": defaultInt(int64(policy.DefaultMaxDuration), "Seconds, at most 14400. Default: 3600."),
			"scope_width": schema.StringAttribute{Optional: true, Computed: true, Default: stringdefault.StaticString(policy.DefaultScopeWidth), Validators: checks(oneOf("record", "call", "day")),
				MarkdownDescription: "How much one grant may open: `record` (the default), `call` or `day`."},
			"timeouts": timeoutsAttribute(),
		}}
}

// Configure implements resource.ResourceWithConfigure.
func (r *accessPolicy) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.connection = configured(req.ProviderData, &resp.Diagnostics)
}

func (m accessPolicyModel) wire(ctx context.Context) *controlv1.AccessRule {
	var reasons []string
	m.AllowedReasons.ElementsAs(ctx, &reasons, false)
	return &controlv1.AccessRule{Approval: m.Approval.ValueString(), AllowedReasons: reasons, ApproverBoundary: m.ApproverBoundary.ValueString(),
		MaxDuration: uint32(m.MaxDuration.ValueInt64()), ScopeWidth: m.ScopeWidth.ValueString()}
}

func (m *accessPolicyModel) take(ctx context.Context, a *controlv1.AccessRule) {
	m.Approval, m.ApproverBoundary, m.ScopeWidth = types.StringValue(a.GetApproval()), types.StringValue(a.GetApproverBoundary()), types.StringValue(a.GetScopeWidth())
	m.MaxDuration = types.Int64Value(int64(a.GetMaxDuration()))
	if len(a.GetAllowedReasons()) > 0 || !m.AllowedReasons.IsNull() {
		m.AllowedReasons, _ = types.SetValueFrom(ctx, types.StringType, a.GetAllowedReasons())
	}
}

// write is the edit that makes the rules of access those of m, if they are those of was.
func (m accessPolicyModel) write(ctx context.Context, was *accessPolicyModel) edit {
	return func(rules *controlv1.PolicyRules) string {
		if was != nil {
			before := &controlv1.PolicyRules{Access: was.wire(ctx)}
			if differing(ordered(before), ordered(&controlv1.PolicyRules{Access: rules.GetAccess()})) != "" {
				return "access"
			}
		}
		rules.Access = m.wire(ctx)
		return ""
	}
}

// ModifyPlan implements resource.ResourceWithModifyPlan.
func (r *accessPolicy) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.connection == nil {
		return
	}
	if req.Plan.Raw.IsNull() {
		resp.Diagnostics.AddWarning("The rules of access stay in force", "Destroying this resource only makes Terraform forget them.")
		return
	}
	var m accessPolicyModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() || m.Tenant.IsUnknown() || m.AllowedReasons.IsUnknown() {
		return
	}
	r.planPolicy(ctx, m.Tenant.ValueString(), m.write(ctx, nil), &resp.Diagnostics)
}

// Create implements resource.Resource: it takes over the rules that are there.
func (r *accessPolicy) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m accessPolicyModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "create", defaultTimeout)
	defer cancel()
	p, err := r.editPolicy(ctx, m.Tenant.ValueString(), m.write(ctx, nil))
	if err != nil {
		failPolicy(&resp.Diagnostics, "The rules of access were not taken over", err)
		return
	}
	m.take(ctx, p.GetRules().GetAccess())
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Read implements resource.Resource.
func (r *accessPolicy) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m accessPolicyModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	p, err := r.Policy(ctx, m.Tenant.ValueString())
	if has(err, policy.NotFound) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		fail(&resp.Diagnostics, "The rules of access could not be read", err)
		return
	}
	m.take(ctx, p.GetRules().GetAccess())
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update implements resource.Resource.
func (r *accessPolicy) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, was accessPolicyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.Append(req.State.Get(ctx, &was)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "update", defaultTimeout)
	defer cancel()
	p, err := r.editPolicy(ctx, m.Tenant.ValueString(), m.write(ctx, &was))
	if err != nil {
		failPolicy(&resp.Diagnostics, "The rules of access were not changed", err)
		return
	}
	m.take(ctx, p.GetRules().GetAccess())
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete implements resource.Resource: the rules stay in force.
func (r *accessPolicy) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// ImportState implements resource.ResourceWithImportState: the tenant, as the
// configuration names it.
func (r *accessPolicy) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughID(ctx, path.Root("tenant"), req, resp)
}
