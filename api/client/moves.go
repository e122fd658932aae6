package client

import (
	"context"
	"encoding/json"
)

// StartMove asks for a tenant to be moved to another home (contract section 8),
// and gives the move's id. Control planes of this version answer NOT_YET, and
// nothing has changed. Following a move is not built either.
func StartMove(ctx context.Context, c *Control, tenant, target string) (id string, err error) {
	body, err := json.Marshal(map[string]string{"target_region": target})
	if err != nil {
		return "", err
	}
	var move struct {
		ID string `json:"id"`
	}
	r := request{method: "POST", path: tenantPath(tenant, "/moves")}
	err = c.wire().exchange(ctx, r, body, func(b []byte) error { return json.Unmarshal(b, &move) })
	return move.ID, err
}
