package server

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/policy"
)

// simulate replays what left of the caller's tenant against a policy in the
// form that PUT /v1/tenants/{t}/policy takes. Nothing changes and nothing
// moves, so that whoever may read the transfers may ask.
func (x *exchange) simulate() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	if x.s.o.Exports == nil {
		return errNotYet
	}
	var in data.SimulateRequest
	if err := x.decode(&in); err != nil {
		return err
	}
	if len(in.Policy) == 0 {
		return invalid([]policy.FieldError{{Field: "policy", Message: "is missing; give the rules as PUT /v1/tenants/{t}/policy takes them"}})
	}
	rules := &controlv1.PolicyRules{}
	if protojson.Unmarshal(in.Policy, rules) != nil { // its words may quote the body
		return invalid([]policy.FieldError{{Field: "policy", Message: "is not rules as PUT /v1/tenants/{t}/policy takes them; see `domicile policies get --rules`"}})
	}
	base, err := x.s.o.Gate.Base(x.who.Tenant)
	if err != nil {
		return err
	}
	proposed, err := control.ApplyRules(base, rules, "policy")
	if err != nil {
		return err
	}
	trial, err := x.s.o.Gate.Propose(&proposed, "policy")
	if err != nil {
		return err
	}
	out, err := x.s.o.Exports.Simulate(x.r.Context(), trial, in.Days)
	if err != nil {
		return err
	}
	out.Region, out.Tenant, out.Slug = string(x.s.o.Region), string(x.who.Tenant), string(x.who.Slug)
	return x.answer(http.StatusOK, out)
}
