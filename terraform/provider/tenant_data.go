package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// tenantData is the data source domicile_tenant.
type tenantData struct{ *connection }

var _ datasource.DataSourceWithConfigure = (*tenantData)(nil)

func newTenantData() datasource.DataSource { return &tenantData{} }

type tenantDataModel struct {
	Tenant         types.String `tfsdk:"tenant"`
	ID             types.String `tfsdk:"id"`
	Slug           types.String `tfsdk:"slug"`
	HomeRegion     types.String `tfsdk:"home_region"`
	BillingCountry types.String `tfsdk:"billing_country"`
	tenantFacts
}

// Metadata implements datasource.DataSource.
func (d *tenantData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "domicile_tenant"
}

// Schema implements datasource.DataSource.
func (d *tenantData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	text := func(what string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: what}
	}
	resp.Schema = schema.Schema{MarkdownDescription: "Where a tenant lives, and by whose word.", Attributes: map[string]schema.Attribute{
		"tenant": schema.StringAttribute{Required: true, MarkdownDescription: "Its id or slug."},
		"id":     text("`TN` and 32 hex digits."), "slug": text("The operator's name for it."),
		"home_region": text("Where its data lives."), "boundary": text("The boundary of the home region."),
		"home_epoch":      schema.Int64Attribute{Computed: true, MarkdownDescription: "Counts its moves, from 1."},
		"billing_country": text("ISO 3166 alpha-2."), "contracting_entity": text("Who contracts."),
		"suggested_region": text("Where the billing country would suggest."), "state": text("`active`, `suspended`, `purging`, `purged` or `deleted`."),
		"assurance": text("`signed` by the tenant's own key, or `operator`."), "create_time": text("RFC 3339, UTC."),
	}}
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *tenantData) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.connection = configured(req.ProviderData, &resp.Diagnostics)
}

// Read implements datasource.DataSource.
func (d *tenantData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m tenantDataModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	t, err := d.Tenant(ctx, m.Tenant.ValueString())
	if err != nil {
		fail(&resp.Diagnostics, "The tenant could not be read", err)
		return
	}
	m.ID, m.Slug = types.StringValue(t.GetId()), types.StringValue(t.GetSlug())
	m.HomeRegion, m.BillingCountry = types.StringValue(t.GetHomeRegion()), types.StringValue(t.GetBillingCountry())
	m.tenantFacts = factsOf(t)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
