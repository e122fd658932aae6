package provider

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// residencyPolicy is domicile_residency_policy.
type residencyPolicy struct{ *connection }

var (
	_ resource.ResourceWithConfigure   = (*residencyPolicy)(nil)
	_ resource.ResourceWithImportState = (*residencyPolicy)(nil)
	_ resource.ResourceWithModifyPlan  = (*residencyPolicy)(nil)
)

func newResidencyPolicy() resource.Resource { return &residencyPolicy{} }

type residencyPolicyModel struct {
	Tenant   types.String `tfsdk:"tenant"`
	Timeouts types.Object `tfsdk:"timeouts"`
	rulesModel
}

// Metadata implements resource.Resource.
func (r *residencyPolicy) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "domicile_residency_policy"
}

// Schema implements resource.Resource.
func (r *residencyPolicy) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := map[string]schema.Attribute{
		"tenant":   schema.StringAttribute{Required: true, PlanModifiers: replaces(), MarkdownDescription: "The tenant's id or slug."},
		"timeouts": timeoutsAttribute(),
	}
	maps.Copy(attributes, rulesAttributes())
	resp.Schema = schema.Schema{Attributes: attributes, MarkdownDescription: "The rules of a tenant's residency policy: what may be kept, worked on and viewed where, and what may leave. " +
		"Recipients are `domicile_recipient`, staff access is `domicile_access_policy`. What tightens applies at once. What loosens is shown as a warning in the plan; applying it ends with the id of a pending change, " +
		"and nothing has changed until two people have signed it. Every tenant has a policy, so creating this resource takes it over, and destroying it leaves the policy in force."}
}

// Configure implements resource.ResourceWithConfigure.
func (r *residencyPolicy) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.connection = configured(req.ProviderData, &resp.Diagnostics)
}

// write is the edit that makes the rules those of m, if they are those of was.
func (m rulesModel) write(ctx context.Context, was *rulesModel) edit {
	return func(rules *controlv1.PolicyRules) string {
		if was != nil {
			before := proto.CloneOf(rules)
			was.into(ctx, before)
			if f := differing(ordered(before), ordered(rules)); f != "" {
				return f
			}
		}
		m.into(ctx, rules)
		return ""
	}
}

// differing names a field in which two sets of rules differ; "" is none.
func differing(a, b *controlv1.PolicyRules) string {
	fields := a.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !a.ProtoReflect().Get(f).Equal(b.ProtoReflect().Get(f)) {
			return string(f.Name())
		}
	}
	return ""
}

// ModifyPlan implements resource.ResourceWithModifyPlan.
func (r *residencyPolicy) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.connection == nil {
		return
	}
	if req.Plan.Raw.IsNull() {
		resp.Diagnostics.AddWarning("The policy stays in force", "Destroying this resource only makes Terraform forget it: a tenant always has a policy, and forgetting it must not change what may leave.")
		return
	}
	var m residencyPolicyModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() || m.Tenant.IsUnknown() || !m.known(ctx) {
		return
	}
	r.planPolicy(ctx, m.Tenant.ValueString(), m.write(ctx, nil), &resp.Diagnostics)
}

// Create implements resource.Resource: it takes over the policy that is there.
func (r *residencyPolicy) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m residencyPolicyModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "create", defaultTimeout)
	defer cancel()
	p, err := r.editPolicy(ctx, m.Tenant.ValueString(), m.write(ctx, nil))
	if err != nil {
		failPolicy(&resp.Diagnostics, "The policy was not taken over", err)
		return
	}
	resp.Diagnostics.Append(m.from(ctx, p.GetRules())...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Read implements resource.Resource.
func (r *residencyPolicy) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m residencyPolicyModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	p, err := r.Policy(ctx, m.Tenant.ValueString())
	if has(err, policy.NotFound) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		fail(&resp.Diagnostics, "The policy could not be read", err)
		return
	}
	resp.Diagnostics.Append(m.from(ctx, p.GetRules())...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update implements resource.Resource.
func (r *residencyPolicy) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, was residencyPolicyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.Append(req.State.Get(ctx, &was)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "update", defaultTimeout)
	defer cancel()
	p, err := r.editPolicy(ctx, m.Tenant.ValueString(), m.write(ctx, &was.rulesModel))
	if err != nil {
		failPolicy(&resp.Diagnostics, "The policy was not changed", err)
		return
	}
	resp.Diagnostics.Append(m.from(ctx, p.GetRules())...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete implements resource.Resource: a tenant always has a policy.
func (r *residencyPolicy) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {
}

// ImportState implements resource.ResourceWithImportState: the tenant, as the
// configuration names it.
func (r *residencyPolicy) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughID(ctx, path.Root("tenant"), req, resp)
}
