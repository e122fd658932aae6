package feed

import (
	"crypto/ed25519"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

const (
	cluster = "CL00000000000000000000000000000001"
	soon    = time.Minute // a bound for what takes milliseconds, on a machine that does much else
)

// world is one cluster: an authority, a root, and whoever signs bundles.
type world struct {
	t      *testing.T
	dir    string
	ca     *mtls.Authority
	root   ed25519.PublicKey
	signer *bundle.Signer
	rogue  *bundle.Signer // certified by another root
	dp     *mtls.Material
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	var err error
	if w.ca, err = mtls.OpenAuthority(filepath.Join(w.dir, "ca")); err != nil {
		t.Fatal(err)
	}
	w.signer, w.root = newSigner(t)
	w.rogue, _ = newSigner(t)
	w.dp = w.material(mtls.Identity{Cluster: cluster, Region: "ie1", Role: mtls.DataPlane, Node: "ND00000000000000000000000000000001"})
	return w
}

func newSigner(t testing.TB) (*bundle.Signer, ed25519.PublicKey) {
	t.Helper()
	pub, root, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := bundle.NewSigner(cluster, private.Seed(), bundle.CertifyKey(root, cluster, key), pub)
	if err != nil {
		t.Fatal(err)
	}
	return s, pub
}

func (w *world) material(id mtls.Identity) *mtls.Material {
	w.t.Helper()
	files, err := w.ca.Issue(filepath.Join(w.dir, string(id.Role)+string(id.Node)), id, "127.0.0.1")
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := mtls.Load(files)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// session is one stream of a node, as a voter sees it.
type session struct {
	hello   *controlv1.Hello
	pushes  chan *controlv1.Push
	answers chan *controlv1.NodeMessage
	ended   <-chan struct{}
	nonce   uint64
}

// voter is a real gRPC server with real TLS; the test writes its script.
type voter struct {
	controlv1.UnimplementedDistributionServiceServer
	addr     string
	server   *grpc.Server
	sessions chan *session
	leader   atomic.Pointer[string] // set: refuse and name it
}

func (w *world) voter(role mtls.Role) *voter {
	w.t.Helper()
	m := w.material(mtls.Identity{Cluster: cluster, Region: mtls.ControlRegion, Role: role, Node: "ND00000000000000000000000000000002"})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	v := &voter{addr: l.Addr().String(), sessions: make(chan *session, 16),
		server: grpc.NewServer(grpc.Creds(credentials.NewTLS(m.Server(mtls.Peer{Roles: []mtls.Role{mtls.DataPlane}}))))}
	controlv1.RegisterDistributionServiceServer(v.server, v)
	go func() { _ = v.server.Serve(l) }()
	w.t.Cleanup(v.server.Stop)
	return v
}

func (v *voter) Subscribe(s grpc.BidiStreamingServer[controlv1.NodeMessage, controlv1.Push]) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	if leader := v.leader.Load(); leader != nil {
		return api.GRPCStatus(policy.Errorf(policy.NotReady, "not the leader").With("leader", *leader)).Err()
	}
	ss := &session{hello: first.GetHello(), pushes: make(chan *controlv1.Push, 64), answers: make(chan *controlv1.NodeMessage, 64), ended: s.Context().Done()}
	go func() {
		for {
			m, err := s.Recv()
			if err != nil {
				return
			}
			ss.answers <- m
		}
	}()
	v.sessions <- ss
	for {
		select {
		case p, open := <-ss.pushes:
			if !open {
				return api.GRPCStatus(policy.Errorf(policy.NotReady, "the script ends here")).Err()
			}
			if err := s.Send(p); err != nil {
				return err
			}
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
}

// next waits for a node to subscribe.
func (v *voter) next(t *testing.T) *session {
	t.Helper()
	select {
	case s := <-v.sessions:
		return s
	case <-time.After(soon):
		t.Fatal("no node subscribed")
		return nil
	}
}

// push sends and gives the node's answer.
func (s *session) push(t *testing.T, p *controlv1.Push) *controlv1.NodeMessage {
	t.Helper()
	s.nonce++
	p.Nonce = s.nonce
	s.pushes <- p
	select {
	case m := <-s.answers:
		if got := m.GetAck().GetNonce() + m.GetNack().GetNonce(); got != s.nonce {
			t.Fatalf("answer %v has not nonce %d", m, s.nonce)
		}
		return m
	case <-s.ended:
		t.Fatal("the node ended the stream")
	case <-time.After(soon):
		t.Fatal("no answer")
	}
	return nil
}

func acked(t *testing.T, m *controlv1.NodeMessage, revision uint64) {
	t.Helper()
	if m.GetAck() == nil || m.GetAck().GetRevision() != revision {
		t.Fatalf("answer %v, want an ack of revision %d", m, revision)
	}
}

func nacked(t *testing.T, m *controlv1.NodeMessage, lastGood uint64, reason string) {
	t.Helper()
	if m.GetNack() == nil || m.GetNack().GetLastGood() != lastGood || m.GetNack().GetReason() != reason {
		t.Fatalf("answer %v, want a nack %s with last good %d", m, reason, lastGood)
	}
}

// book is a control plane's idea of the bundle; it makes signed pushes.
type book struct {
	t        *testing.T
	signer   *bundle.Signer
	region   policy.RegionID
	rows     map[string][]byte
	revision uint64
	until    time.Time
}

func (w *world) book(tenants int) *book {
	b := &book{t: w.t, signer: w.signer, region: "ie1", rows: map[string][]byte{}, revision: 1, until: time.Now().Add(policy.FreshFor)}
	for _, r := range []policy.Region{region("ie1", "eu"), region("us1", "us")} {
		b.put(policy.Row{Region: &r})
	}
	for i := range tenants {
		b.put(tenantRow(i, "ie1"))
	}
	return b
}

func region(id policy.RegionID, b policy.Boundary) policy.Region {
	return policy.Region{ID: id, Boundary: b, Country: "IE", Cloud: "aws-x", BackupRegion: "none", Lifecycle: policy.Active, BaseURL: "https://api." + string(id) + ".example"}
}

func tenantID(i int) policy.TenantID { return policy.TenantID(fmt.Sprintf("TN%032x", i)) }

func tenantRow(i int, home policy.RegionID) policy.Row {
	t := policy.TenantRow{ID: tenantID(i), Slug: policy.Slug(fmt.Sprintf("tenant-%c%c", 'a'+i/26, 'a'+i%26)), State: policy.TenantActive, Home: home, HomeEpoch: 1}
	if home == "ie1" {
		p := policy.DefaultPolicy(t.ID, region("ie1", "eu"), "IE-LTD")
		t.Policy = &p
		t.Keys = []policy.APIKey{{ID: policy.KeyID(fmt.Sprintf("SK%032x", i)), Tenant: t.ID, Region: home, Role: policy.RoleAdmin, SecretSHA256: strings.Repeat("00", 32), HomeEpoch: 1}}
	}
	return policy.Row{Tenant: &t}
}

func (b *book) put(r policy.Row) []byte {
	b.t.Helper()
	key, body, err := bundle.Encode(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.rows[key] = body
	return body
}

func (b *book) hash() bundle.Hash {
	var s bundle.State
	for k, body := range b.rows {
		s.Put(k, body)
	}
	return s.Hash()
}

func (b *book) sealed(p *controlv1.Push) *controlv1.Push {
	p.Revision, p.FreshUntil = b.revision, b.until.Unix()
	p.Seal = b.signer.Seal(b.region, b.revision, b.hash(), b.until)
	return p
}

// snapshot cuts the rows into parts of n.
func (b *book) snapshot(n int) []*controlv1.Push {
	var out []*controlv1.Push
	part := &controlv1.SnapshotPart{}
	flush := func() {
		out = append(out, &controlv1.Push{Revision: b.revision, Change: &controlv1.Push_Part{Part: part}})
		part = &controlv1.SnapshotPart{Number: part.GetNumber() + 1}
	}
	for _, body := range b.rows {
		if part.Rows = append(part.Rows, body); len(part.GetRows()) == n {
			flush()
		}
	}
	part.Last = true
	flush()
	b.sealed(out[len(out)-1])
	return out
}

func (b *book) delta(removed []string, rows ...policy.Row) *controlv1.Push {
	d := &controlv1.Delta{FromRevision: b.revision, Removed: removed}
	for _, key := range removed {
		delete(b.rows, key)
	}
	for _, r := range rows {
		d.Rows = append(d.Rows, b.put(r))
	}
	b.revision++
	return b.sealed(&controlv1.Push{Change: &controlv1.Push_Delta{Delta: d}})
}

// node is everything a feed needs, in folders that outlive it.
type node struct {
	w    *world
	dir  string
	keys *local.Keyring
	o    Options
}

func (w *world) node(voters ...*voter) *node {
	w.t.Helper()
	n := &node{w: w, dir: w.t.TempDir()}
	var err error
	if n.keys, err = local.OpenKeyring(local.Options{Dir: filepath.Join(n.dir, "keys"), Region: "ie1"}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = n.keys.Close() })
	door, err := egress.New(egress.Options{Region: "ie1", Dir: filepath.Join(n.dir, "ledger")})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = door.Close() })
	n.o = Options{Region: "ie1", Material: w.dp, RootPublicKey: w.root, Dir: filepath.Join(n.dir, "feed"), Keys: n.keys, Door: door}
	for _, v := range voters {
		n.o.ControlPlane = append(n.o.ControlPlane, v.addr)
	}
	return n
}

// open opens the feed; the caller starts and closes it.
func (n *node) open() *Feed {
	n.w.t.Helper()
	f, err := Open(n.o)
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.w.t.Cleanup(func() { _ = f.Close() })
	return f
}

func (n *node) cachePath() string { return filepath.Join(n.o.Dir, cacheFile) }

// synced is a started feed that holds the book's bundle, and its open session.
func (n *node) synced(v *voter, b *book) (*Feed, *session) {
	n.w.t.Helper()
	f := n.open()
	f.Start()
	s := v.next(n.w.t)
	pushes := b.snapshot(3)
	for _, p := range pushes[:len(pushes)-1] {
		s.push(n.w.t, p)
	}
	acked(n.w.t, s.push(n.w.t, pushes[len(pushes)-1]), b.revision)
	return f, s
}
