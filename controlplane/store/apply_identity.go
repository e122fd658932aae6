package store

import (
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// createToken stores a new token, and removes a bounded number of expired ones.
func (e *entry) createToken(t Token) (any, error) {
	if f := checkToken(t); f != nil {
		return nil, f.refusal()
	}
	if t.ExpiresAt == nil {
		return nil, invalid("expires_at", "is required: a token runs out")
	}
	if err := e.checkBound(t.Scope); err != nil {
		return nil, err
	}
	if e.tx.Bucket(bucketTokens).Get([]byte(t.SHA256)) != nil {
		return nil, policy.Errorf(policy.AlreadyExists, "the token exists: make another")
	}
	if err := e.freePrincipal(t.Principal); err != nil {
		return nil, err
	}
	dropped, err := e.dropExpired()
	if err != nil {
		return nil, err
	}
	if n := countPrefix(e.tx, bucketTokenIDs, nil) - dropped; n >= MaxTokens {
		return nil, policy.Errorf(policy.Overloaded, "there are %d tokens, the most there may be: revoke some first", n)
	}
	e.changed = true
	return e.storeToken(t)
}

// storeToken stages a token under its hash, its principal and its expiry.
func (e *entry) storeToken(t Token) (any, error) {
	t.CreatedAt, t.ETag = e.stamp.Now, etagOf(e.revision())
	if err := e.put(bucketTokenIDs, []byte(t.Principal), t.SHA256); err != nil {
		return nil, err
	}
	if t.ExpiresAt != nil {
		e.mark(bucketTokenExpiry, tokenExpiry(t))
	}
	return t, e.put(bucketTokens, []byte(t.SHA256), t)
}

func tokenExpiry(t Token) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(t.ExpiresAt.UnixNano())), t.Principal...)
}

// dropToken stages the removal of a token.
func (e *entry) dropToken(t Token) {
	e.drop(bucketTokens, []byte(t.SHA256))
	e.drop(bucketTokenIDs, []byte(t.Principal))
	if t.ExpiresAt != nil {
		e.drop(bucketTokenExpiry, tokenExpiry(t))
	}
}

// dropExpired stages the removal of tokens that have expired: more than one
// entry adds, so that the table does not grow by being used.
func (e *entry) dropExpired() (n int, err error) {
	c := e.tx.Bucket(bucketTokenExpiry).Cursor()
	for k, _ := c.First(); k != nil && n < prunePerEntry; k, _ = c.Next() {
		if int64(binary.BigEndian.Uint64(k)) > e.stamp.Now.UnixNano() {
			break
		}
		t, err := tokenOf(e.tx, string(k[8:]))
		if err != nil {
			return n, err
		}
		e.dropToken(t)
		n++
	}
	return n, nil
}

// tokenOf finds a token by its principal.
func tokenOf(tx *bolt.Tx, principal string) (Token, error) {
	sum, err := need[string](tx, bucketTokenIDs, []byte(principal), "token")
	if err != nil {
		return Token{}, err
	}
	return need[Token](tx, bucketTokens, []byte(sum), "token")
}

// checkBound: what a credential is bound to must exist.
func (e *entry) checkBound(s Scope) error {
	if s.Tenant != "" {
		if _, err := need[Tenant](e.tx, bucketTenants, []byte(s.Tenant), "tenant"); err != nil {
			return err
		}
	}
	if s.Region != "" {
		if _, known := e.regions.Region(s.Region); !known {
			return invalid("region", "is no region of this cluster")
		}
	}
	if s.ExpiresAt != nil && !s.ExpiresAt.After(e.stamp.Now) {
		return invalid("expires_at", "must be later than now")
	}
	return nil
}

// freePrincipal: one id is one credential, or the audit log would not say whose
// act it was.
func (e *entry) freePrincipal(id string) error {
	if e.tx.Bucket(bucketPrincipals).Get([]byte(id)) != nil || e.tx.Bucket(bucketTokenIDs).Get([]byte(id)) != nil {
		return policy.Errorf(policy.AlreadyExists, "the principal has a credential already: take that away first, or use another id")
	}
	return nil
}

func (e *entry) revokeToken(p RevokeToken) error {
	t, err := tokenOf(e.tx, p.Principal)
	if err != nil {
		return err
	}
	if err := match(p.IfMatch, t.ETag); err != nil {
		return err
	}
	e.changed = true
	e.dropToken(t)
	return nil
}

