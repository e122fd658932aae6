package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// decisionData is the data source domicile_decision.
type decisionData struct{ *connection }

var _ datasource.DataSourceWithConfigure = (*decisionData)(nil)

func newDecisionData() datasource.DataSource { return &decisionData{} }

type decisionModel struct {
	Tenant      types.String  `tfsdk:"tenant"`
	Operation   types.String  `tfsdk:"operation"`
	DataClass   types.String  `tfsdk:"data_class"`
	Region      types.String  `tfsdk:"region"`
	EgressClass types.String  `tfsdk:"egress_class"`
	Recipient   types.String  `tfsdk:"recipient"`
	Purpose     types.String  `tfsdk:"purpose"`
	BundleAge   types.Int64   `tfsdk:"bundle_age"`
	Attestation types.String  `tfsdk:"attestation"`
	Effect      types.String  `tfsdk:"effect"`
	Transform   types.String  `tfsdk:"transform"`
	HomeRegion  types.String  `tfsdk:"home_region"`
	Reasons     []reasonModel `tfsdk:"reasons"`
}

type reasonModel struct {
	Rule        types.String `tfsdk:"rule"`
	Denies      types.Bool   `tfsdk:"denies"`
	Explanation types.String `tfsdk:"explanation"`
}

// Metadata implements datasource.DataSource.
func (d *decisionData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "domicile_decision"
}

// Schema implements datasource.DataSource.
func (d *decisionData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	given := func(what string) schema.Attribute {
		return schema.StringAttribute{Optional: true, MarkdownDescription: what}
	}
	text := func(what string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: what}
	}
	resp.Schema = schema.Schema{MarkdownDescription: "What the policy in force decides about a made-up request, with every reason. It moves nothing; use it in a `check` that says what must never be allowed.", Attributes: map[string]schema.Attribute{
		"tenant": schema.StringAttribute{Required: true, MarkdownDescription: "Its id or slug."},
		"operation": schema.StringAttribute{Required: true, Validators: checks(oneOf("ingest", "store", "process", "view", "export", "erase")),
			MarkdownDescription: "`ingest`, `store`, `process`, `view`, `export` or `erase`."},
		"data_class":   schema.StringAttribute{Required: true, MarkdownDescription: "Such as `call_record`."},
		"region":       schema.StringAttribute{Required: true, Validators: checks(isRegion), MarkdownDescription: "Where it would happen. There is no default."},
		"egress_class": given("What an export is, such as `PSEUDONYMISED_EXPORT`."), "recipient": given("To whom an export goes: its id."), "purpose": given("What for."),
		"bundle_age":  schema.Int64Attribute{Optional: true, MarkdownDescription: "Seconds since the region last had word of the control plane. Default: 0."},
		"attestation": given("What the node has proved of its place. Default: `declared`."),
		"effect":      text("`allow` or `deny`."), "transform": text("What happens to the data on the way; empty when it is denied."), "home_region": text("The tenant's home."),
		"reasons": schema.ListNestedAttribute{Computed: true, MarkdownDescription: "Every rule that had a say.", NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"rule": text("A code, such as `OUTSIDE_HOME`."), "denies": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether it is against."}, "explanation": text("In plain words."),
		}}},
	}}
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *decisionData) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.connection = configured(req.ProviderData, &resp.Diagnostics)
}

// Read implements datasource.DataSource.
func (d *decisionData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m decisionModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	out, err := d.Explain(ctx, &controlv1.ExplainDecisionRequest{Tenant: m.Tenant.ValueString(), Operation: m.Operation.ValueString(), DataClass: m.DataClass.ValueString(),
		Region: m.Region.ValueString(), EgressClass: m.EgressClass.ValueString(), Recipient: m.Recipient.ValueString(), Purpose: m.Purpose.ValueString(),
		BundleAge: m.BundleAge.ValueInt64(), Attestation: m.Attestation.ValueString()})
	if err != nil {
		fail(&resp.Diagnostics, "The decision could not be asked for", err)
		return
	}
	m.Effect, m.Transform, m.HomeRegion = types.StringValue(out.GetEffect()), types.StringValue(out.GetTransform()), types.StringValue(out.GetHomeRegion())
	m.Reasons = []reasonModel{}
	for _, r := range out.GetReasons() {
		m.Reasons = append(m.Reasons, reasonModel{types.StringValue(r.GetRule()), types.BoolValue(r.GetDenies()), types.StringValue(r.GetExplanation())})
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
