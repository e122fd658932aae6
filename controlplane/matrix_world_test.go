package controlplane_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/domicile-io/domicile/controlplane/server"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// world is what the matrix asks about: a voter, two tenants with something of
// everything, and a tenant that never was.
type world struct {
	c                   *cluster
	mine, other, nobody fixture
	basis               string
	somebodys, person   string // principals: of a token, and bound to a role
	node, evicted       string // data planes' ids
	violation           string
	operation           string           // of a tenant that has ended
	gateway             *grpc.ClientConn // role gw: how tokens come in over gRPC
	sent                int
	people              []principal
}

// fixture is one tenant and what it owns.
type fixture struct {
	ref             string // as requests name it: the id, or the slug
	id, slug        string
	key, recipient  string
	change, settled string // pending, and rejected
}

func (f fixture) bySlug() fixture { f.ref = f.slug; return f }

// names are what no answer to another tenant may hold.
func (f fixture) names() []string {
	return []string{f.id, f.slug, f.key, f.recipient, f.change, f.settled}
}

// world furnishes a running cluster.
func (c *cluster) world() *world {
	c.t.Helper()
	w := &world{c: c, mine: c.furnished("mine-alone"), other: c.furnished("other-alone")}
	none := strings.Repeat("0", 32)
	w.nobody = fixture{ref: "TN" + none, id: "TN" + none, slug: "nobody-atall", key: "SK" + none, recipient: "RP" + none, change: "CH" + none, settled: "CH" + none}
	w.basis = c.do(0, "GET", "/v1/bases", nil, nil).Body["bases"].([]any)[0].(map[string]any)["id"].(string)
	w.somebodys = c.want(c.do(0, "POST", "/v1/tokens", map[string]any{"role": "auditor"}, nil), 201, "").str("principal")
	w.person = mustID(c.t, policy.KindPrincipal)
	c.want(c.do(0, "POST", "/v1/principals", map[string]any{"id": w.person, "role": "auditor"}, nil), 201, "")
	node, evicted := c.holder("ie1"), c.holder("ie1")
	for _, h := range []*holder{node, evicted} {
		c.want(c.do(0, "POST", "/v1/nodes/"+string(h.id)+":admit", map[string]any{"region": "ie1"}, nil), 200, "")
	}
	c.want(c.do(0, "POST", "/v1/nodes/"+string(evicted.id)+":evict", map[string]any{"reason_code": "LOST"}, nil), 200, "")
	_ = evicted.come(c.leader(), nil).ended() // which is a violation
	w.node, w.evicted, w.violation = string(node.id), string(evicted.id), c.violation(0, "EVICTED_NODE", "open")["id"].(string)
	c.subscribe(c.leader(), "ie1", 0, "").next()
	ended := c.tenant("ended-alone", "ie1")
	w.operation = c.want(c.do(0, "DELETE", "/v1/tenants/ended-alone?purge=true", nil, headers{"If-Match": ended.Header.Get("ETag")}), 200, "").str("id")
	w.gateway = c.dial(0, mtls.ControlRegion, mtls.Gateway)
	return w
}

// furnished makes a tenant with a key, a recipient, a pending and a rejected change.
func (c *cluster) furnished(slug string) fixture {
	c.t.Helper()
	f := fixture{slug: slug}
	const region = "ie1"
	a := c.want(c.do(0, "POST", "/v1/tenants", map[string]any{"slug": slug, "home_region": region, "billing_country": "IE",
		"policy": map[string]any{"recipients": map[string]any{"list": []any{recipientSpec()}}}}, nil), 201, "")
	f.id = a.str("id")
	f.ref = f.id
	path := "/v1/tenants/" + slug
	f.key = "SK" + hex.EncodeToString([]byte(slug + strings.Repeat("x", 16))[:16])
	c.want(c.do(0, "POST", path+"/keys", map[string]any{"region": region, "role": "ingest", "key_id": f.key, "secret_sha256": policy.HashSecret(slug)}, nil), 201, "")
	f.recipient = c.do(0, "GET", path+"/recipients", nil, nil).Body["recipients"].([]any)[0].(map[string]any)["id"].(string)
	propose := func(retention int) string {
		rules, tag := c.rules(slug)
		rules["classes"] = map[string]any{"call_record": map[string]any{"mode": "sealed", "retention": retention}}
		a := c.want(c.do(0, "PUT", path+"/policy", rules, headers{"If-Match": tag}), 409, policy.LooseningNeedsApproval)
		return a.Body["metadata"].(map[string]any)["change"].(string)
	}
	f.change, f.settled = propose(86400), propose(172800)
	c.want(c.do(0, "POST", "/v1/changes/"+f.settled+":reject", map[string]any{}, nil), 200, "")
	return f
}

// idle waits until no operation is under way, which would change the state beside
// the call that is looked at.
func (w *world) idle() {
	w.c.t.Helper()
	eventually(w.c.t, func() error {
		if under := w.c.do(0, "GET", "/v1/operations?filter=done%3Dfalse+AND+kind!%3Dtenant.delete", nil, nil).Body["operations"].([]any); len(under) > 0 {
			return fmt.Errorf("%v", under)
		}
		return nil
	}, "no operation is under way")
}

// principal is one kind of caller.
type principal struct {
	name        string
	role        string // of a working token; "" without one
	header      string // Authorization
	ofTenant    bool
	foreign     bool // asks about the other tenant, or from another region than both
	farAway     bool // of a role of another region
	readOnly    bool
	certificate mtls.Role // shown instead of the gateway's
	foreignCA   bool      // of another cluster
	conn        *grpc.ClientConn
	client      *http.Client
	consistency string // X-Consistency, over REST
	address     string // from which it asks: refused credentials are limited by address
}

