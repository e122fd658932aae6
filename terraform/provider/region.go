package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/types"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// region is domicile_region.
type region struct{ *connection }

var (
	_ resource.ResourceWithConfigure   = (*region)(nil)
	_ resource.ResourceWithImportState = (*region)(nil)
	_ resource.ResourceWithModifyPlan  = (*region)(nil)
)

func newRegion() resource.Resource { return &region{} }

type regionModel struct {
	ID           types.String `tfsdk:"id"`
	Boundary     types.String `tfsdk:"boundary"`
	Country      types.String `tfsdk:"country"`
	Cloud        types.String `tfsdk:"cloud"`
	BackupRegion types.String `tfsdk:"backup_region"`
	Lifecycle    types.String `tfsdk:"lifecycle_state"`
	BaseURL      types.String `tfsdk:"base_url"`
}

type regionResourceModel struct {
	regionModel
	Protection types.Bool   `tfsdk:"deletion_protection"`
	Timeouts   types.Object `tfsdk:"timeouts"`
}

// lifecycles go one way only.
var lifecycles = []string{"planned", "active", "draining", "read_only", "retired"}

// Metadata implements resource.Resource.
func (r *region) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "domicile_region"
}

// Schema implements resource.Resource.
func (r *region) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{MarkdownDescription: "A region of the catalogue. One that exists just as it is declared is taken over; one that differs is imported first. Its life goes one way, `planned` to `retired`, " +
		"and destroying it retires it, which is refused while a tenant is at home there.",
		Attributes: map[string]schema.Attribute{
			"id":       schema.StringAttribute{Required: true, Validators: checks(isRegion), PlanModifiers: replaces(), MarkdownDescription: "Two letters and one or two digits, such as `ie1`."},
			"boundary": schema.StringAttribute{Required: true, MarkdownDescription: "The one boundary that it belongs to, such as `eu`. Never changes."},
			"country":  schema.StringAttribute{Required: true, Validators: checks(isCountry), MarkdownDescription: "ISO 3166 alpha-2. Never changes."},
			"cloud":    schema.StringAttribute{Required: true, MarkdownDescription: "The cloud's name of the place, such as `aws-eu-west-1`."},
			"backup_region": schema.StringAttribute{Required: true,
				MarkdownDescription: "Where backups may go: a region inside the same boundary, or `none`."},
			"lifecycle_state": schema.StringAttribute{Required: true, Validators: checks(oneOf(lifecycles...)), MarkdownDescription: "`planned`, `active`, `draining`, `read_only` or `retired`; never backwards."},
			"base_url":        schema.StringAttribute{Optional: true, Computed: true, PlanModifiers: kept(), MarkdownDescription: "Where tenants reach it. Left out, Terraform leaves it alone."},
			"deletion_protection": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(true),
				MarkdownDescription: "Refuses every plan that would retire the region by destroying it. Default: `true`."},
			"timeouts": timeoutsAttribute(),
		}}
}

// Configure implements resource.ResourceWithConfigure.
func (r *region) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.connection = configured(req.ProviderData, &resp.Diagnostics)
}

func (m regionModel) wire() *controlv1.Region {
	return &controlv1.Region{Id: m.ID.ValueString(), Boundary: m.Boundary.ValueString(), Country: m.Country.ValueString(), Cloud: m.Cloud.ValueString(),
		BackupRegion: m.BackupRegion.ValueString(), Lifecycle: m.Lifecycle.ValueString(), BaseUrl: m.BaseURL.ValueString()}
}

func (m *regionModel) take(r *controlv1.Region) {
	m.ID, m.Boundary, m.Country = types.StringValue(r.GetId()), types.StringValue(r.GetBoundary()), types.StringValue(r.GetCountry())
	m.Cloud, m.BackupRegion = types.StringValue(r.GetCloud()), types.StringValue(r.GetBackupRegion())
	m.Lifecycle, m.BaseURL = types.StringValue(r.GetLifecycle()), types.StringValue(r.GetBaseUrl())
}

// differs names a field that is not as a state or plan says; "" is none. A base
// URL that nobody declared is nobody's.
func (m regionModel) differs(r *controlv1.Region) string {
	var there regionModel
	there.take(r)
	for _, f := range []struct {
		name      string
		was, now  types.String
		undefined bool
	}{{"boundary", m.Boundary, there.Boundary, false}, {"country", m.Country, there.Country, false}, {"cloud", m.Cloud, there.Cloud, false},
		{"backup_region", m.BackupRegion, there.BackupRegion, false}, {"lifecycle_state", m.Lifecycle, there.Lifecycle, false},
		{"base_url", m.BaseURL, there.BaseURL, m.BaseURL.IsUnknown() || m.BaseURL.IsNull()}} {
		if !f.undefined && !f.was.Equal(f.now) {
			return f.name
		}
	}
	return ""
}

