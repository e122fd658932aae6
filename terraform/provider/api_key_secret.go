package provider

import (
	"context"
	"crypto/rand"

	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/domicile-io/domicile/api/client"
)

// keySecret is the ephemeral resource domicile_api_key_secret. It asks nobody.
type keySecret struct{}

var _ ephemeral.EphemeralResource = keySecret{}

func newKeySecret() ephemeral.EphemeralResource { return keySecret{} }

type keySecretModel struct {
	Region types.String `tfsdk:"region"`
	KeyID  types.String `tfsdk:"key_id"`
	Key    types.String `tfsdk:"key"`
}

// Metadata implements ephemeral.EphemeralResource.
func (keySecret) Metadata(_ context.Context, _ ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = "domicile_api_key_secret"
}

// Schema implements ephemeral.EphemeralResource.
func (keySecret) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A key drawn on this machine, in memory, for one run. Hand it to the `secret_wo` of a `domicile_api_key` and, in the same run, to the write-only attribute of wherever your programs read secrets from. Every run draws another; the ones that nothing registers open nothing.",
		Attributes: map[string]schema.Attribute{
			"region": schema.StringAttribute{Required: true, Validators: checks(isRegion), MarkdownDescription: "Where the key is to work. There is no default."},
			"key_id": schema.StringAttribute{Computed: true, MarkdownDescription: "`SK` and 32 hex digits."},
			"key":    schema.StringAttribute{Computed: true, Sensitive: true, MarkdownDescription: "The whole key, `sk_<region>_<id>_<secret>`."},
		},
	}
}

// Open implements ephemeral.EphemeralResource.
func (keySecret) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var m keySecretModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	s, err := client.NewSecret(m.Region.ValueString(), rand.Reader)
	if err != nil {
		resp.Diagnostics.AddError("No key was drawn", err.Error())
		return
	}
	m.KeyID, m.Key = types.StringValue(s.KeyID), types.StringValue(s.Key)
	resp.Diagnostics.Append(resp.Result.Set(ctx, &m)...)
}
