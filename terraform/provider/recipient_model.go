package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// receiverModel is what is declared of one recipient.
type receiverModel struct {
	Region           types.String `tfsdk:"region"`
	Purpose          types.String `tfsdk:"purpose"`
	Number           types.Int64  `tfsdk:"number"`
	Transforms       types.String `tfsdk:"transforms"`
	Threshold        types.Int64  `tfsdk:"threshold"`
	Colluding        types.Int64  `tfsdk:"colluding"`
	AssessmentHash   types.String `tfsdk:"assessment_hash"`
	AssessmentExpiry types.String `tfsdk:"assessment_expiry"`
}

// recipientID is the id of what is declared, and nothing else: a run that is
// refused until two people have signed must name the same recipient when it is
// repeated, or every run would ask for another. It says no more than the policy
// says beside it.
func recipientID(slug string, r receiverModel) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "domicile recipient 1\n%s\n%s\n%s\n%d", slug, r.Region.ValueString(), r.Purpose.ValueString(), r.Number.ValueInt64()))
	return string(policy.KindRecipient) + hex.EncodeToString(sum[:16])
}

func (r receiverModel) wire(diags *diag.Diagnostics) *controlv1.Recipient {
	expiry, err := time.Parse(time.RFC3339, r.AssessmentExpiry.ValueString())
	if err != nil {
		diags.AddError("An assessment's expiry cannot be read", "It must be a time such as 2027-06-30T00:00:00Z.")
	}
	return &controlv1.Recipient{Region: r.Region.ValueString(), Purpose: r.Purpose.ValueString(), Transforms: r.Transforms.ValueString(),
		Threshold: int32(r.Threshold.ValueInt64()), Colluding: int32(r.Colluding.ValueInt64()), AssessmentHash: r.AssessmentHash.ValueString(),
		AssessmentExpiry: timestamppb.New(expiry)}
}

func (r *receiverModel) take(in *controlv1.Recipient) {
	r.Region, r.Purpose, r.Transforms = types.StringValue(in.GetRegion()), types.StringValue(in.GetPurpose()), types.StringValue(in.GetTransforms())
	r.Threshold, r.Colluding = types.Int64Value(int64(in.GetThreshold())), types.Int64Value(int64(in.GetColluding()))
	r.AssessmentHash = types.StringValue(in.GetAssessmentHash())
	r.AssessmentExpiry = sameTime(r.AssessmentExpiry, in.GetAssessmentExpiry())
}

// unknown reports whether something is not known while planning.
func (r receiverModel) unknown() bool {
	for _, v := range []attr.Value{r.Region, r.Purpose, r.Number, r.Transforms, r.Threshold, r.Colluding, r.AssessmentHash, r.AssessmentExpiry} {
		if v.IsUnknown() {
			return true
		}
	}
	return false
}

// sameTime keeps how a time is written where it is the same time.
func sameTime(before types.String, now *timestamppb.Timestamp) types.String {
	if now == nil {
		return types.StringNull()
	}
	if t, err := time.Parse(time.RFC3339, before.ValueString()); err == nil && t.Equal(now.AsTime()) {
		return before
	}
	return types.StringValue(now.AsTime().UTC().Format(time.RFC3339))
}

func recipientAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"region": schema.StringAttribute{Required: true, Validators: checks(isRegion),
			MarkdownDescription: "Where the recipient is. There is no default."},
		"purpose": schema.StringAttribute{Required: true,
			MarkdownDescription: "What the data is for: 2 to 32 of a-z, 0-9 and _, beginning with a letter."},
		"number":     defaultInt(0, "Tells recipients of the same region and purpose apart. Default: 0. People and systems are described at home, not here."),
		"transforms": defaultText(policy.DefaultTransforms, "How fields are changed: `standard`."),
		"threshold":  defaultInt(policy.DefaultThreshold, "k: distinct subjects per released class, 10 at least."),
		"colluding":  defaultInt(policy.DefaultColluding, "m: subjects that the recipient may control. Default: 3."),
		"assessment_hash": schema.StringAttribute{Required: true,
			MarkdownDescription: "Hex SHA-256 of the transfer impact assessment, which stays at home."},
		"assessment_expiry": schema.StringAttribute{Required: true, Validators: checks(isTime),
			MarkdownDescription: "When the assessment has to be made again, RFC 3339. Exports stop then."},
	}
}
