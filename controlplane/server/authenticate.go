package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/controlplane/login"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/guesses"
	"github.com/domicile-io/domicile/policy"
)

const (
	maxToken = 512       // bytes of a token of ours; a login's token may be longer, see package login
	minToken = 16        // bytes of a token; shorter ones are not looked up
	bearer   = "Bearer " // RFC 6750
)

// credentialKind is how a caller shows who they are.
type credentialKind string

const (
	byToken     credentialKind = "token"
	byLogin     credentialKind = "login"
	byBootstrap credentialKind = "bootstrap"
)

// failure is why a credential was refused: for the metric, never for the caller.
type failure string

const (
	noCredential failure = "missing"
	malformed    failure = "malformed"
	unknownToken failure = "unknown"
	hasExpired   failure = "expired"
	notSound     failure = "unsound" // stored with a role or bounds that this program does not know
	badLogin     failure = "login"
	limited      failure = "limited"
)

var failures = []failure{noCredential, malformed, unknownToken, hasExpired, notSound, badLogin, limited}

// authenticator finds the principal of a call's bearer token.
//
// A token of ours is looked up by its SHA-256, so that no comparison's time
// depends on how much of it is right, and read anew for each call, so that a
// revoked one ends at once. A login's token is verified once and remembered, but
// what its principal may do is read anew for each call too.
type authenticator struct {
	store    *store.Store
	logins   *login.Verifier // nil: nobody logs in
	limits   *guesses.Limits // by address: a token is 256 random bits without a part that names it
	failures *prometheus.CounterVec
}

func newAuthenticator(o Options) (*authenticator, error) {
	a := &authenticator{store: o.Store, logins: o.Logins, failures: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "domicile_control_authentication_failures_total", Help: "Credentials that were refused, by why."}, []string{"why"})}
	var err error
	if a.limits, err = guesses.New(guesses.Options{}); err != nil {
		return nil, err
	}
	for _, why := range failures { // a rate begins at its second value: without these, the first failure is never seen
		a.failures.WithLabelValues(string(why))
	}
	return a, o.Registry.Register(a.failures)
}

// doubt is why a credential was not believed: its reason, or what kept us from
// finding out. The zero value is belief.
type doubt struct {
	why   failure
	cause error // not the caller's fault
}

func (d doubt) none() bool { return d.why == "" && d.cause == nil }

// final reports whether no other voter could think otherwise: nothing was shown
// that any state could know.
func (d doubt) final() bool { return d.why == noCredential || d.why == malformed }

// settled reports whether we may refuse by ourselves when no leader can be asked:
// what is known here and has ended, a login that its issuer did not sign for us, and
// what could not be found out. What is unknown here a newer state may know.
func (d doubt) settled() bool { return d.why == hasExpired || d.why == badLogin || d.cause != nil }

// caller authenticates.
func (a *authenticator) caller(ctx context.Context, now time.Time) (caller, error) {
	c, d := a.look(ctx, now)
	if d.none() {
		return c, nil
	}
	return caller{}, a.refuse(ctx, d)
}

// look finds out who calls by our own state, and counts nothing.
func (a *authenticator) look(ctx context.Context, now time.Time) (caller, doubt) {
	c, why, err := a.decide(ctx, clientAddress(ctx), now)
	return c, doubt{why, err}
}

// refuse counts a refusal and words it. Every failure says the same, so that
// nothing can be learnt by trying.
func (a *authenticator) refuse(ctx context.Context, d doubt) error {
	if d.cause != nil {
		return d.cause
	}
	// Whoever shows nothing guesses nothing.
	if d.why != noCredential && !a.limits.Allow(clientAddress(ctx)) {
		d.why = limited
	}
	a.failures.WithLabelValues(string(d.why)).Inc()
	if d.why == limited {
		return policy.Errorf(policy.Overloaded, "too many credentials that do not work came from this address; working ones go on, others may try again in a moment")
	}
	return policy.Errorf(policy.Unauthenticated, "the request carries no working token; send Authorization: Bearer with a token of this control plane, or log in with domicile login")
}

// decide finds out who calls, or why not.
func (a *authenticator) decide(ctx context.Context, from string, now time.Time) (caller, failure, error) {
	header, err := incoming(ctx, mdAuthorization)
	switch {
	case err != nil:
		return caller{}, malformed, nil
	case header == "":
		return caller{}, noCredential, nil
	case len(header) > len(bearer)+login.MaxToken || len(header) < len(bearer) || !strings.EqualFold(header[:len(bearer)], bearer):
		return caller{}, malformed, nil
	}
	token := strings.TrimSpace(header[len(bearer):])
	if login.Shaped(token) && a.logins != nil {
		return a.byLogin(ctx, token, from, now)
	}
	if len(token) < minToken || len(token) > maxToken {
		return caller{}, malformed, nil
	}
	return a.byToken(token, now)
}

func (a *authenticator) byToken(token string, now time.Time) (caller, failure, error) {
	sum := sha256.Sum256([]byte(token))
	hash := hex.EncodeToString(sum[:])
	t, err := a.store.TokenByHash(hash)
	if isReason(err, policy.NotFound) {
		return a.byBootstrap(hash, now)
	}
	switch {
	case err != nil:
		return caller{}, "", err
	case t.Disabled || t.Ended(now):
		return caller{}, hasExpired, nil
	case !sound(t.Scope):
		return caller{}, notSound, nil
	}
	return callerOf(t.Principal, t.Scope, byToken), "", nil
}

// byBootstrap: the token may be the one-time token, which the state judges once
// more when it is used.
func (a *authenticator) byBootstrap(hash string, now time.Time) (caller, failure, error) {
	b, err := a.store.Bootstrap()
	switch {
	case isReason(err, policy.NotFound) || (err == nil && b.SHA256 != hash):
		return caller{}, unknownToken, nil
	case err != nil:
		return caller{}, "", err
	case b.Spent || !now.Before(b.ExpiresAt):
		return caller{}, hasExpired, nil
	}
	return caller{principal: "bootstrap", role: bootstrapper, expires: &b.ExpiresAt, credential: byBootstrap, secret: hash}, "", nil
}

func (a *authenticator) byLogin(ctx context.Context, token, from string, now time.Time) (caller, failure, error) {
	who, known := a.logins.Known(token)
	if !known {
		if a.limits.Exhausted(from) { // before any work on a signature
			return caller{}, badLogin, nil
		}
		var err error
		if who, err = a.logins.Verify(ctx, token); errors.Is(err, login.ErrUnavailable) {
			e := policy.Errorf(policy.NotReady, "the login cannot be checked now, because its issuer does not answer; tokens of this control plane and logins that were checked before go on")
			e.Cause = err
			return caller{}, "", e
		} else if err != nil {
			return caller{}, badLogin, nil
		}
	}
	p, err := a.store.Principal(who.Principal)
	switch {
	case isReason(err, policy.NotFound), err == nil && p.Ended(now):
		return caller{principal: who.Principal, role: unbound, expires: &who.ExpiresAt, credential: byLogin}, "", nil
	case err != nil:
		return caller{}, "", err
	case !sound(p.Scope):
		return caller{}, notSound, nil
	}
	c := callerOf(p.ID, p.Scope, byLogin)
	if c.expires == nil || who.ExpiresAt.Before(*c.expires) {
		c.expires = &who.ExpiresAt
	}
	return c, "", nil
}

func callerOf(principal string, s store.Scope, by credentialKind) caller {
	return caller{principal: principal, role: role(s.Role), tenant: s.Tenant, region: s.Region, readOnly: s.ReadOnly, expires: s.ExpiresAt, credential: by}
}
