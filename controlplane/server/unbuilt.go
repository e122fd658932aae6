package server

import (
	"regexp"

	"github.com/domicile-io/domicile/policy"
)

// unbuilt are the paths of the contract (§12) that nothing answers yet. They
// say NOT_YET rather than NOT_FOUND, so that a caller knows it spelt them right.
// A path leaves the list when its method is built.
var unbuilt = regexp.MustCompile(`^/v1/(` +
	`tenants/[^/]+/moves(/[^/]+)?` +
	`)$`)

// noSuchPath is the answer to a path that no method has.
func noSuchPath(path string) *policy.Error {
	if unbuilt.MatchString(path) {
		return policy.Errorf(policy.NotYet, "this is part of the contract and is not built yet; the README lists what is")
	}
	return policy.Errorf(policy.NotFound, "no such path; the OpenAPI document at /openapi.json lists all")
}
