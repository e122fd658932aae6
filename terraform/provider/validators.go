package provider

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/domicile-io/domicile/policy"
)

// check is a validator of one string: "" when it is good, else what is wrong.
type check func(string) string

func checks(c check) []validator.String { return []validator.String{c} }

// Description implements validator.Describer.
func (c check) Description(context.Context) string { return "must have the right form" }

// MarkdownDescription implements validator.Describer.
func (c check) MarkdownDescription(ctx context.Context) string { return c.Description(ctx) }

// ValidateString implements validator.String. The message never repeats the value.
func (c check) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if wrong := c(req.ConfigValue.ValueString()); wrong != "" {
		resp.Diagnostics.AddAttributeError(req.Path, "This value cannot be used", "It "+wrong+".")
	}
}

func isRegion(s string) string {
	if _, err := policy.ParseRegionID(s); err != nil {
		return "must be the id of a region, two letters and one or two digits, such as ie1"
	}
	return ""
}

func isSlug(s string) string {
	if _, err := policy.ParseSlug(s); err != nil {
		return "must be 2 to 32 of a-z, 0-9 and hyphens, begin with a letter, and hold no five digits in a row (a telephone number must not fit)"
	}
	return ""
}

func isCountry(s string) string {
	if len(s) != 2 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "must be an ISO 3166 alpha-2 code in capitals, such as IE"
	}
	return ""
}

func isURL(s string) string {
	if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" {
		return "must be an address such as https://control.example.net"
	}
	return ""
}

func isDuration(s string) string {
	if d, err := time.ParseDuration(s); err != nil || d < 0 {
		return "must be a duration such as 30s or 5m"
	}
	return ""
}

func isTime(s string) string {
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return "must be a time such as 2027-06-30T00:00:00Z (RFC 3339)"
	}
	return ""
}

func oneOf(all ...string) check {
	return func(s string) string {
		if !slices.Contains(all, s) {
			return fmt.Sprintf("must be one of %s", strings.Join(all, ", "))
		}
		return ""
	}
}
