package server

import (
	"context"
	"strconv"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// validation checks messages against the rules written in the proto files.
// Those rules close the schema: every string of every write matches a pattern
// that no free text fits into (invariant 4).
type validation struct{ check1 grpc.UnaryServerInterceptor }

func newValidation() (*validation, error) {
	v, err := protovalidate.New()
	if err != nil {
		return nil, err
	}
	return &validation{check1: middleware.UnaryServerInterceptor(v)}, nil
}

// check answers INVALID_ARGUMENT naming every bad field, or the more specific
// reason of rule.
func (v *validation) check(ctx context.Context, req any) error {
	if err := rule(req); err != nil {
		return err
	}
	_, err := v.check1(ctx, req, nil, func(context.Context, any) (any, error) { return nil, nil })
	if err == nil {
		return nil
	}
	var list []policy.FieldError
	st, _ := status.FromError(err)
	for _, d := range st.Details() {
		if vs, ok := d.(*validate.Violations); ok {
			for _, one := range vs.GetViolations() {
				list = append(list, policy.FieldError{Field: fieldPath(one.GetField()), Message: inWords(one.GetMessage())})
			}
		}
	}
	if len(list) == 0 {
		return err
	}
	return fieldErrors(list)
}

// rule is what comes before form: a create without a region and a home region
// in an update have their own reasons, whatever else is wrong with them.
func rule(req any) error {
	switch r := req.(type) {
	case *controlv1.CreateTenantRequest:
		if r.GetHomeRegion() == "" {
			return policy.Errorf(policy.RegionRequired, "home_region is required and has no default: a tenant's data must have a home from the first moment; list regions with GET /v1/regions")
		}
	case *controlv1.CreateKeyRequest:
		if r.GetRegion() == "" {
			return policy.Errorf(policy.RegionRequired, "region is required: a key belongs to one region, the tenant's home")
		}
	case *controlv1.UpdateTenantRequest:
		if r.HomeRegion != nil {
			return policy.Errorf(policy.RegionImmutable, "home_region never changes by an update, because the data would stay behind; start a move with POST /v1/tenants/{t}/moves")
		}
	}
	return nil
}

// fieldPath names a field without the keys of maps, which the caller chose and
// which may therefore be personal; keys of our closed lists are shown.
func fieldPath(path *validate.FieldPath) string {
	var parts []string
	for _, e := range path.GetElements() {
		part := e.GetFieldName()
		switch e.WhichSubscript() {
		case validate.FieldPathElement_Index_case:
			part += "[" + strconv.FormatUint(e.GetIndex(), 10) + "]"
		case validate.FieldPathElement_StringKey_case:
			part += "[" + knownName(e.GetStringKey()) + "]"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ".")
}

func knownName(key string) string {
	if _, err := policy.ParseDataClass(key); err == nil {
		return key
	}
	if _, err := policy.ParseEgressClass(key); err == nil {
		return key
	}
	return "…"
}
