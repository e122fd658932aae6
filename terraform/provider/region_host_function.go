package provider

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/function"
)

// regionHost is the function region_host.
type regionHost struct{}

var _ function.Function = regionHost{}

func newRegionHost() function.Function { return regionHost{} }

// Metadata implements function.Function.
func (regionHost) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "region_host"
}

// Definition implements function.Function.
func (regionHost) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary:             "The host of a region's data plane",
		MarkdownDescription: "`api.<region>.<domain>`: no host without a region's label serves a tenant's data. With an edge, `api.<edge>.<region>.<domain>`. It asks nobody, so it does not say whether the region is there.",
		Parameters: []function.Parameter{
			function.StringParameter{Name: "region", MarkdownDescription: "Such as `ie1`."},
			function.StringParameter{Name: "domain", MarkdownDescription: "Such as `voice.example.net`."},
		},
		VariadicParameter: function.StringParameter{Name: "edge", MarkdownDescription: "At most one edge's label."},
		Return:            function.StringReturn{},
	}
}

// Run implements function.Function.
func (regionHost) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var region, domain string
	var edge []string
	if resp.Error = req.Arguments.Get(ctx, &region, &domain, &edge); resp.Error != nil {
		return
	}
	host := []string{"api"}
	switch {
	case isRegion(region) != "":
		resp.Error = function.NewArgumentFuncError(0, "the region "+isRegion(region))
	case !isHost(domain):
		resp.Error = function.NewArgumentFuncError(1, "the domain must be a host name in lower case, such as voice.example.net")
	case len(edge) > 1 || len(edge) == 1 && (!isHost(edge[0]) || strings.Contains(edge[0], ".")):
		resp.Error = function.NewArgumentFuncError(2, "the edge must be one label of a host name")
	default:
		host = append(append(host, edge...), region, domain)
		resp.Error = resp.Result.Set(ctx, strings.Join(host, "."))
	}
}

// isHost reports whether every label of a name is of a-z, 0-9 and inner hyphens.
func isHost(s string) bool {
	for _, label := range strings.Split(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return len(s) <= 200
}
