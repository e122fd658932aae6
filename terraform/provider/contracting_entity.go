package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// contractingEntity is domicile_contracting_entity.
type contractingEntity struct{ *connection }

var (
	_ resource.ResourceWithConfigure   = (*contractingEntity)(nil)
	_ resource.ResourceWithImportState = (*contractingEntity)(nil)
)

func newContractingEntity() resource.Resource { return &contractingEntity{} }

type contractingEntityModel struct {
	Country         types.String `tfsdk:"billing_country"`
	Code            types.String `tfsdk:"code"`
	SuggestedRegion types.String `tfsdk:"suggested_region"`
	Timeouts        types.Object `tfsdk:"timeouts"`
}

// Metadata implements resource.Resource.
func (r *contractingEntity) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "domicile_contracting_entity"
}

// Schema implements resource.Resource.
func (r *contractingEntity) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{MarkdownDescription: "Who contracts with customers of a billing country. Tenants keep their entity until they are re-contracted. An entry that is there is taken over; destroying this resource leaves it.",
		Attributes: map[string]schema.Attribute{
			"billing_country":  schema.StringAttribute{Required: true, Validators: checks(isCountry), PlanModifiers: replaces(), MarkdownDescription: "ISO 3166 alpha-2."},
			"code":             schema.StringAttribute{Required: true, MarkdownDescription: "The entity's code, such as `DOM-IE`."},
			"suggested_region": schema.StringAttribute{Required: true, Validators: checks(isRegion), MarkdownDescription: "A suggestion that is shown and never applied by itself."},
			"timeouts":         timeoutsAttribute(),
		}}
}

// Configure implements resource.ResourceWithConfigure.
func (r *contractingEntity) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.connection = configured(req.ProviderData, &resp.Diagnostics)
}

func (m *contractingEntityModel) take(e *controlv1.Entity) {
	m.Code, m.SuggestedRegion = types.StringValue(e.GetCode()), types.StringValue(e.GetSuggestedRegion())
}

func (r *contractingEntity) put(ctx context.Context, m contractingEntityModel, was *contractingEntityModel) (*controlv1.Entity, error) {
	there, err := r.Entity(ctx, m.Country.ValueString())
	if err != nil && !has(err, policy.NotFound) {
		return nil, err
	}
	if was != nil && (was.Code.ValueString() != there.GetCode() || was.SuggestedRegion.ValueString() != there.GetSuggestedRegion()) {
		return nil, errChanged{"code or suggested_region"}
	}
	return r.PutEntity(ctx, m.Country.ValueString(), &controlv1.EntitySpec{Code: m.Code.ValueString(), SuggestedRegion: m.SuggestedRegion.ValueString()}, there.GetEtag())
}

// Create implements resource.Resource.
func (r *contractingEntity) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m contractingEntityModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "create", defaultTimeout)
	defer cancel()
	e, err := r.put(ctx, m, nil)
	if err != nil {
		failPolicy(&resp.Diagnostics, "The contracting entity was not written", err)
		return
	}
	m.take(e)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Read implements resource.Resource.
func (r *contractingEntity) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m contractingEntityModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	e, err := r.Entity(ctx, m.Country.ValueString())
	if has(err, policy.NotFound) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		fail(&resp.Diagnostics, "The contracting entity could not be read", err)
		return
	}
	m.take(e)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update implements resource.Resource.
func (r *contractingEntity) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, was contractingEntityModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.Append(req.State.Get(ctx, &was)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "update", defaultTimeout)
	defer cancel()
	e, err := r.put(ctx, m, &was)
	if err != nil {
		failPolicy(&resp.Diagnostics, "The contracting entity was not changed", err)
		return
	}
	m.take(e)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete implements resource.Resource: an entry is never removed.
func (r *contractingEntity) Delete(_ context.Context, _ resource.DeleteRequest, resp *resource.DeleteResponse) {
	resp.Diagnostics.AddWarning("The entry stays", "Who contracts where is never removed; Terraform only forgets it.")
}

// ImportState implements resource.ResourceWithImportState: the country's code.
func (r *contractingEntity) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughID(ctx, path.Root("billing_country"), req, resp)
}
