package provider

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// regionFeature is domicile_region_feature.
type regionFeature struct{ *connection }

var (
	_ resource.ResourceWithConfigure   = (*regionFeature)(nil)
	_ resource.ResourceWithImportState = (*regionFeature)(nil)
)

func newRegionFeature() resource.Resource { return &regionFeature{} }

type regionFeatureModel struct {
	Region         types.String     `tfsdk:"region"`
	Feature        types.String     `tfsdk:"feature"`
	Stage          types.String     `tfsdk:"stage"`
	Limits         map[string]int64 `tfsdk:"limits"`
	Certifications types.Set        `tfsdk:"certifications"`
	Timeouts       types.Object     `tfsdk:"timeouts"`
}

// Metadata implements resource.Resource.
func (r *regionFeature) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "domicile_region_feature"
}

// Schema implements resource.Resource.
func (r *regionFeature) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{MarkdownDescription: "How far one feature is in one region. Calling one that is absent is refused, and never goes to another region. One that is there is taken over; destroying it sets its stage to `none`, " +
		"which is refused while a policy there has a rule for what it brings in.",
		Attributes: map[string]schema.Attribute{
			"region":         schema.StringAttribute{Required: true, Validators: checks(isRegion), PlanModifiers: replaces(), MarkdownDescription: "The region. There is no default."},
			"feature":        schema.StringAttribute{Required: true, PlanModifiers: replaces(), MarkdownDescription: "Such as `recording` or `stir_shaken`."},
			"stage":          schema.StringAttribute{Required: true, Validators: checks(oneOf("none", "pilot", "beta", "ga")), MarkdownDescription: "`none`, `pilot`, `beta` or `ga`."},
			"limits":         schema.MapAttribute{Optional: true, ElementType: types.Int64Type, MarkdownDescription: "Code of a limit to its amount, such as `CONCURRENT_CALLS`."},
			"certifications": schema.SetAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: "Codes of what it is certified for there, such as `ISO-27001`."},
			"timeouts":       timeoutsAttribute(),
		}}
}

// Configure implements resource.ResourceWithConfigure.
func (r *regionFeature) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.connection = configured(req.ProviderData, &resp.Diagnostics)
}

func (m regionFeatureModel) wire(ctx context.Context) *controlv1.FeatureSpec {
	spec := &controlv1.FeatureSpec{Stage: m.Stage.ValueString()}
	for code, amount := range m.Limits {
		spec.Limits = append(spec.Limits, &controlv1.FeatureLimit{Code: code, Amount: uint64(amount)})
	}
	slices.SortFunc(spec.Limits, func(a, b *controlv1.FeatureLimit) int { return strings.Compare(a.GetCode(), b.GetCode()) })
	m.Certifications.ElementsAs(ctx, &spec.Certifications, false)
	slices.Sort(spec.Certifications)
	return spec
}

func (m *regionFeatureModel) take(ctx context.Context, f *controlv1.Feature) {
	m.Stage = types.StringValue(f.GetStage())
	if len(f.GetLimits()) > 0 || m.Limits != nil {
		m.Limits = map[string]int64{}
		for _, l := range f.GetLimits() {
			m.Limits[l.GetCode()] = int64(l.GetAmount())
		}
	}
	if len(f.GetCertifications()) > 0 || !m.Certifications.IsNull() {
		m.Certifications, _ = types.SetValueFrom(ctx, types.StringType, f.GetCertifications())
	}
	if m.Certifications.IsNull() {
		m.Certifications = types.SetNull(types.StringType)
	}
}

// differs names what is not as the state says; "" is nothing.
func (m regionFeatureModel) differs(ctx context.Context, f *controlv1.Feature) string {
	was, now := m.wire(ctx), m
	now.take(ctx, f)
	there := now.wire(ctx)
	switch {
	case was.GetStage() != there.GetStage():
		return "stage"
	case !maps.Equal(m.Limits, now.Limits):
		return "limits"
	case !slices.Equal(was.GetCertifications(), there.GetCertifications()):
		return "certifications"
	}
	return ""
}

// put writes the feature over what is there, whatever it is: the plan shows a
// region's feature by reading it, and a stage is nobody's but the operator's.
func (r *regionFeature) put(ctx context.Context, m regionFeatureModel, spec *controlv1.FeatureSpec) (*controlv1.Feature, error) {
	there, err := r.Feature(ctx, m.Region.ValueString(), m.Feature.ValueString())
	if err != nil && !has(err, policy.NotFound) {
		return nil, err
	}
	return r.PutFeature(ctx, m.Region.ValueString(), m.Feature.ValueString(), spec, there.GetEtag())
}

// Create implements resource.Resource.
func (r *regionFeature) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m regionFeatureModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "create", defaultTimeout)
	defer cancel()
	f, err := r.put(ctx, m, m.wire(ctx))
	if err != nil {
		fail(&resp.Diagnostics, "The feature was not written", err)
		return
	}
	m.take(ctx, f)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Read implements resource.Resource.
func (r *regionFeature) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m regionFeatureModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	f, err := r.Feature(ctx, m.Region.ValueString(), m.Feature.ValueString())
	if has(err, policy.NotFound) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		fail(&resp.Diagnostics, "The feature could not be read", err)
		return
	}
	m.take(ctx, f)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update implements resource.Resource.
func (r *regionFeature) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, was regionFeatureModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.Append(req.State.Get(ctx, &was)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "update", defaultTimeout)
	defer cancel()
	there, err := r.Feature(ctx, m.Region.ValueString(), m.Feature.ValueString())
	if field := was.differs(ctx, there); err == nil && field != "" {
		changedSince(&resp.Diagnostics, "feature", field)
		return
	}
	if err == nil {
		there, err = r.PutFeature(ctx, m.Region.ValueString(), m.Feature.ValueString(), m.wire(ctx), there.GetEtag())
	}
	if err != nil {
		fail(&resp.Diagnostics, "The feature was not changed", err)
		return
	}
	m.take(ctx, there)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete implements resource.Resource.
func (r *regionFeature) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m regionFeatureModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "delete", defaultTimeout)
	defer cancel()
	if _, err := r.put(ctx, m, &controlv1.FeatureSpec{Stage: "none"}); err != nil && !has(err, policy.NotFound) {
		fail(&resp.Diagnostics, "The feature was not taken away", err)
	}
}

// ImportState implements resource.ResourceWithImportState: REGION/FEATURE.
func (r *regionFeature) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	region, feature, ok := strings.Cut(req.ID, "/")
	if !ok {
		resp.Diagnostics.AddError("The feature could not be imported", "Give REGION/FEATURE, such as ie1/recording.")
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("region"), region)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("feature"), feature)...)
}
