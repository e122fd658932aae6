package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// regionFeaturesData is the data source domicile_region_features.
type regionFeaturesData struct{ *connection }

var _ datasource.DataSourceWithConfigure = (*regionFeaturesData)(nil)

func newRegionFeaturesData() datasource.DataSource { return &regionFeaturesData{} }

type regionFeaturesDataModel struct {
	Region   types.String                `tfsdk:"region"`
	Features map[string]featureDataModel `tfsdk:"features"`
}

type featureDataModel struct {
	Stage          types.String     `tfsdk:"stage"`
	Limits         map[string]int64 `tfsdk:"limits"`
	Certifications []string         `tfsdk:"certifications"`
}

// Metadata implements datasource.DataSource.
func (d *regionFeaturesData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "domicile_region_features"
}

// Schema implements datasource.DataSource.
func (d *regionFeaturesData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{MarkdownDescription: "What a region can do. A feature that is not listed is not there.", Attributes: map[string]schema.Attribute{
		"region": schema.StringAttribute{Required: true, Validators: checks(isRegion), MarkdownDescription: "The region. There is no default."},
		"features": schema.MapNestedAttribute{Computed: true, MarkdownDescription: "By name.", NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"stage":          schema.StringAttribute{Computed: true, MarkdownDescription: "`none`, `pilot`, `beta` or `ga`."},
			"limits":         schema.MapAttribute{Computed: true, ElementType: types.Int64Type, MarkdownDescription: "By code."},
			"certifications": schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Codes."},
		}}},
	}}
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *regionFeaturesData) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.connection = configured(req.ProviderData, &resp.Diagnostics)
}

// Read implements datasource.DataSource.
func (d *regionFeaturesData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m regionFeaturesDataModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	all, err := d.connection.Features(ctx, m.Region.ValueString())
	if err != nil {
		fail(&resp.Diagnostics, "The features could not be read", err)
		return
	}
	m.Features = map[string]featureDataModel{}
	for _, f := range all {
		one := featureDataModel{Stage: types.StringValue(f.GetStage()), Limits: map[string]int64{}, Certifications: append([]string{}, f.GetCertifications()...)}
		for _, l := range f.GetLimits() {
			one.Limits[l.GetCode()] = int64(l.GetAmount())
		}
		m.Features[f.GetName()] = one
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
