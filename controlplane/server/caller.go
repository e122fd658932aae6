package server

import (
	"context"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// Metadata keys. The gateway lets exactly the first six through from REST and
// sets mdClient itself; mdForwarded is set by voters only.
const (
	mdAuthorization = "authorization"
	mdIfMatch       = "if-match"
	mdIdempotency   = "idempotency-key"
	mdPolicyToken   = "x-policy-token"
	mdConsistency   = "x-consistency"
	mdRequestID     = "x-request-id"
	mdForwarded     = "x-domicile-forwarded"
	mdClient        = "x-domicile-client" // the address of whoever asks, for limits only

	mdETag     = "etag"          // answer
	mdStatus   = "x-http-status" // answer: 201 for creates
	mdReadMask = "x-read-mask"   // answer: what it was pruned to
)

// caller is who speaks: a person or program with a token or a login, or a node.
type caller struct {
	principal  string // PR…, or "bootstrap"; "" for nodes
	role       role
	tenant     policy.TenantID // with roles of a tenant: the only tenant that exists for them
	region     policy.RegionID // with roles of a region: the only region that exists for them
	readOnly   bool
	expires    *time.Time     // of the credential
	credential credentialKind // how they showed who they are
	secret     string         // hex SHA-256 of a bootstrap token, which the state compares again
	node       mtls.Identity  // of the connection
}

// sees reports whether a tenant at home in a region exists for the caller: the
// one place where credentials are confined.
func (c caller) sees(id policy.TenantID, home policy.RegionID) bool {
	return (c.tenant == "" || c.tenant == id) && c.seesRegion(home)
}

// seesRegion reports whether a region exists for the caller.
func (c caller) seesRegion(id policy.RegionID) bool { return c.region == "" || c.region == id }

type callKey struct{}

// call is what the chain learned of one call.
type call struct {
	caller
	requestID string
	method    string
}

func callOf(ctx context.Context) call {
	c, _ := ctx.Value(callKey{}).(call)
	return c
}

func withCall(ctx context.Context, c call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// connection reads the identity of the peer's certificate.
func connection(ctx context.Context) (mtls.Identity, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return mtls.Identity{}, policy.Errorf(policy.Unauthenticated, "the connection shows no certificate")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return mtls.Identity{}, policy.Errorf(policy.Unauthenticated, "the connection is not mutual TLS")
	}
	id, err := mtls.OfConnection(info.State)
	if err != nil {
		e := policy.Errorf(policy.Unauthenticated, "the connection's certificate names no identity of this cluster")
		e.Cause = err
		return mtls.Identity{}, e
	}
	return id, nil
}

// incoming gives the one value of a metadata key; "" when absent. Two values
// are refused, because two readers could choose different ones.
func incoming(ctx context.Context, key string) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, key)
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", fieldError(key, "must be given once")
}
