package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// Address is how configurations name the provider.
const Address = "registry.terraform.io/domicile-io/domicile"

// domicile is the provider.
type domicile struct{}

var (
	_ provider.ProviderWithFunctions          = domicile{}
	_ provider.ProviderWithEphemeralResources = domicile{}
)

// New makes the provider.
func New() provider.Provider { return domicile{} }

// settings are the provider's block. Each may come from the environment.
type settings struct {
	Endpoint  types.String `tfsdk:"endpoint"`
	CAFile    types.String `tfsdk:"ca_file"`
	CAPEM     types.String `tfsdk:"ca_pem"`
	Token     types.String `tfsdk:"token"`
	TokenFile types.String `tfsdk:"token_file"`
	Patience  types.String `tfsdk:"patience"`
}

// Metadata implements provider.Provider.
func (domicile) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "domicile"
}

// Schema implements provider.Provider.
func (domicile) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Declares where tenants of a Domicile control plane live, by which rules, and who may receive what. There is no region here: every resource that has one names it.",
		Attributes: map[string]schema.Attribute{
			"endpoint": schema.StringAttribute{Optional: true, Validators: checks(isURL),
				MarkdownDescription: "REST address of the control plane, `https://host:port`. Else `DOMICILE_CONTROL_URL`."},
			"ca_file": schema.StringAttribute{Optional: true,
				MarkdownDescription: "PEM file of the authority that signed the control plane's certificate. Else `DOMICILE_CA`, else the system's authorities."},
			"ca_pem": schema.StringAttribute{Optional: true,
				MarkdownDescription: "The same as text, for runners without files. `ca_file` goes first."},
			"token": schema.StringAttribute{Optional: true, Sensitive: true,
				MarkdownDescription: "Bearer token, best of role `terraform`. Give an ephemeral value, or leave it out and set `DOMICILE_TOKEN`: what is written here stands in the configuration."},
			"token_file": schema.StringAttribute{Optional: true,
				MarkdownDescription: "File that holds the token, of mode 0600 or stricter. Else `DOMICILE_TOKEN_FILE`."},
			"patience": schema.StringAttribute{Optional: true, Validators: checks(isDuration),
				MarkdownDescription: "How long to repeat what the control plane answers with \"not now\" (an election, a limit), such as `45s`. Default: `30s`. A write that is repeated has one effect."},
		},
	}
}

// Configure implements provider.Provider.
func (domicile) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var s settings
	if resp.Diagnostics.Append(req.Config.Get(ctx, &s)...); resp.Diagnostics.HasError() {
		return
	}
	for name, v := range map[string]types.String{"endpoint": s.Endpoint, "ca_file": s.CAFile, "ca_pem": s.CAPEM, "token": s.Token, "token_file": s.TokenFile} {
		if v.IsUnknown() {
			resp.Diagnostics.AddAttributeError(path.Root(name), "This is not known while planning",
				"The provider needs it to read what is there. Give a value that does not depend on a resource of the same run.")
		}
	}
	if resp.Diagnostics.HasError() {
		return
	}
	p, at, err := connect(s)
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root(at), "The control plane cannot be reached with these settings", err.Error())
		return
	}
	resp.ResourceData, resp.DataSourceData, resp.EphemeralResourceData = p, p, p
}

// Resources implements provider.Provider.
func (domicile) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		newTenant, newAPIKey, newResidencyPolicy, newRecipient, newAccessPolicy, newTransferBasis,
		newRegion, newRegionFeature, newContractingEntity, newRoleBinding,
	}
}

// DataSources implements provider.Provider.
func (domicile) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{newTenantData, newRegionsData, newRegionFeaturesData, newPlacementCheckData, newDecisionData}
}

// EphemeralResources implements provider.ProviderWithEphemeralResources.
func (domicile) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{newKeySecret}
}

// Functions implements provider.ProviderWithFunctions.
func (domicile) Functions(context.Context) []func() function.Function {
	return []func() function.Function{newRegionHost, newParseRegionID}
}
