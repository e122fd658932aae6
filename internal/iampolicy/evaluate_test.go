package iampolicy

import (
	"strings"
	"testing"
)

const (
	role  = "arn:aws:iam::111122223333:role/node"
	other = "arn:aws:iam::111122223333:role/other"
	alien = "arn:aws:iam::999999999999:role/node"
	thing = "arn:aws:s3:::b/x"
)

func parsed(t *testing.T, statements string) *Policy {
	t.Helper()
	p, err := Parse(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

// The rows are those of the IAM user guide: "Policy evaluation logic", "Condition
// operators", "Key policies in AWS KMS".
func TestEvaluate(t *testing.T) {
	allow := `{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"}`
	full := []Policy{*parsed(t, `{"Sid":"full","Effect":"Allow","Action":"*","Resource":"*"}`)}
	mine := `{"Sid":"mine","Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"*","Resource":"*"}`
	root := `{"Sid":"root","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}`
	anyone := `{"Sid":"anyone","Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"%s}`
	if1 := func(c string) string { return strings.Replace(anyone, "%s", `,"Condition":`+c, 1) }
	for name, c := range map[string]struct {
		all  Policies
		r    Request
		want string // part of Because
	}{
		"nothing allows":                {Policies{}, Request{Principal: role, Action: "s3:GetObject", Resource: thing}, "not allowed by the identity"},
		"the identity's allows":         {Policies{Identity: []Policy{*parsed(t, allow)}}, Request{Principal: role, Action: "s3:GetObject", Resource: thing}, "allowed by a"},
		"actions without case":          {Policies{Identity: []Policy{*parsed(t, allow)}}, Request{Principal: role, Action: "S3:getobject", Resource: thing}, "allowed by a"},
		"an action of another service":  {Policies{Identity: []Policy{*parsed(t, allow)}}, Request{Principal: role, Action: "s3express:x", Resource: thing}, "not allowed"},
		"a deny beats":                  {Policies{Identity: full, Resource: parsed(t, `{"Sid":"d","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`)}, Request{Principal: role, Action: "s3:GetObject", Resource: thing}, "denied by d"},
		"a level that allows nothing":   {Policies{ServiceControl: [][]Policy{full, nil}, Identity: full}, Request{Principal: role, Action: "s3:GetObject", Resource: thing}, "not allowed by a service control"},
		"an endpoint that is silent":    {Policies{Endpoint: parsed(t, mine), Identity: full}, Request{Principal: other, Action: "s3:GetObject", Resource: thing}, "not allowed by the VPC endpoint"},
		"the resource's alone":          {Policies{Resource: parsed(t, mine)}, Request{Principal: role, Action: "s3:GetObject", Resource: thing}, "allowed by mine"},
		"another account, one side":     {Policies{Resource: parsed(t, strings.Replace(mine, role, alien, 1))}, Request{Principal: alien, Action: "s3:GetObject", Resource: thing, Owner: "111122223333"}, "not allowed by the identity"},
		"another account, other side":   {Policies{Identity: full, Resource: parsed(t, mine)}, Request{Principal: alien, Action: "s3:GetObject", Resource: thing, Owner: "111122223333"}, "not allowed by the resource"},
		"another account, both":         {Policies{Identity: full, Resource: parsed(t, strings.Replace(mine, role, alien, 1))}, Request{Principal: alien, Action: "s3:GetObject", Resource: thing, Owner: "111122223333"}, "allowed by full"},
		"a key whose policy is silent":  {Policies{Identity: full, Resource: parsed(t, mine)}, Request{Principal: other, Action: "kms:Decrypt", Resource: "k"}, "not allowed by the resource"},
		"a key that names the role":     {Policies{Resource: parsed(t, mine)}, Request{Principal: role, Action: "kms:Decrypt", Resource: "k"}, "allowed by mine"},
		"a key that names the account":  {Policies{Identity: full, Resource: parsed(t, root)}, Request{Principal: other, Action: "kms:Decrypt", Resource: "k"}, "allowed by full"},
		"the same, and IAM is silent":   {Policies{Resource: parsed(t, root)}, Request{Principal: other, Action: "kms:Decrypt", Resource: "k"}, "not allowed by the identity"},
		"not action":                    {Policies{Identity: []Policy{*parsed(t, `{"Sid":"n","Effect":"Allow","NotAction":["iam:*"],"Resource":"*"}`)}}, Request{Principal: role, Action: "iam:GetRole", Resource: thing}, "not allowed"},
		"not resource":                  {Policies{Identity: []Policy{*parsed(t, `{"Sid":"n","Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::b/*"}`)}}, Request{Principal: role, Action: "s3:GetObject", Resource: thing}, "not allowed"},
		"equals, absent":                {Policies{Resource: parsed(t, if1(`{"StringEquals":{"k":"v"}}`))}, Request{Principal: role, Action: "s3:x", Resource: thing}, "not allowed"},
		"not equals, absent":            {Policies{Resource: parsed(t, if1(`{"StringNotEquals":{"k":"v"}}`))}, Request{Principal: role, Action: "s3:x", Resource: thing}, "allowed by anyone"},
		"not equals, one of the values": {Policies{Resource: parsed(t, if1(`{"StringNotEquals":{"k":["u","v"]}}`))}, Request{Principal: role, Action: "s3:x", Resource: thing, Context: map[string]string{"K": "v"}}, "not allowed"},
		"if exists, absent":             {Policies{Resource: parsed(t, if1(`{"StringEqualsIfExists":{"k":"v"}}`))}, Request{Principal: role, Action: "s3:x", Resource: thing}, "allowed by anyone"},
		"bool":                          {Policies{Resource: parsed(t, if1(`{"Bool":{"k":false}}`))}, Request{Principal: role, Action: "s3:x", Resource: thing, Context: map[string]string{"k": "false"}}, "allowed by anyone"},
		"null true, there":              {Policies{Resource: parsed(t, if1(`{"Null":{"k":"true"}}`))}, Request{Principal: role, Action: "s3:x", Resource: thing, Context: map[string]string{"k": "v"}}, "not allowed"},
		"null false, there":             {Policies{Resource: parsed(t, if1(`{"Null":{"k":"false"}}`))}, Request{Principal: role, Action: "s3:x", Resource: thing, Context: map[string]string{"k": "v"}}, "allowed by anyone"},
		"less than":                     {Policies{Resource: parsed(t, if1(`{"NumericLessThan":{"k":"1.2"}}`))}, Request{Principal: role, Action: "s3:x", Resource: thing, Context: map[string]string{"k": "1.2"}}, "not allowed"},
		"an ARN's * stays in its part":  {Policies{Resource: parsed(t, if1(`{"ArnLike":{"k":"arn:aws:*:role/x"}}`))}, Request{Principal: role, Action: "s3:x", Resource: thing, Context: map[string]string{"k": "arn:aws:iam::1:role/x"}}, "not allowed"},
	} {
		v := Evaluate(c.all, c.r)
		if !strings.HasPrefix(v.Because, c.want) || v.Allowed != strings.HasPrefix(c.want, "allowed") {
			t.Errorf("%s: %+v, want %q", name, v, c.want)
		}
	}
}

// What is not known is never guessed.
func TestParseIsStrict(t *testing.T) {
	ok := `{"Version":"2012-10-17","Statement":[{"Sid":"s","Effect":"Deny","Action":"*","Resource":"*"}]}`
	if _, err := Parse(ok); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"version":   {"2012-10-17", "2008-10-17"},
		"element":   {`"Sid":"s"`, `"Sid":"s","Ressource":"*"`},
		"effect":    {"Deny", "Refuse"},
		"no Sid":    {`"Sid":"s",`, ""},
		"operator":  {`"Resource":"*"`, `"Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`},
		"variable":  {`"Resource":"*"`, `"Resource":"arn:aws:s3:::${aws:username}"`},
		"principal": {`"Sid":"s"`, `"Sid":"s","Principal":{"Federated":"x"}`},
		"actions":   {`"Action":"*"`, `"Action":"*","NotAction":"*"`},
		"not bool":  {`"Resource":"*"`, `"Resource":"*","Condition":{"BoolNot":{"k":"true"}}`},
	} {
		if _, err := Parse(strings.Replace(ok, change[0], change[1], 1)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