// ModifyPlan implements resource.ResourceWithModifyPlan.
func (r *region) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.State.Raw.IsNull() || r.connection == nil {
		return
	}
	var was, m regionResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &was)...); resp.Diagnostics.HasError() {
		return
	}
	if req.Plan.Raw.IsNull() {
		if was.Protection.ValueBool() {
			protected(&resp.Diagnostics, "region")
		}
		return
	}
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	for name, same := range map[string]bool{"boundary": m.Boundary.IsUnknown() || m.Boundary.Equal(was.Boundary), "country": m.Country.IsUnknown() || m.Country.Equal(was.Country)} {
		if !same {
			resp.Diagnostics.AddAttributeError(path.Root(name), "A region's place never changes", "What has another boundary or country is another region, with another id.")
		}
	}
	if m.Lifecycle.IsUnknown() || m.Lifecycle.Equal(was.Lifecycle) {
		return
	}
	if slices.Index(lifecycles, m.Lifecycle.ValueString()) < slices.Index(lifecycles, was.Lifecycle.ValueString()) {
		resp.Diagnostics.AddAttributeError(path.Root("lifecycle_state"), "A region's life goes one way", "It goes "+strings.Join(lifecycles, ", ")+", and never back.")
		return
	}
	r.warnTenants(ctx, m, &resp.Diagnostics)
}

// warnTenants says whom a change of life would reach.
func (r *region) warnTenants(ctx context.Context, m regionResourceModel, diags *diag.Diagnostics) {
	if m.Lifecycle.ValueString() == "active" {
		return
	}
	at, err := r.Tenants(ctx, m.ID.ValueString(), `state != "deleted"`)
	if err != nil {
		fail(diags, "Which tenants are at home in the region could not be asked", err)
		return
	}
	if len(at) > 0 {
		diags.AddAttributeWarning(path.Root("lifecycle_state"), "Tenants are at home there",
			fmt.Sprintf("%s. A region that is %s takes no new tenants; read_only and retired take nothing at all.", homes(at), m.Lifecycle.ValueString()))
	}
}

func homes(at []*controlv1.Tenant) string {
	names := make([]string, 0, len(at))
	for _, t := range at[:min(len(at), 5)] {
		names = append(names, t.GetSlug())
	}
	more := ""
	if len(at) > len(names) {
		more = ", …"
	}
	return fmt.Sprintf("%d tenants: %s%s", len(at), strings.Join(names, ", "), more)
}

// Create implements resource.Resource.
func (r *region) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m regionResourceModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "create", defaultTimeout)
	defer cancel()
	there, err := r.RegionInfo(ctx, m.ID.ValueString())
	switch {
	case has(err, policy.NotFound):
		there, err = r.PutRegion(ctx, m.wire(), "")
	case err == nil && m.differs(there) != "":
		err = differently("region", m.differs(there))
	}
	if err != nil {
		fail(&resp.Diagnostics, "The region was not added", err)
		return
	}
	m.take(there)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// differently is the refusal to take over what is not as declared.
func differently(what, field string) error {
	return policy.Errorf(policy.AlreadyExists, "the %s is there and has another %s than is declared", what, field)
}

// Read implements resource.Resource.
func (r *region) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m regionResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	there, err := r.RegionInfo(ctx, m.ID.ValueString())
	if has(err, policy.NotFound) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		fail(&resp.Diagnostics, "The region could not be read", err)
		return
	}
	m.take(there)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update implements resource.Resource.
func (r *region) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, was regionResourceModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.Append(req.State.Get(ctx, &was)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "update", defaultTimeout)
	defer cancel()
	there, err := r.RegionInfo(ctx, m.ID.ValueString())
	if err == nil {
		if f := was.differs(there); f != "" {
			changedSince(&resp.Diagnostics, "region", f)
			return
		}
		there, err = r.PutRegion(ctx, m.wire(), there.GetEtag())
	}
	if err != nil {
		fail(&resp.Diagnostics, "The region was not changed", err)
		return
	}
	m.take(there)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete implements resource.Resource: a region is retired, and never forgotten.
func (r *region) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m regionResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if m.Protection.ValueBool() {
		protected(&resp.Diagnostics, "region")
		return
	}
	ctx, cancel := limited(ctx, m.Timeouts, "delete", defaultTimeout)
	defer cancel()
	if err := r.retire(ctx, m.ID.ValueString()); err != nil && !has(err, policy.NotFound) {
		fail(&resp.Diagnostics, "The region was not retired", err)
	}
}

func (r *region) retire(ctx context.Context, id string) error {
	at, err := r.Tenants(ctx, id, `state != "deleted"`)
	if err != nil {
		return err
	}
	if len(at) > 0 {
		return policy.Errorf(policy.InvalidArgument, "%s are at home there; end them first", homes(at))
	}
	there, err := r.RegionInfo(ctx, id)
	if err != nil || there.GetLifecycle() == "retired" {
		return err
	}
	there.Lifecycle = "retired"
	etag := there.GetEtag()
	there.Etag = ""
	_, err = r.PutRegion(ctx, there, etag)
	return err
}

// ImportState implements resource.ResourceWithImportState: the region's id.
func (r *region) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughID(ctx, path.Root("id"), req, resp)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("deletion_protection"), true)...)
}
