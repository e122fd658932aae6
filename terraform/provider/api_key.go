package provider

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// apiKey is domicile_api_key.
type apiKey struct{ *connection }

var (
	_ resource.ResourceWithConfigure      = (*apiKey)(nil)
	_ resource.ResourceWithImportState    = (*apiKey)(nil)
	_ resource.ResourceWithModifyPlan     = (*apiKey)(nil)
	_ resource.ResourceWithValidateConfig = (*apiKey)(nil)
)

func newAPIKey() resource.Resource { return &apiKey{} }

type apiKeyModel struct {
	ID            types.String `tfsdk:"id"`
	Tenant        types.String `tfsdk:"tenant"`
	Region        types.String `tfsdk:"region"`
	Role          types.String `tfsdk:"role"`
	Recipient     types.String `tfsdk:"recipient"`
	SecretWO      types.String `tfsdk:"secret_wo"`
	SecretVersion types.Int64  `tfsdk:"secret_wo_version"`
	KeyFile       types.String `tfsdk:"key_file"`
	CreateTime    types.String `tfsdk:"create_time"`
	Timeouts      types.Object `tfsdk:"timeouts"`
}

// Metadata implements resource.Resource.
func (r *apiKey) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "domicile_api_key"
}

// Schema implements resource.Resource.
func (r *apiKey) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A key that works in one region only. Its secret is in no state, plan or log: it comes from an ephemeral `domicile_api_key_secret` into `secret_wo`, or is drawn into a file on this machine, " +
			"and the control plane learns its SHA-256. A changed key is another key: with `create_before_destroy` the new one works before the old one stops.",
		Attributes: map[string]schema.Attribute{
			"id":     schema.StringAttribute{Computed: true, PlanModifiers: kept(), MarkdownDescription: "`SK` and 32 hex digits."},
			"tenant": schema.StringAttribute{Required: true, PlanModifiers: replaces(), MarkdownDescription: "The tenant's id, best by reference."},
			"region": schema.StringAttribute{Required: true, Validators: checks(isRegion), PlanModifiers: replaces(),
				MarkdownDescription: "Where the key works: the tenant's home, or the recipient's region. There is no default."},
			"role": schema.StringAttribute{Required: true, Validators: checks(oneOf("ingest", "reader", "admin", "recipient")), PlanModifiers: replaces(),
				MarkdownDescription: "`ingest` writes records, `reader` reads them, `admin` does both; `recipient` reads what was exported to `recipient`, and nothing else."},
			"recipient": schema.StringAttribute{Optional: true, PlanModifiers: replaces(), MarkdownDescription: "With role `recipient`: its id."},
			"secret_wo": schema.StringAttribute{Optional: true, WriteOnly: true, Sensitive: true,
				MarkdownDescription: "The whole key, `sk_<region>_…`: an ephemeral value. Terraform keeps it nowhere, so a change of it is seen by `secret_wo_version` only."},
			"secret_wo_version": schema.Int64Attribute{Optional: true, PlanModifiers: replacesKnownInt(), MarkdownDescription: "Another number makes another key."},
			"key_file": schema.StringAttribute{Optional: true, PlanModifiers: replacesKnown(),
				MarkdownDescription: "Instead of `secret_wo`: a file of mode 0600 on this machine that the key is drawn into, or that already holds it. It is never removed."},
			"create_time": schema.StringAttribute{Computed: true, PlanModifiers: kept(), MarkdownDescription: "RFC 3339, UTC."},
			"timeouts":    timeoutsAttribute(),
		},
	}
}

// Configure implements resource.ResourceWithConfigure.
func (r *apiKey) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.connection = configured(req.ProviderData, &resp.Diagnostics)
}

// ValidateConfig implements resource.ResourceWithValidateConfig. A key that was
// imported has no source of its secret here, which Create finds out.
func (r *apiKey) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m apiKeyModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if !m.SecretWO.IsNull() && !m.KeyFile.IsNull() {
		resp.Diagnostics.AddAttributeError(path.Root("key_file"), "The secret comes from one place", "Give secret_wo or key_file, not both.")
	}
	if !m.Role.IsUnknown() && !m.Recipient.IsUnknown() && (m.Role.ValueString() == "recipient") != !m.Recipient.IsNull() {
		resp.Diagnostics.AddAttributeError(path.Root("recipient"), "Role and recipient go together", "Role recipient needs the recipient's id, and no other role takes one.")
	}
}

