package store

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

func token(n int, s Scope) Token {
	return Token{SHA256: hexHash(fmt.Sprint("token ", n)), Principal: id[string](policy.KindPrincipal, 100+n), Scope: s}
}

func TestATokenIsFoundListedAndRevoked(t *testing.T) {
	f := seeded(t)
	tenant := f.tenant(1, "ie1")
	made := body[Token](t, f.must(CreateToken{Token: token(1, scope("tenant_admin", tenant.ID))}))
	f.must(CreateToken{Token: token(2, scope("auditor", ""))})
	if got := got(f.Token(made.Principal))(t); got.SHA256 != made.SHA256 || got.ETag == "" || !got.CreatedAt.Equal(f.now) {
		t.Errorf("stored %+v", got)
	}
	if all := got(f.Tokens("", 10, nil))(t); len(all) != 3 { // the seeded operator's too
		t.Errorf("%d tokens listed", len(all))
	}
	if some := got(f.Tokens(made.Principal, 10, func(t Token) bool { return t.Role == "auditor" }))(t); len(some) != 1 {
		t.Errorf("%d tokens after the first", len(some))
	}
	for _, c := range []struct {
		p    RevokeToken
		want policy.Reason
	}{{RevokeToken{Principal: made.Principal}, policy.IfMatchRequired}, {RevokeToken{Principal: made.Principal, IfMatch: "ffff"}, policy.ETagMismatch},
		{RevokeToken{Principal: id[string](policy.KindPrincipal, 999), IfMatch: "1"}, policy.NotFound}} {
		if r := f.apply(c.p); r.Err == nil || r.Err.Reason != c.want {
			t.Errorf("%+v: %v, want %s", c.p, r.Err, c.want)
		}
	}
	f.must(RevokeToken{Principal: made.Principal, IfMatch: made.ETag})
	for what, err := range map[string]error{"hash": second(f.TokenByHash(made.SHA256)), "principal": second(f.Token(made.Principal))} {
		if !isReason(err, policy.NotFound) {
			t.Errorf("a revoked token is found by %s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestCredentialsThatAreRefused(t *testing.T) {
	f := seeded(t)
	bound := Principal{ID: id[string](policy.KindPrincipal, 50), Scope: scope("auditor", "")}
	f.must(BindPrincipal{Principal: bound})
	with := func(change func(*Token)) CreateToken {
		x := token(1, scope("operator", ""))
		change(&x)
		return CreateToken{Token: x}
	}
	past := f.now.Add(-time.Second)
	for name, c := range map[string]struct {
		p    Payload
		want policy.Reason
	}{
		"a token without end":           {with(func(x *Token) { x.ExpiresAt = nil }), policy.InvalidArgument},
		"a token that has ended":        {with(func(x *Token) { x.ExpiresAt = &past }), policy.InvalidArgument},
		"a region that is none":         {with(func(x *Token) { x.Region = "zz9" }), policy.InvalidArgument},
		"tenant and region":             {with(func(x *Token) { x.Region, x.Tenant = "ie1", id[policy.TenantID](policy.KindTenant, 1) }), policy.InvalidArgument},
		"a principal that is bound":     {with(func(x *Token) { x.Principal = bound.ID }), policy.AlreadyExists},
		"a binding twice":               {BindPrincipal{Principal: bound}, policy.AlreadyExists},
		"a binding of a token":          {BindPrincipal{Principal: Principal{ID: id[string](policy.KindPrincipal, 1), Scope: scope("auditor", "")}}, policy.AlreadyExists},
		"a binding without end":         {BindPrincipal{Principal: Principal{ID: id[string](policy.KindPrincipal, 51), Scope: Scope{Role: "auditor"}}}, policy.InvalidArgument},
		"a binding of a mail address":   {BindPrincipal{Principal: Principal{ID: "ann@example.com", Scope: scope("auditor", "")}}, policy.InvalidArgument},
		"a binding to a tenant of none": {BindPrincipal{Principal: Principal{ID: id[string](policy.KindPrincipal, 52), Scope: scope("tenant_admin", id[policy.TenantID](policy.KindTenant, 77))}}, policy.NotFound},
		"unbinding of nobody":           {UnbindPrincipal{ID: id[string](policy.KindPrincipal, 53), IfMatch: "1"}, policy.NotFound},
		"unbinding without etag":        {UnbindPrincipal{ID: bound.ID}, policy.IfMatchRequired},
	} {
		if r := f.apply(c.p); r.Err == nil || r.Err.Reason != c.want {
			t.Errorf("%s: %v, want %s", name, r.Err, c.want)
		}
	}
	f.must(UnbindPrincipal{ID: bound.ID, IfMatch: got(f.Principal(bound.ID))(t).ETag})
	if _, err := f.Principal(bound.ID); !isReason(err, policy.NotFound) {
		t.Errorf("an unbound principal is found: %v", err)
	}
}

// What has expired goes as new tokens come, so that the table is bounded by use.
func TestExpiredTokensAreRemoved(t *testing.T) {
	f := seeded(t)
	end := f.now.Add(time.Hour)
	for n := range 6 {
		f.must(CreateToken{Token: token(n, Scope{Role: "auditor", ExpiresAt: &end})})
	}
	f.now = end
	for n := 6; n < 8; n++ {
		f.must(CreateToken{Token: token(n, scope("auditor", ""))})
	}
	if all := got(f.Tokens("", 100, nil))(t); len(all) != 3 { // the seeded one, and the two that are new
		t.Errorf("%d tokens are left", len(all))
	}
	check(t, f.view(noLeftOver(t)))
}

// bootstrapped is a cluster that began with a bootstrap token.
func bootstrapped(t *testing.T) *fixture {
	t.Helper()
	f := empty(t)
	first := seed()
	first.Tokens, first.Bootstrap = nil, &Bootstrap{SHA256: hexHash("boot"), Generation: 1, ExpiresAt: f.now.Add(24 * time.Hour)}
	f.must(first)
	return f
}

func TestBootstrapTokenWorksOnceAndForOneThing(t *testing.T) {
	f := bootstrapped(t)
	officer := token(1, scope("security_officer", ""))
	use := UseBootstrap{SHA256: hexHash("boot"), Token: &officer}
	for name, c := range map[string]struct {
		change func(*UseBootstrap)
		want   policy.Reason
	}{
		"another token": {func(u *UseBootstrap) { u.SHA256 = hexHash("other") }, policy.Unauthenticated},
		"neither":       {func(u *UseBootstrap) { u.Token = nil }, policy.InvalidArgument},
		"both":          {func(u *UseBootstrap) { u.Principal = &Principal{} }, policy.InvalidArgument},
		"an auditor":    {func(u *UseBootstrap) { x := token(2, scope("auditor", "")); u.Token = &x }, policy.InvalidArgument},
		"read only": {func(u *UseBootstrap) {
			x := token(2, scope("operator", ""))
			x.ReadOnly = true
			u.Token = &x
		}, policy.InvalidArgument},
	} {
		bad := use
		c.change(&bad)
		if r := f.apply(bad); r.Err == nil || r.Err.Reason != c.want {
			t.Errorf("%s: %v, want %s", name, r.Err, c.want)
		}
	}
	f.must(use)
	if got := got(f.Token(officer.Principal))(t); got.Role != "security_officer" {
		t.Errorf("made %+v", got)
	}
	again := token(3, scope("operator", ""))
	if r := f.apply(UseBootstrap{SHA256: hexHash("boot"), Token: &again}); r.Err == nil || r.Err.Reason != policy.Unauthenticated {
		t.Errorf("the bootstrap token worked twice: %v", r.Err)
	}
}

func TestBootstrapTokenRunsOutAndIsRenewed(t *testing.T) {
	f := bootstrapped(t)
	next := func(generation uint64) RenewBootstrap {
		return RenewBootstrap{ClusterID: clusterID, Bootstrap: Bootstrap{SHA256: hexHash("next"), Generation: generation, ExpiresAt: f.now.Add(time.Hour)}}
	}
	if r := f.apply(next(1)); r.Err == nil || r.Err.Reason != policy.AlreadyExists {
		t.Errorf("a live bootstrap token was replaced: %v", r.Err)
	}
	f.now = f.now.Add(24 * time.Hour)
	p := Principal{ID: id[string](policy.KindPrincipal, 60), Scope: scope("operator", "")}
	if r := f.apply(UseBootstrap{SHA256: hexHash("boot"), Principal: &p}); r.Err == nil || r.Err.Reason != policy.Unauthenticated {
		t.Errorf("an expired bootstrap token worked: %v", r.Err)
	}
	f.must(next(1))
	f.must(UseBootstrap{SHA256: hexHash("next"), Principal: &p})
	if r := f.apply(next(1)); r.Err == nil || r.Err.Reason != policy.AlreadyExists {
		t.Errorf("a spent bootstrap token was renewed without a higher generation: %v", r.Err)
	}
	late := next(2)
	late.Bootstrap.ExpiresAt = f.now.Add(25 * time.Hour)
	if r := f.apply(late); r.Err == nil || r.Err.Reason != policy.InvalidArgument {
		t.Errorf("a bootstrap token of more than a day: %v", r.Err)
	}
	f.must(next(2))
	if b := got(f.Bootstrap())(t); b.Spent || b.Generation != 2 {
		t.Errorf("after renewal: %+v", b)
	}
	to := empty(t)
	check(t, to.Restore(bytes.NewReader(snapshotOf(t, f.Store))))
	if b := got(to.Bootstrap())(t); b.Generation != 2 {
		t.Errorf("the snapshot carries %+v", b)
	}
}

// noLeftOver compares the three buckets that hold one token each.
func noLeftOver(t *testing.T) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		tokens, ids, ends := countPrefix(tx, bucketTokens, nil), countPrefix(tx, bucketTokenIDs, nil), countPrefix(tx, bucketTokenExpiry, nil)
		if tokens != ids || ends != ids-1 { // the seeded token has no end
			t.Errorf("%d tokens, %d ids, %d ends", tokens, ids, ends)
		}
		return nil
	}
}
