package server

import (
	"testing"

	"github.com/domicile-io/domicile/policy"
)

func TestPathsOfTheContractThatAreNotBuiltSaySo(t *testing.T) {
	for path, want := range map[string]policy.Reason{
		"/v1/tenants/acme/moves": policy.NotYet, "/v1/tenants/acme/moves/MV1:cutover": policy.NotYet,
		"/v1/tenants/acme/moved": policy.NotFound, "/v1/moves": policy.NotFound, "/": policy.NotFound,
	} {
		if got := noSuchPath(path).Reason; got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