// ModifyPlan implements resource.ResourceWithModifyPlan: a key for another region
// than the tenant's home is refused before anything else of the run is done.
func (r *apiKey) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || !req.State.Raw.IsNull() || r.connection == nil {
		return
	}
	var m apiKeyModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if m.Tenant.IsUnknown() || m.Region.IsUnknown() || m.Role.IsUnknown() || m.Role.ValueString() == "recipient" {
		return
	}
	t, err := r.Tenant(ctx, m.Tenant.ValueString())
	if err == nil && t.GetHomeRegion() != m.Region.ValueString() {
		resp.Diagnostics.AddAttributeError(path.Root("region"), "A key works in the tenant's home region only",
			"The tenant's home is "+t.GetHomeRegion()+". Name that region; a key is never valid anywhere else.")
	}
}

// Create implements resource.Resource.
func (r *apiKey) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m, config apiKeyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.Append(req.Config.Get(ctx, &config)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "create", defaultTimeout)
	defer cancel()
	s, err := m.secret(config.SecretWO.ValueString())
	if err != nil {
		resp.Diagnostics.AddError("The key has no secret", err.Error())
		return
	}
	if err := r.register(ctx, m, s); err != nil {
		fail(&resp.Diagnostics, "The key was not issued", err)
		return
	}
	k, err := r.Key(ctx, m.Tenant.ValueString(), s.KeyID)
	if err != nil {
		fail(&resp.Diagnostics, "The key was issued and could not be read", err)
		return
	}
	m.take(k)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// register makes the hash of a secret known. One that is known already, of a run
// that was interrupted, is taken over when it is the same key.
func (r *apiKey) register(ctx context.Context, m apiKeyModel, s secret) error {
	var err error
	if m.Role.ValueString() == "recipient" {
		_, err = r.CreateRecipientKey(ctx, &controlv1.CreateRecipientKeyRequest{Tenant: m.Tenant.ValueString(), Recipient: m.Recipient.ValueString(), SecretSha256: s.SHA256, KeyId: s.KeyID})
	} else {
		_, err = r.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: m.Tenant.ValueString(), Region: m.Region.ValueString(), Role: m.Role.ValueString(), SecretSha256: s.SHA256, KeyId: s.KeyID})
	}
	if !has(err, policy.AlreadyExists) {
		return err
	}
	k, again := r.Key(ctx, m.Tenant.ValueString(), s.KeyID)
	if again != nil || k.GetRegion() != m.Region.ValueString() || k.GetRole() != m.Role.ValueString() || k.GetRecipient() != m.Recipient.ValueString() {
		return err
	}
	return nil
}

// Read implements resource.Resource.
func (r *apiKey) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m apiKeyModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	k, err := r.Key(ctx, m.Tenant.ValueString(), m.ID.ValueString())
	if has(err, policy.NotFound) { // revoked, or its tenant has ended: the plan makes another
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		fail(&resp.Diagnostics, "The key could not be read", err)
		return
	}
	m.take(k)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update implements resource.Resource: nothing of a key changes, and what does is
// Terraform's own.
func (r *apiKey) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m apiKeyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete implements resource.Resource.
func (r *apiKey) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m apiKeyModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "delete", defaultTimeout)
	defer cancel()
	k, err := r.Key(ctx, m.Tenant.ValueString(), m.ID.ValueString())
	if err == nil {
		err = r.DeleteKey(ctx, m.Tenant.ValueString(), m.ID.ValueString(), k.GetEtag())
	}
	if err != nil && !has(err, policy.NotFound) {
		fail(&resp.Diagnostics, "The key was not revoked", err)
	}
}

// ImportState implements resource.ResourceWithImportState: TENANT/KEY.
func (r *apiKey) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	tenant, id, ok := strings.Cut(req.ID, "/")
	if !ok {
		resp.Diagnostics.AddError("The key could not be imported", "Give TENANT/KEY: the tenant as the configuration names it, and the key's id.")
		return
	}
	k, err := r.Key(ctx, tenant, id)
	if err != nil {
		fail(&resp.Diagnostics, "The key could not be imported", err)
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), k.GetId())...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("tenant"), tenant)...)
}

// take puts what the control plane says into the model.
func (m *apiKeyModel) take(k *controlv1.Key) {
	m.ID, m.Region, m.Role = types.StringValue(k.GetId()), types.StringValue(k.GetRegion()), types.StringValue(k.GetRole())
	if k.GetRecipient() != "" {
		m.Recipient = types.StringValue(k.GetRecipient())
	}
	m.CreateTime = timeText(k.GetCreateTime())
	m.SecretWO = types.StringNull()
}
