package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Limits of one operation on a resource, unless its timeouts say otherwise. A
// purge waits for every node of the region to destroy what it holds.
const (
	defaultTimeout = 2 * time.Minute
	purgeTimeout   = 30 * time.Minute
)

func timeoutsAttribute() schema.Attribute {
	one := func(what string) schema.Attribute {
		return schema.StringAttribute{Optional: true, Validators: checks(isDuration), MarkdownDescription: "The longest that " + what + " may take, such as `5m`."}
	}
	return schema.SingleNestedAttribute{Optional: true, MarkdownDescription: "How long to go on before giving up. What was given up may still happen; the next plan says.",
		Attributes: map[string]schema.Attribute{"create": one("creating"), "update": one("changing"), "delete": one("ending it")}}
}

// limited bounds one operation. Once begun it outlives Terraform's wish to stop,
// so that what was done is also written into the state.
func limited(ctx context.Context, timeouts types.Object, operation string, otherwise time.Duration) (context.Context, context.CancelFunc) {
	limit := otherwise
	if v, ok := timeouts.Attributes()[operation].(basetypes.StringValue); ok && v.ValueString() != "" {
		if d, err := time.ParseDuration(v.ValueString()); err == nil {
			limit = d
		}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// timeText writes a time of the control plane.
func timeText(t *timestamppb.Timestamp) types.String {
	if t == nil {
		return types.StringNull()
	}
	return types.StringValue(t.AsTime().UTC().Format(time.RFC3339))
}
