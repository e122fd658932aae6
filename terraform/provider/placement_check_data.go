package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// placementCheckData is the data source domicile_placement_check.
type placementCheckData struct{ *connection }

var _ datasource.DataSourceWithConfigure = (*placementCheckData)(nil)

func newPlacementCheckData() datasource.DataSource { return &placementCheckData{} }

type placementCheckModel struct {
	Tenant         types.String   `tfsdk:"tenant"`
	Region         types.String   `tfsdk:"region"`
	Features       []string       `tfsdk:"features"`
	Certifications []string       `tfsdk:"certifications"`
	Possible       types.Bool     `tfsdk:"possible"`
	Findings       []findingModel `tfsdk:"findings"`
}

type findingModel struct {
	Severity types.String `tfsdk:"severity"`
	Code     types.String `tfsdk:"code"`
	Subject  types.String `tfsdk:"subject"`
}

// Metadata implements datasource.DataSource.
func (d *placementCheckData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "domicile_placement_check"
}

// Schema implements datasource.DataSource.
func (d *placementCheckData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	text := func(what string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: what}
	}
	resp.Schema = schema.Schema{MarkdownDescription: "What would block or differ if a tenant lived in a region. It changes nothing; use it in a `check` or a `precondition`.", Attributes: map[string]schema.Attribute{
		"tenant":         schema.StringAttribute{Required: true, MarkdownDescription: "Its id or slug."},
		"region":         schema.StringAttribute{Required: true, Validators: checks(isRegion), MarkdownDescription: "Where it would live. There is no default."},
		"features":       schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: "Features that it needs."},
		"certifications": schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: "Certifications that each of these features must have there."},
		"possible":       schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether nothing blocks."},
		"findings": schema.ListNestedAttribute{Computed: true, MarkdownDescription: "docs/operations/tenants.md lists the codes.", NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"severity": text("`blocks` or `differs`."), "code": text("Such as `FEATURE_NOT_IN_REGION`."), "subject": text("What it is about."),
		}}},
	}}
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *placementCheckData) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.connection = configured(req.ProviderData, &resp.Diagnostics)
}

// Read implements datasource.DataSource.
func (d *placementCheckData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m placementCheckModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	out, err := d.CheckPlacement(ctx, &controlv1.CheckPlacementRequest{Tenant: m.Tenant.ValueString(), Region: m.Region.ValueString(), Features: m.Features, Certifications: m.Certifications})
	if err != nil {
		fail(&resp.Diagnostics, "The placement could not be checked", err)
		return
	}
	m.Possible, m.Findings = types.BoolValue(out.GetPossible()), []findingModel{}
	for _, f := range out.GetFindings() {
		m.Findings = append(m.Findings, findingModel{types.StringValue(f.GetSeverity()), types.StringValue(f.GetCode()), types.StringValue(f.GetSubject())})
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
