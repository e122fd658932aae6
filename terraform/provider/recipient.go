package provider

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// recipient is domicile_recipient.
type recipient struct{ *connection }

var (
	_ resource.ResourceWithConfigure   = (*recipient)(nil)
	_ resource.ResourceWithImportState = (*recipient)(nil)
	_ resource.ResourceWithModifyPlan  = (*recipient)(nil)
)

func newRecipient() resource.Resource { return &recipient{} }

type recipientModel struct {
	ID       types.String `tfsdk:"id"`
	Tenant   types.String `tfsdk:"tenant"`
	Timeouts types.Object `tfsdk:"timeouts"`
	receiverModel
}

// Metadata implements resource.Resource.
func (r *recipient) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "domicile_recipient"
}

// Schema implements resource.Resource.
func (r *recipient) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := recipientAttributes()
	attributes["region"] = schema.StringAttribute{Required: true, Validators: checks(isRegion), PlanModifiers: replaces(), MarkdownDescription: "Where the recipient is. There is no default."}
	attributes["purpose"] = schema.StringAttribute{Required: true, PlanModifiers: replaces(), MarkdownDescription: attributes["purpose"].GetMarkdownDescription()}
	attributes["number"] = schema.Int64Attribute{Optional: true, Computed: true, Default: int64default.StaticInt64(0), PlanModifiers: replacesInt(), MarkdownDescription: attributes["number"].GetMarkdownDescription()}
	maps.Copy(attributes, map[string]schema.Attribute{
		"id":       schema.StringAttribute{Computed: true, PlanModifiers: kept(), MarkdownDescription: "`RP` and 32 hex digits, made of tenant, region, purpose and number: a refused apply and its repetition name the same recipient."},
		"tenant":   schema.StringAttribute{Required: true, PlanModifiers: replaces(), MarkdownDescription: "The tenant's id or slug."},
		"timeouts": timeoutsAttribute(),
	})
	resp.Schema = schema.Schema{Attributes: attributes, MarkdownDescription: "Somebody who may receive a tenant's pseudonymised exports. Adding one always loosens the policy: the first apply ends with the id of a pending change, " +
		"and the apply after its approval finds the recipient there. Taking one away applies at once. A tenant can be placed with recipients: see `initial_policy` of `domicile_tenant`."}
}

// Configure implements resource.ResourceWithConfigure.
func (r *recipient) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.connection = configured(req.ProviderData, &resp.Diagnostics)
}

// write is the edit that puts one recipient into the list, if it is there as was
// says; without was it may be there or not.
func (m recipientModel) write(id string, was *recipientModel) edit {
	return func(rules *controlv1.PolicyRules) string {
		var unused diag.Diagnostics // the times were checked when the configuration was read
		next := m.wire(&unused)
		next.Id = id
		list := rules.Recipients.List
		i := slices.IndexFunc(list, func(x *controlv1.Recipient) bool { return x.GetId() == id })
		if was != nil {
			before := was.wire(&unused)
			before.Id = id
			if i < 0 || !proto.Equal(list[i], before) {
				return "recipient"
			}
		}
		if i < 0 {
			list = append(list, next)
		} else {
			list[i] = next
		}
		rules.Recipients = &controlv1.RecipientList{List: list}
		return ""
	}
}

// without is the edit that takes one recipient away.
func without(id string) edit {
	return func(rules *controlv1.PolicyRules) string {
		list := slices.DeleteFunc(rules.Recipients.List, func(x *controlv1.Recipient) bool { return x.GetId() == id })
		rules.Recipients = &controlv1.RecipientList{List: list, DenyAll: len(list) == 0}
		return ""
	}
}

// identify finds the tenant and gives the id of what is declared.
func (r *recipient) identify(ctx context.Context, m recipientModel) (string, error) {
	t, err := r.Tenant(ctx, m.Tenant.ValueString())
	if err != nil {
		return "", err
	}
	return recipientID(t.GetSlug(), m.receiverModel), nil
}

// ModifyPlan implements resource.ResourceWithModifyPlan.
func (r *recipient) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.connection == nil || req.Plan.Raw.IsNull() {
		return
	}
	var m recipientModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() || m.Tenant.IsUnknown() || m.unknown() {
		return
	}
	id := m.ID.ValueString()
	if m.ID.IsUnknown() {
		var err error
		if id, err = r.identify(ctx, m); has(err, policy.NotFound) {
			return
		} else if err != nil {
			fail(&resp.Diagnostics, "The recipient's tenant could not be read", err)
			return
		}
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("id"), id)...)
	}
	r.planPolicy(ctx, m.Tenant.ValueString(), m.write(id, nil), &resp.Diagnostics)
}

// Create implements resource.Resource.
func (r *recipient) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m recipientModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "create", defaultTimeout)
	defer cancel()
	id, err := r.identify(ctx, m)
	if err == nil {
		_, err = r.editPolicy(ctx, m.Tenant.ValueString(), m.write(id, nil))
	}
	if err != nil {
		failPolicy(&resp.Diagnostics, "The recipient was not declared", err)
		return
	}
	m.ID = types.StringValue(id)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Read implements resource.Resource.
func (r *recipient) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m recipientModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	found, err := r.Recipient(ctx, m.Tenant.ValueString(), m.ID.ValueString())
	if has(err, policy.NotFound) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		fail(&resp.Diagnostics, "The recipient could not be read", err)
		return
	}
	m.take(found)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update implements resource.Resource.
func (r *recipient) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, was recipientModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.Append(req.State.Get(ctx, &was)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "update", defaultTimeout)
	defer cancel()
	if _, err := r.editPolicy(ctx, m.Tenant.ValueString(), m.write(m.ID.ValueString(), &was)); err != nil {
		failPolicy(&resp.Diagnostics, "The recipient was not changed", err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete implements resource.Resource. It tightens, so it applies at once.
func (r *recipient) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m recipientModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "delete", defaultTimeout)
	defer cancel()
	if _, err := r.editPolicy(ctx, m.Tenant.ValueString(), without(m.ID.ValueString())); err != nil && !has(err, policy.NotFound) {
		failPolicy(&resp.Diagnostics, "The recipient was not taken away", err)
	}
}

// ImportState implements resource.ResourceWithImportState: TENANT/RECIPIENT. One
// that was declared elsewhere has an id of its own and the number 0.
func (r *recipient) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	tenant, id, ok := strings.Cut(req.ID, "/")
	if !ok {
		resp.Diagnostics.AddError("The recipient could not be imported", "Give TENANT/RECIPIENT: the tenant as the configuration names it, and the recipient's id.")
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("tenant"), tenant)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), id)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("number"), int64(0))...)
}
