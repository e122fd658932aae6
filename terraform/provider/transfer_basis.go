package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// transferBasis is domicile_transfer_basis.
type transferBasis struct{ *connection }

var (
	_ resource.ResourceWithConfigure   = (*transferBasis)(nil)
	_ resource.ResourceWithImportState = (*transferBasis)(nil)
	_ resource.ResourceWithModifyPlan  = (*transferBasis)(nil)
)

func newTransferBasis() resource.Resource { return &transferBasis{} }

type transferBasisModel struct {
	ID         types.String `tfsdk:"id"`
	State      types.String `tfsdk:"state"`
	ExpiresAt  types.String `tfsdk:"expires_at"`
	Grant      types.String `tfsdk:"grant"`
	Protection types.Bool   `tfsdk:"deletion_protection"`
	Timeouts   types.Object `tfsdk:"timeouts"`
}

// Metadata implements resource.Resource.
func (r *transferBasis) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "domicile_transfer_basis"
}

// Schema implements resource.Resource.
func (r *transferBasis) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{MarkdownDescription: "A legal basis under which data may cross a border. What closes it, or lets it end sooner, applies at once and stops what relied on it. What opens it, or keeps it open for longer, " +
		"needs a grant by the operator's offline root. One that exists just as it is declared is taken over. Destroying it revokes it.",
		Attributes: map[string]schema.Attribute{
			"id":         schema.StringAttribute{Required: true, PlanModifiers: replaces(), MarkdownDescription: "Such as `SCC` or `PSEUDONYMISED-UC2`."},
			"state":      schema.StringAttribute{Required: true, Validators: checks(oneOf("active", "revoked", "expired")), MarkdownDescription: "`active`, `revoked` or `expired`."},
			"expires_at": schema.StringAttribute{Optional: true, Validators: checks(isTime), MarkdownDescription: "RFC 3339, whole seconds. Left out: no end."},
			"grant":      schema.StringAttribute{Optional: true, MarkdownDescription: "What `domicile bases grant --out FILE` wrote: `file(\"FILE\")`. It is a signature, not a secret."},
			"deletion_protection": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(true),
				MarkdownDescription: "Refuses every plan that would revoke the basis by destroying it. Default: `true`."},
			"timeouts": timeoutsAttribute(),
		}}
}

// Configure implements resource.ResourceWithConfigure.
func (r *transferBasis) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.connection = configured(req.ProviderData, &resp.Diagnostics)
}

func (m transferBasisModel) wire() (*controlv1.BasisSpec, error) {
	spec := &controlv1.BasisSpec{State: m.State.ValueString()}
	if v := m.ExpiresAt.ValueString(); v != "" {
		at, err := time.Parse(time.RFC3339, v)
		if err != nil {
			return nil, fmt.Errorf("expires_at must be a time such as 2027-06-30T00:00:00Z")
		}
		spec.ExpiresAt = timestamppb.New(at)
	}
	if v := m.Grant.ValueString(); v != "" {
		spec.Grant = &controlv1.BasisGrant{}
		if err := protojson.Unmarshal([]byte(v), spec.Grant); err != nil {
			return nil, fmt.Errorf("grant is not what `domicile bases grant` writes: give file(\"FILE\")")
		}
	}
	return spec, nil
}

// take leaves the grant alone: the one in force may be of before this resource.
func (m *transferBasisModel) take(b *controlv1.Basis) {
	m.State, m.ExpiresAt = types.StringValue(b.GetState()), sameTime(m.ExpiresAt, b.GetExpiresAt())
}

// ModifyPlan implements resource.ResourceWithModifyPlan.
func (r *transferBasis) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.State.Raw.IsNull() || r.connection == nil {
		return
	}
	var was, m transferBasisModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &was)...); resp.Diagnostics.HasError() {
		return
	}
	ends := req.Plan.Raw.IsNull()
	if ends && was.Protection.ValueBool() {
		protected(&resp.Diagnostics, "transfer basis")
		return
	}
	if !ends {
		if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
			return
		}
	}
	if (ends || m.State.ValueString() != "active") && was.State.ValueString() == "active" {
		r.warnFlows(ctx, was.ID.ValueString(), resp)
	}
	if m.State.ValueString() == "active" && was.State.ValueString() != "active" && m.Grant.Equal(was.Grant) {
		resp.Diagnostics.AddAttributeWarning(path.Root("state"), "This opens a transfer basis",
			"It needs a grant that the holder of the operator's root has signed, with `domicile bases grant`; without one applying ends with LOOSENING_NEEDS_APPROVAL and changes nothing.")
	}
}