// clientAt asks from a loopback address of its own.
func (w *world) clientAt(address string) *http.Client {
	transport := w.c.client.Transport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext
	w.c.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: w.c.client.Timeout, Transport: transport, CheckRedirect: w.c.client.CheckRedirect}
}

// principals are all kinds of callers; the roles come from the one role list.
func (w *world) principals() []principal {
	w.c.t.Helper()
	list := []principal{
		{name: "no credential"},
		{name: "malformed", header: "Basic b3BlcmF0b3I6b3BlcmF0b3I="},
		{name: "unknown", header: "Bearer dt_" + strings.Repeat("0", 64)},
		{name: "expired", header: w.token("expired-token-of-the-matrix", func(t *store.Token) { past := time.Now().Add(-time.Second).UTC(); t.ExpiresAt = &past })},
		{name: "revoked", header: w.token("revoked-token-of-the-matrix", func(t *store.Token) { t.Disabled = true })},
		{name: "only reading", role: "operator", readOnly: true, header: w.token("reading-token-of-the-matrix", func(t *store.Token) { t.ReadOnly = true })},
	}
	for _, r := range server.Roles() {
		if r.OfRegion {
			own := principal{name: r.Name, role: r.Name, header: w.c.token(r.Name, "ie1")["Authorization"]}
			foreign := principal{name: r.Name + " of another region", role: r.Name, foreign: true, farAway: true, header: w.c.token(r.Name, "us1")["Authorization"]}
			list = append(list, own, foreign)
			continue
		}
		if !r.OfTenant {
			list = append(list, principal{name: r.Name, role: r.Name, header: w.c.token(r.Name, "")["Authorization"]})
			continue
		}
		own := principal{name: r.Name, role: r.Name, ofTenant: true, header: w.c.token(r.Name, w.mine.id)["Authorization"]}
		foreign := own
		foreign.name, foreign.foreign = r.Name+" of another tenant", true
		list = append(list, own, foreign)
	}
	for i := range list {
		list[i].address = fmt.Sprintf("127.0.2.%d", 1+i)
		list[i].conn, list[i].client = w.gateway, w.clientAt(list[i].address)
		if list[i].ofTenant && !list[i].foreign {
			w.people = append(w.people, list[i])
		}
	}
	list = append(list,
		w.machine("node of ie1", w.c.id, "ie1", mtls.DataPlane, ""),
		w.machine("node of us1", w.c.id, "us1", mtls.DataPlane, ""),
		w.machine("node with an operator's token", w.c.id, "ie1", mtls.DataPlane, "Bearer "+operatorToken),
		w.machine("gateway", w.c.id, mtls.ControlRegion, mtls.Gateway, ""),
		w.machine("voter", w.c.id, mtls.ControlRegion, mtls.ControlPlane, ""))
	for _, role := range []mtls.Role{mtls.DataPlane, mtls.Gateway, mtls.ControlPlane} {
		region := mtls.ControlRegion
		if role == mtls.DataPlane {
			region = "ie1"
		}
		p := w.machine("role "+string(role)+" of another cluster", mustID(w.c.t, policy.KindCluster), region, role, "Bearer "+operatorToken)
		p.foreignCA = true
		list = append(list, p)
	}
	return list
}

// token stores one that no method of the API would make, and gives its header.
func (w *world) token(text string, edit func(*store.Token)) string {
	w.c.t.Helper()
	sum := sha256.Sum256([]byte(text))
	t := store.Token{SHA256: hex.EncodeToString(sum[:]), Principal: mustID(w.c.t, policy.KindPrincipal), Scope: store.Scope{Role: "operator"}}
	later := time.Now().Add(time.Hour).UTC()
	t.ExpiresAt = &later
	edit(&t)
	res, err := w.c.planes[w.c.leader()].Propose(context.Background(), store.Command{Stamp: store.Stamp{Now: time.Now().Add(-time.Minute).UTC(), Actor: t.Principal}, Payload: store.CreateToken{Token: t}})
	if err != nil || res.Err != nil {
		w.c.t.Fatal(err, res.Err)
	}
	return "Bearer " + text
}

// machine shows a certificate. One of another cluster is signed by an authority
// of its own, as another installation's would be.
func (w *world) machine(name, cluster string, region policy.RegionID, role mtls.Role, header string) principal {
	w.c.t.Helper()
	dir, authority := w.c.t.TempDir(), w.c.ca
	var err error
	if cluster != w.c.id {
		if authority, err = mtls.OpenAuthority(filepath.Join(dir, "pki")); err != nil {
			w.c.t.Fatal(err)
		}
	}
	files, err := authority.Issue(filepath.Join(dir, "own"), mtls.Identity{Cluster: cluster, Region: region, Role: role, Node: policy.NodeID(mustID(w.c.t, policy.KindNode))})
	if err != nil {
		w.c.t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		w.c.t.Fatal(err)
	}
	roots, err := mtls.LoadRoots(w.c.configs[0].TLS.CA) // the caller accepts the voter, so that what refuses is the voter
	if err != nil {
		w.c.t.Fatal(err)
	}
	// Shown whatever authorities the server names as acceptable.
	show := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, GetClientCertificate: show}
	conn, err := grpc.NewClient("passthrough:///"+w.c.configs[0].GRPCAddress, grpc.WithTransportCredentials(credentials.NewTLS(conf)))
	if err != nil {
		w.c.t.Fatal(err)
	}
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{TLSClientConfig: conf.Clone()}}
	w.c.t.Cleanup(func() { _ = conn.Close(); client.CloseIdleConnections() })
	p := principal{name: name, header: header, certificate: role, conn: conn, client: client}
	if header != "" {
		p.role = "operator"
	}
	return p
}
