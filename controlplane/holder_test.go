package controlplane_test

import (
	"context"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// holder is a data plane's certificate, with which it may come again and again.
type holder struct {
	c      *cluster
	region policy.RegionID
	id     policy.NodeID
	files  mtls.Files
	claims string // what it says of its own level
}

// holder issues one of a new node.
func (c *cluster) holder(region policy.RegionID) *holder {
	c.t.Helper()
	f := c.issue(filepath.Join(c.t.TempDir(), "holder"), region, mtls.DataPlane)
	m, err := mtls.Load(f)
	if err != nil {
		c.t.Fatal(err)
	}
	return &holder{c: c, region: region, id: m.Identity.Node, files: f}
}

// keyHash names the key of the node's certificate.
func (h *holder) keyHash() string {
	h.c.t.Helper()
	leaf, err := mtls.ReadLeaf(h.files.Certificate)
	if err != nil {
		h.c.t.Fatal(err)
	}
	return mtls.KeyHash(leaf)
}

// come opens a stream and says hello; document may be nil.
func (h *holder) come(voter int, document []byte) *node {
	h.c.t.Helper()
	m, err := mtls.Load(h.files)
	if err != nil {
		h.c.t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+h.c.configs[voter].GRPCAddress,
		grpc.WithTransportCredentials(credentials.NewTLS(m.Client(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}))))
	if err != nil {
		h.c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	h.c.t.Cleanup(func() { cancel(); _ = conn.Close() })
	stream, err := controlv1.NewDistributionServiceClient(conn).Subscribe(ctx)
	if err != nil {
		h.c.t.Fatal(err)
	}
	n := &node{c: h.c, region: h.region, stream: stream, rows: map[string][]byte{}}
	n.say(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Hello{Hello: &controlv1.Hello{InstanceDocument: document, Attestation: h.claims}}})
	return n
}

// ended reads to the end of the stream and gives its reason.
func (n *node) ended() policy.Reason {
	n.c.t.Helper()
	for {
		if _, err := n.stream.Recv(); err != nil {
			return api.AsError(api.FromGRPC(err)).Reason
		}
	}
}

// whole takes pushes until the first that is sealed, and gives its level.
func (n *node) whole() string {
	n.c.t.Helper()
	for {
		if p := n.next(); p.GetSeal() != nil {
			return p.GetAttestation()
		}
	}
}

// bare reports what a node got of a tenant.
func (n *node) tenant(id string) *policy.TenantRow {
	n.c.t.Helper()
	body, ok := n.rows["t/"+id]
	if !ok {
		n.c.t.Fatalf("the bundle has no row of %s", id)
	}
	r, err := bundle.Decode(body)
	if err != nil {
		n.c.t.Fatal(err)
	}
	return r.Tenant
}

// signed is the root's admission of a node, as REST takes it.
func (h *holder) signed(key string, issued, until time.Time) map[string]any {
	a := policy.NodeAdmission{Node: h.id, Region: h.region, Level: policy.OperatorSigned, KeySHA256: key, IssuedAt: issued.Unix(), NotAfter: until.Unix()}
	sig := policy.Sign(h.c.rootKey, a.Statement(h.c.id))
	return map[string]any{"admission": map[string]any{"level": "operator_signed", "key_sha256": key,
		"issue_time": issued.UTC().Format(time.RFC3339), "expire_time": until.UTC().Format(time.RFC3339),
		"signature": map[string]any{"key_id": sig.KeyID, "value": sig.Value}}}
}

// demand lets a tenant's policy demand a level.
func (c *cluster) demand(slug, level string) {
	c.t.Helper()
	rules, tag := c.rules(slug)
	rules["min_attestation"] = level
	c.want(c.do(0, "PUT", "/v1/tenants/"+slug+"/policy", rules, headers{"If-Match": tag}), 200, "")
}

// violation waits until the list holds one of a cause and state.
func (c *cluster) violation(voter int, cause, state string, resource ...string) map[string]any {
	c.t.Helper()
	var found map[string]any
	eventually(c.t, func() error {
		a, err := c.try(voter, "GET", "/v1/violations", nil, nil)
		if err != nil {
			return err
		}
		list, _ := a.Body["violations"].([]any)
		for _, v := range list {
			if m := v.(map[string]any); m["cause"] == cause && m["state"] == state && (len(resource) == 0 || m["resource"] == resource[0]) {
				found = m
				return nil
			}
		}
		return errStatus(a.Status)
	}, "no violation %s is %s", cause, state)
	return found
}
