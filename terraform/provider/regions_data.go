package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// regionsData is the data source domicile_regions.
type regionsData struct{ *connection }

var _ datasource.DataSourceWithConfigure = (*regionsData)(nil)

func newRegionsData() datasource.DataSource { return &regionsData{} }

type regionsDataModel struct {
	Boundary  types.String  `tfsdk:"boundary"`
	Lifecycle types.String  `tfsdk:"lifecycle_state"`
	Regions   []regionModel `tfsdk:"regions"`
}

// Metadata implements datasource.DataSource.
func (d *regionsData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "domicile_regions"
}

// Schema implements datasource.DataSource.
func (d *regionsData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	text := func(what string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: what}
	}
	resp.Schema = schema.Schema{MarkdownDescription: "The regions of the catalogue, by id.", Attributes: map[string]schema.Attribute{
		"boundary":        schema.StringAttribute{Optional: true, MarkdownDescription: "Only those of this boundary."},
		"lifecycle_state": schema.StringAttribute{Optional: true, Validators: checks(oneOf(lifecycles...)), MarkdownDescription: "Only those at this point of their life."},
		"regions": schema.ListNestedAttribute{Computed: true, MarkdownDescription: "What was found.", NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"id": text("Such as `ie1`."), "boundary": text("Such as `eu`."), "country": text("ISO 3166 alpha-2."), "cloud": text("Such as `aws-eu-west-1`."),
			"backup_region": text("Where backups may go, or `none`."), "lifecycle_state": text("`planned`, `active`, `draining`, `read_only` or `retired`."),
			"base_url": text("Where tenants reach it; empty while it is unknown."),
		}}},
	}}
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *regionsData) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.connection = configured(req.ProviderData, &resp.Diagnostics)
}

// Read implements datasource.DataSource.
func (d *regionsData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m regionsDataModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	all, err := d.connection.Regions(ctx)
	if err != nil {
		fail(&resp.Diagnostics, "The regions could not be read", err)
		return
	}
	m.Regions = []regionModel{}
	for _, r := range all {
		if (m.Boundary.IsNull() || m.Boundary.ValueString() == r.GetBoundary()) && (m.Lifecycle.IsNull() || m.Lifecycle.ValueString() == r.GetLifecycle()) {
			var one regionModel
			one.take(r)
			m.Regions = append(m.Regions, one)
		}
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
