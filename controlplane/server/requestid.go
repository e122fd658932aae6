package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/domicile-io/domicile/controlplane/store"
)

// A request id that a caller brings is kept only in a form that no name or
// number fits into, because it is logged: a UUID or 32 hex digits. It is written by hand
// as ^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$.
func isRequestID(id string) bool { return store.IsHex(id, 32) || store.IsUUID(id) }

func requestID(ctx context.Context) string {
	id, err := incoming(ctx, mdRequestID)
	if err != nil {
		id = ""
	}
	return keepRequestID(id)
}

func keepRequestID(id string) string {
	if isRequestID(id) {
		return id
	}
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "00000000000000000000000000000000" // an answer without a unique id is better than none
	}
	return hex.EncodeToString(raw[:])
}
