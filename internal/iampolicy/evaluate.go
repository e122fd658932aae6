package iampolicy

import (
	"strings"
)

// Request is what somebody asks of AWS.
type Request struct {
	Principal string            // ARN of the role or user
	Action    string            // such as s3:GetObject
	Resource  string            // ARN, or * where the action has none
	Owner     string            // the account that the resource is of; "" the principal's own
	Context   map[string]string // condition keys; aws:PrincipalArn and aws:PrincipalAccount are added
}

// Policies are all that bear on a request.
type Policies struct {
	ServiceControl [][]Policy // per level (root, unit, account): one of each level's must allow
	Endpoint       *Policy    // of the VPC endpoint on the way; nil: none is
	Identity       []Policy
	Resource       *Policy // nil: the resource has none
}

// Verdict is what the policies decide, and the statement or the lack that did.
type Verdict struct {
	Allowed bool
	Because string
}

// account is the fifth part of an ARN.
func account(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

// about reports whether a statement is about a request; principals are looked at in
// resources' and endpoints' policies only.
func (s Statement) about(r Request, principals bool) bool {
	if principals && !s.Principal.include(r.Principal) {
		return false
	}
	return s.names(r.Action) && s.reaches(r.Resource) && s.holds(r.Context)
}

func (p *Principals) include(arn string) bool {
	if p == nil {
		return false
	}
	if p.Anybody {
		return true
	}
	for _, a := range p.AWS {
		if a == arn || a == account(arn) || a == accountRoot(arn) {
			return true
		}
	}
	return false
}

func accountRoot(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return "arn:" + parts[1] + ":iam::" + parts[4] + ":root"
}

func (s Statement) names(action string) bool {
	for _, a := range s.NotAction {
		if like(strings.ToLower(action), strings.ToLower(a)) {
			return false
		}
	}
	for _, a := range s.Action {
		if like(strings.ToLower(action), strings.ToLower(a)) {
			return true
		}
	}
	return len(s.NotAction) > 0
}

func (s Statement) reaches(resource string) bool {
	for _, a := range s.NotRes {
		if like(resource, a) {
			return false
		}
	}
	for _, a := range s.Resource {
		if like(resource, a) {
			return true
		}
	}
	return len(s.NotRes) > 0
}

// verdict is one document's own: "Deny" or "Allow" with the statement, or nothing.
func (p Policy) verdict(r Request, principals bool) (effect, sid string) {
	for _, s := range p.Statements {
		if !s.about(r, principals) {
			continue
		}
		if s.Effect == "Deny" {
			return "Deny", s.Sid
		}
		effect, sid = "Allow", s.Sid
	}
	return effect, sid
}

// Evaluate decides.
func Evaluate(all Policies, r Request) Verdict {
	context := map[string]string{"aws:principalarn": r.Principal, "aws:principalaccount": account(r.Principal)}
	for key, value := range r.Context {
		context[strings.ToLower(key)] = value
	}
	r.Context = context
	for _, level := range all.ServiceControl {
		if v := anyOf(level, r, false, "a service control policy"); !v.Allowed {
			return v
		}
	}
	if all.Endpoint != nil {
		if v := anyOf([]Policy{*all.Endpoint}, r, true, "the VPC endpoint's policy"); !v.Allowed {
			return v
		}
	}
	byIdentity := anyOf(all.Identity, r, false, "the identity's policies")
	if denied(byIdentity) {
		return byIdentity
	}
	if all.Resource == nil {
		return byIdentity
	}
	byResource := anyOf([]Policy{*all.Resource}, r, true, "the resource's policy")
	if denied(byResource) {
		return byResource
	}
	return combine(*all.Resource, r, byIdentity, byResource)
}

// combine applies the rules of one account, of two, and of KMS.
func combine(resource Policy, r Request, byIdentity, byResource Verdict) Verdict {
	foreign := r.Owner != "" && r.Owner != account(r.Principal)
	switch {
	case strings.HasPrefix(r.Action, "kms:"), foreign:
		// A statement that names the account hands the decision to IAM.
		if byResource.Allowed && (foreign || resource.delegates(r)) {
			return byIdentity
		}
		return byResource
	case byResource.Allowed:
		return byResource
	}
	return byIdentity
}

// delegates reports whether nothing but the account as a whole is what a resource's
// policy allows a request to.
func (p Policy) delegates(r Request) bool {
	for _, s := range p.Statements {
		if s.Effect != "Allow" || !s.about(r, true) {
			continue
		}
		if s.Principal.Anybody {
			return false
		}
		for _, a := range s.Principal.AWS {
			if a == r.Principal {
				return false
			}
		}
	}
	return true
}

const (
	deniedBy  = "denied by "
	silentIs  = "not allowed by "
	allowedBy = "allowed by "
)

func denied(v Verdict) bool { return strings.HasPrefix(v.Because, deniedBy) }

// anyOf is the verdict of several documents of one kind: a deny of any, else an allow
// of any.
func anyOf(all []Policy, r Request, principals bool, kind string) Verdict {
	v := Verdict{Because: silentIs + kind}
	for _, p := range all {
		switch effect, sid := p.verdict(r, principals); effect {
		case "Deny":
			return Verdict{Because: deniedBy + sid}
		case "Allow":
			v = Verdict{Allowed: true, Because: allowedBy + sid}
		}
	}
	return v
}