func (e *entry) bindPrincipal(p Principal) (any, error) {
	if f := checkPrincipal(p); f != nil {
		return nil, f.refusal()
	}
	if err := e.checkBound(p.Scope); err != nil {
		return nil, err
	}
	if err := e.freePrincipal(p.ID); err != nil {
		return nil, err
	}
	if n := countPrefix(e.tx, bucketPrincipals, nil); n >= MaxPrincipals {
		return nil, policy.Errorf(policy.Overloaded, "%d principals are bound, the most there may be: unbind some first", n)
	}
	e.changed = true
	p.CreatedAt, p.ETag = e.stamp.Now, etagOf(e.revision())
	return p, e.put(bucketPrincipals, []byte(p.ID), p)
}

func (e *entry) unbindPrincipal(p UnbindPrincipal) error {
	have, err := need[Principal](e.tx, bucketPrincipals, []byte(p.ID), "principal")
	if err != nil {
		return err
	}
	if err := match(p.IfMatch, have.ETag); err != nil {
		return err
	}
	e.changed = true
	e.drop(bucketPrincipals, []byte(p.ID))
	return nil
}

// useBootstrap makes one credential and voids the token, in one entry: whoever
// comes second finds it spent.
func (e *entry) useBootstrap(p UseBootstrap) (body any, err error) {
	b, ok, err := load[Bootstrap](e.tx, bucketMeta, metaBootstrap)
	if err != nil {
		return nil, err
	}
	if !ok || b.Spent || b.SHA256 != p.SHA256 || !e.stamp.Now.Before(b.ExpiresAt) {
		return nil, policy.Errorf(policy.Unauthenticated, "the bootstrap token is not valid: it works once, and for %d hours", bootstrapHours)
	}
	switch {
	case (p.Token == nil) == (p.Principal == nil):
		return nil, invalid("principal", "give a token or a principal, not both")
	case p.Token != nil && firstRole(p.Token.Scope):
		body, err = e.createToken(*p.Token)
	case p.Principal != nil && firstRole(p.Principal.Scope):
		body, err = e.bindPrincipal(*p.Principal)
	default:
		return nil, invalid("role", "must be operator or security_officer: the first credential makes the others")
	}
	if err != nil {
		return nil, err
	}
	b.Spent = true
	return body, e.put(bucketMeta, metaBootstrap, b)
}

// voidBootstrap voids the bootstrap token, if there is one; its generation stays.
func (e *entry) voidBootstrap() error {
	b, ok, err := load[Bootstrap](e.tx, bucketMeta, metaBootstrap)
	if err != nil || !ok {
		return err
	}
	b.Spent = true
	return e.put(bucketMeta, metaBootstrap, b)
}

// firstRole: the two roles that a bootstrap token may give.
func firstRole(s Scope) bool {
	return (s.Role == "operator" || s.Role == "security_officer") && s.Tenant == "" && s.Region == "" && !s.ReadOnly
}

func (e *entry) renewBootstrap(p RenewBootstrap) error {
	next := p.Bootstrap
	if c, _, err := load[Cluster](e.tx, bucketMeta, metaCluster); err != nil {
		return err
	} else if c.ID == "" || c.ID != p.ClusterID {
		return policy.Errorf(policy.NotFound, "the state is of no such cluster")
	}
	if f := e.checkBootstrap(next); f != nil {
		return f.refusal()
	}
	now, _, err := load[Bootstrap](e.tx, bucketMeta, metaBootstrap)
	if err != nil {
		return err
	}
	lapsed := now.SHA256 != "" && !now.Spent && !e.stamp.Now.Before(now.ExpiresAt)
	if next.Generation <= now.Generation && !(lapsed && next.Generation == now.Generation) {
		return policy.Errorf(policy.AlreadyExists, "the bootstrap token of generation %d was made: configure a higher generation", now.Generation)
	}
	e.changed = true
	return e.put(bucketMeta, metaBootstrap, next)
}

func (e *entry) checkBootstrap(b Bootstrap) *fault {
	switch {
	case !hashPattern.MatchString(b.SHA256):
		return &fault{"sha256", "must be 64 hex digits"}
	case b.Spent:
		return &fault{"spent", "must be false"}
	case b.ExpiresAt.After(e.stamp.Now.Add(bootstrapHours * time.Hour)):
		return &fault{"expires_at", "must be within a day"}
	}
	return nil
}
