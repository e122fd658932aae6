package controlplane_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane/login/logintest"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Roles that the role list does not hold, because nobody is given them.
const (
	bootstrapRole = "bootstrap" // of the one-time token
	unboundRole   = "unbound"   // of a login whose person has no role
)

// newWorldOfLogins is a world whose people can also log in.
func newWorldOfLogins(t *testing.T) (*world, *logintest.Issuer) {
	t.Helper()
	c, e := prepare(t, 1), logintest.New(t)
	c.loginsAt(t, e)
	c.startAll()
	return c.world(), e
}

// strangers are callers whose credential is none of the tokens that people are
// given: logins, the one-time token, and a key of a region's own listener.
func (w *world) strangers(e *logintest.Issuer) []principal {
	w.c.t.Helper()
	person := func(name string) (header, id string) {
		header = "Bearer " + e.Token(logintest.Set("sub", name))
		return header, w.c.want(w.c.do(0, "GET", "/v1/whoami", nil, headers{"Authorization": header}), 200, "").str("principal")
	}
	nobody, _ := person("nobody")
	inspector, id := person("inspector")
	w.c.want(w.c.do(0, "POST", "/v1/principals", map[string]any{"id": id, "role": "auditor"}, nil), 201, "")
	key := w.c.want(w.c.do(0, "POST", "/v1/tenants/"+w.mine.slug+"/keys", map[string]any{"region": "ie1", "role": "admin"}, nil), 201, "").str("secret")
	list := []principal{
		{name: "login without a role", role: unboundRole, header: nobody},
		{name: "login of an auditor", role: "auditor", header: inspector},
		{name: "bootstrap token", role: bootstrapRole, header: w.oneTime("db_of-the-matrix")},
		{name: "API key of a region", header: "Bearer " + key},
	}
	for i := range list {
		list[i].address = "127.0.3." + string(rune('1'+i))
		list[i].conn, list[i].client = w.gateway, w.clientAt(list[i].address)
	}
	return list
}

// oneTime makes a one-time token valid, and gives its header.
func (w *world) oneTime(token string) string {
	w.c.t.Helper()
	sum := sha256.Sum256([]byte(token))
	now := time.Now().Add(-time.Minute).UTC()
	res, err := w.c.planes[w.c.leader()].Propose(w.c.t.Context(), store.Command{Stamp: store.Stamp{Now: now, Actor: mustID(w.c.t, policy.KindPrincipal)},
		Payload: store.RenewBootstrap{ClusterID: w.c.id, Bootstrap: store.Bootstrap{SHA256: hex.EncodeToString(sum[:]), Generation: 99, ExpiresAt: now.Add(time.Hour)}}})
	if err != nil || res.Err != nil {
		w.c.t.Fatal(err, res.Err)
	}
	return "Bearer " + token
}