// warnFlows says what would stop.
func (r *transferBasis) warnFlows(ctx context.Context, id string, resp *resource.ModifyPlanResponse) {
	flows, err := r.BasisFlows(ctx, id, "")
	if err != nil && !has(err, policy.NotFound) {
		fail(&resp.Diagnostics, "What relies on the basis could not be asked", err)
		return
	}
	if len(flows) > 0 {
		resp.Diagnostics.AddWarning("This stops transfers", fmt.Sprintf("%d flows rely on the basis and stop at once; the first is of tenant %s, %s. All of them: `domicile bases flows %s`.",
			len(flows), flows[0].GetTenant(), flows[0].GetEgressClass(), id))
	}
}

// put writes the basis over what is there, when that is as was says; without was
// it may be absent, or just as declared.
func (r *transferBasis) put(ctx context.Context, m transferBasisModel, was *transferBasisModel) (*controlv1.Basis, error) {
	spec, err := m.wire()
	if err != nil {
		return nil, policy.Errorf(policy.InvalidArgument, "%v", err)
	}
	there, err := r.Basis(ctx, m.ID.ValueString())
	if err != nil && !has(err, policy.NotFound) {
		return nil, err
	}
	found := err == nil
	before, expected := m, was != nil
	if expected {
		before = *was
	}
	old := before
	old.take(there)
	same := old.State.Equal(before.State) && old.ExpiresAt.Equal(before.ExpiresAt)
	switch {
	case expected && (!found || !same):
		return nil, errChanged{"state"}
	case found && !expected && !same:
		return nil, differently("transfer basis", "state or end")
	case found && !expected:
		return there, nil
	}
	return r.PutBasis(ctx, m.ID.ValueString(), spec, there.GetEtag())
}

// Create implements resource.Resource.
func (r *transferBasis) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m transferBasisModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "create", defaultTimeout)
	defer cancel()
	b, err := r.put(ctx, m, nil)
	if err != nil {
		failPolicy(&resp.Diagnostics, "The transfer basis was not added", err)
		return
	}
	m.take(b)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Read implements resource.Resource.
func (r *transferBasis) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m transferBasisModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	b, err := r.Basis(ctx, m.ID.ValueString())
	if has(err, policy.NotFound) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		fail(&resp.Diagnostics, "The transfer basis could not be read", err)
		return
	}
	m.take(b)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update implements resource.Resource.
func (r *transferBasis) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, was transferBasisModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.Append(req.State.Get(ctx, &was)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "update", defaultTimeout)
	defer cancel()
	b, err := r.put(ctx, m, &was)
	if err != nil {
		failPolicy(&resp.Diagnostics, "The transfer basis was not changed", err)
		return
	}
	m.take(b)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete implements resource.Resource. What is not declared any more must not go
// on carrying data across a border, so the basis is revoked.
func (r *transferBasis) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m transferBasisModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if m.Protection.ValueBool() {
		protected(&resp.Diagnostics, "transfer basis")
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "delete", defaultTimeout)
	defer cancel()
	b, err := r.Basis(ctx, m.ID.ValueString())
	if err == nil && b.GetState() == "active" {
		_, err = r.PutBasis(ctx, b.GetId(), &controlv1.BasisSpec{State: "revoked", ExpiresAt: b.GetExpiresAt()}, b.GetEtag())
	}
	if err != nil && !has(err, policy.NotFound) {
		fail(&resp.Diagnostics, "The transfer basis was not revoked", err)
	}
}

// ImportState implements resource.ResourceWithImportState: the basis's id.
func (r *transferBasis) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughID(ctx, path.Root("id"), req, resp)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("deletion_protection"), true)...)
}
