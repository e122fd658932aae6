package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// Metadata keys. The gateway lets exactly the first six through from REST;
// mdForwarded is set by voters only.
const (
	mdAuthorization = "authorization"
	mdIfMatch       = "if-match"
	mdIdempotency   = "idempotency-key"
	mdPolicyToken   = "x-policy-token"
	mdConsistency   = "x-consistency"
	mdRequestID     = "x-request-id"
	mdForwarded     = "x-domicile-forwarded"

	mdETag   = "etag"          // answer
	mdStatus = "x-http-status" // answer: 201 for creates

	maxToken = 512       // bytes of an authorization header
	minToken = 16        // bytes of a token; shorter ones are not looked up
	bearer   = "Bearer " // RFC 6750
)

// caller is who speaks: a person or program with a token, or a node.
type caller struct {
	principal string // PR…; "" for nodes
	role      role
	tenant    policy.TenantID // with the tenant roles: the only tenant that exists for them
	node      mtls.Identity   // of the connection
}

// sees reports whether a tenant exists for the caller.
func (c caller) sees(id policy.TenantID) bool { return c.tenant == "" || c.tenant == id }

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

// authenticate finds the principal of the call's bearer token. Every failure
// says the same, so that nothing can be learnt by trying.
func authenticate(ctx context.Context, st *store.Store, now time.Time) (caller, error) {
	refused := policy.Errorf(policy.Unauthenticated, "the request carries no working token; send Authorization: Bearer with a token of this control plane")
	header, err := incoming(ctx, mdAuthorization)
	if err != nil || len(header) > maxToken || len(header) < len(bearer) || !strings.EqualFold(header[:len(bearer)], bearer) {
		return caller{}, refused
	}
	token := strings.TrimSpace(header[len(bearer):])
	if len(token) < minToken {
		return caller{}, refused
	}
	sum := sha256.Sum256([]byte(token))
	t, err := st.TokenByHash(hex.EncodeToString(sum[:]))
	if isReason(err, policy.NotFound) {
		return caller{}, refused
	}
	if err != nil {
		return caller{}, err
	}
	if t.Disabled || (t.ExpiresAt != nil && !now.Before(*t.ExpiresAt)) {
		return caller{}, refused
	}
	r := role(t.Role)
	if !r.person() || r.ofTenant() != (t.Tenant != "") {
		return caller{}, refused
	}
	return caller{principal: t.Principal, role: r, tenant: t.Tenant}, nil
}
