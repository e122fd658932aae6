package client

import (
	"context"
	"encoding/json"

	"github.com/domicile-io/domicile/policy"
)

// StartMove asks for a tenant to be moved to another home (contract section 8).
// Control planes of this version answer NOT_YET, and nothing has changed; a later
// one would answer with a move that this client cannot follow, which is an error
// that names it.
func StartMove(ctx context.Context, c *Control, tenant, target string) error {
	body, err := json.Marshal(map[string]string{"target_region": target})
	if err != nil {
		return err
	}
	var move struct {
		ID string `json:"id"`
	}
	r := request{method: "POST", path: tenantPath(tenant, "/moves")}
	if err := c.wire().exchange(ctx, r, body, func(b []byte) error { return json.Unmarshal(b, &move) }); err != nil {
		return err
	}
	return policy.Errorf(policy.NotYet, "the control plane started move %s, which this version cannot follow: use a version that is as new as the control plane", move.ID).
		With("move", move.ID)
}
