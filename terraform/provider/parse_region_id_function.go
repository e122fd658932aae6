package provider

import (
	"context"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// parseRegionID is the function parse_region_id.
type parseRegionID struct{}

var _ function.Function = parseRegionID{}

func newParseRegionID() function.Function { return parseRegionID{} }

// Metadata implements function.Function.
func (parseRegionID) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "parse_region_id"
}

// Definition implements function.Function.
func (parseRegionID) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary:             "The parts of a region's id",
		MarkdownDescription: "An object with `letters` and `number`, such as `ie` and 1 of `ie1`. The letters are the operator's and need not be the country's: ask `domicile_regions` for that. Anything else than a region's id is an error.",
		Parameters:          []function.Parameter{function.StringParameter{Name: "id", MarkdownDescription: "Such as `ie1`."}},
		Return:              function.ObjectReturn{AttributeTypes: map[string]attr.Type{"letters": types.StringType, "number": types.Int64Type}},
	}
}

// Run implements function.Function.
func (parseRegionID) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var id string
	if resp.Error = req.Arguments.Get(ctx, &id); resp.Error != nil {
		return
	}
	if wrong := isRegion(id); wrong != "" {
		resp.Error = function.NewArgumentFuncError(0, "the id "+wrong)
		return
	}
	number, _ := strconv.ParseInt(id[2:], 10, 64)
	resp.Error = resp.Result.Set(ctx, struct {
		Letters string `tfsdk:"letters"`
		Number  int64  `tfsdk:"number"`
	}{id[:2], number})
}
