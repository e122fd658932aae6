package system

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// A voter that somebody has taken over, as a process: this test's own program with
// a voter's configuration in its environment. It has what the voter has, its
// certificate, its address, the bundle key and the state, and serves what it likes.

// impostorOf names, in the environment, the configuration of the voter that was
// taken over; impostorTenant the tenant that it is after.
const (
	impostorOf     = "DOMICILE_TEST_IMPOSTOR_OF"
	impostorTenant = "DOMICILE_TEST_IMPOSTOR_TENANT"
)

// stolenSecret is of a key that the impostor makes for itself.
var stolenSecret = strings.Repeat("5e", 32)

const stolenKey = policy.KeyID("SK000000000000000000000000000000ee")

// forgery edits one row of an honest bundle, or leaves it out, and may add one.
type forgery struct {
	name string
	row  func(x *impostor, r *policy.Row) (keep bool)
	more func(x *impostor) policy.Row // nil: none
}

// ofTenant edits the row of the tenant that the impostor is after.
func ofTenant(edit func(*impostor, *policy.TenantRow)) func(*impostor, *policy.Row) bool {
	return func(x *impostor, r *policy.Row) bool {
		if r.Tenant != nil && string(r.Tenant.ID) == x.victim {
			edit(x, r.Tenant)
		}
		return true
	}
}

func widen(_ *impostor, t *policy.TenantRow) {
	t.Policy.Classes[policy.CallRecord] = policy.ClassRule{Mode: policy.Restricted}
}

var forgeries = []forgery{
	// The bundle is good, and what it says of the node is not believed.
	{"admitted", func(_ *impostor, r *policy.Row) bool { return r.Node == nil }, func(x *impostor) policy.Row {
		now := time.Now().Unix()
		a := &policy.NodeAdmission{Node: x.node.Node, Region: x.node.Region, Level: policy.OperatorSigned, KeySHA256: x.nodeKey, IssuedAt: now - 60, NotAfter: now + 3600}
		a.Signature = policy.Sign(x.own, a.Statement(x.cluster))
		return policy.Row{Node: &policy.NodeRow{ID: a.Node, Region: a.Region, Level: policy.CloudSigned, Admission: a}}
	}},
	{"moved", ofTenant(func(_ *impostor, t *policy.TenantRow) {
		t.Home, t.HomeEpoch, t.Policy, t.Keys = "us1", t.HomeEpoch+1, nil, nil
	}), nil},
	{"moved_with_its_policy", ofTenant(func(_ *impostor, t *policy.TenantRow) { t.Home, t.HomeEpoch = "us1", t.HomeEpoch+1 }), nil},
	{"widened", ofTenant(widen), nil},
	{"widened_without_a_signature", ofTenant(func(x *impostor, t *policy.TenantRow) { widen(x, t); t.Policy.Signatures = nil }), nil},
	{"widened_by_the_impostors_key", ofTenant(func(x *impostor, t *policy.TenantRow) {
		widen(x, t)
		t.Signers.Sequence++
		if hash, err := policy.PolicyHash(t.Policy); err == nil {
			t.Policy.Signatures = []policy.Signature{policy.Sign(x.own, policy.PolicyStatement(x.cluster, t.ID, t.Signers.Sequence, hash))}
		}
	}), nil},
	{"widened_without_signers", ofTenant(func(x *impostor, t *policy.TenantRow) { widen(x, t); t.Signers = nil }), nil},
	{"widened_with_keys", ofTenant(func(x *impostor, t *policy.TenantRow) {
		widen(x, t)
		for i := range t.Keys {
			t.Keys[i].Role = policy.RoleAdmin
		}
		t.Keys = append(t.Keys, policy.APIKey{ID: stolenKey, Tenant: t.ID, Region: t.Home, Role: policy.RoleAdmin, SecretSHA256: policy.HashSecret(stolenSecret), HomeEpoch: t.HomeEpoch})
	}), nil},
	{"left_out", func(x *impostor, r *policy.Row) bool { return r.Tenant == nil || string(r.Tenant.ID) != x.victim }, nil},
}

// impostor serves until it is killed.
type impostor struct {
	controlv1.UnimplementedDistributionServiceServer
	state  *store.Store
	signer *bundle.Signer
	own    ed25519.PrivateKey // certified by nobody

	cluster, victim string

	mu      sync.Mutex // one stream at a time: there is one node
	node    mtls.Identity
	nodeKey string
	next    int
}

func runImpostor(config string) error {
	cfg, err := controlplane.LoadConfig(config)
	if err != nil {
		return err
	}
	m, err := mtls.Load(cfg.TLS)
	if err != nil {
		return err
	}
	hexOf := func(file string) []byte {
		raw, err2 := os.ReadFile(file)
		b, err3 := hex.DecodeString(strings.TrimSpace(string(raw)))
		err = errors.Join(err, err2, err3)
		return b
	}
	root, _ := hex.DecodeString(cfg.RootPublicKey)
	seed, certificate := hexOf(cfg.BundleKey), hexOf(cfg.BundleKeyCertificate)
	if err != nil {
		return err
	}
	x := &impostor{cluster: m.Identity.Cluster, victim: os.Getenv(impostorTenant)}
	_, x.own, _ = ed25519.GenerateKey(nil)
	if x.signer, err = bundle.NewSigner(m.Identity.Cluster, seed, certificate, root); err != nil {
		return err
	}
	if x.state, err = store.Open(store.Options{Path: filepath.Join(cfg.DataDir, "state.db")}); err != nil {
		return err
	}
	l, err := net.Listen("tcp", cfg.GRPCAddress)
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(m.Server(mtls.Peer{Roles: []mtls.Role{mtls.DataPlane}}))))
	controlv1.RegisterDistributionServiceServer(s, x)
	return s.Serve(l)
}

// Subscribe serves each forgery once, and writes down what the node says; and the
// last ten times a second from then on.
func (x *impostor) Subscribe(s grpc.BidiStreamingServer[controlv1.NodeMessage, controlv1.Push]) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	p, _ := peer.FromContext(s.Context())
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return errors.New("no TLS")
	}
	var err error
	if x.node, err = mtls.OfConnection(info.State); err != nil {
		return err
	}
	x.nodeKey = mtls.KeysOfConnection(info.State)[0]
	if _, err = s.Recv(); err != nil {
		return err
	}
	for nonce := uint64(1); ; nonce++ {
		f := forgeries[min(x.next, len(forgeries)-1)]
		p, err := x.bundle(f)
		if err != nil {
			fmt.Println("FAILED", f.name, err)
			return err
		}
		p.Nonce = nonce
		var said *controlv1.NodeMessage
		if err = s.Send(p); err == nil {
			said, err = s.Recv()
		}
		if err != nil {
			return api.GRPCStatus(policy.Errorf(policy.NotReady, "once more")).Err()
		}
		if x.next++; x.next <= len(forgeries) {
			fmt.Printf("FORGED %s ack=%d nack=%s\n", f.name, said.GetAck().GetRevision(), said.GetNack().GetReason())
			continue
		}
		select {
		case <-s.Context().Done():
			return s.Context().Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// bundle is the region's whole bundle, one revision on, with one forgery, sealed.
func (x *impostor) bundle(f forgery) (*controlv1.Push, error) {
	var rows []policy.Row
	part, state, until := &controlv1.SnapshotPart{Last: true}, bundle.State{}, time.Now().Add(policy.FreshFor)
	revision, err := x.state.Rows("ie1", func(r policy.Row) error {
		if f.row(x, &r) {
			rows = append(rows, r)
		}
		return nil
	})
	if f.more != nil {
		rows = append(rows, f.more(x))
	}
	slices.SortFunc(rows, func(a, b policy.Row) int { return strings.Compare(a.RowKey(), b.RowKey()) })
	for _, r := range rows {
		key, body, err2 := bundle.Encode(r)
		err = errors.Join(err, err2)
		part.Rows = append(part.Rows, body)
		state.Put(key, body)
	}
	if revision++; f.more == nil {
		revision++ // the first was taken
	}
	p := &controlv1.Push{Revision: revision, FreshUntil: until.Unix(), Change: &controlv1.Push_Part{Part: part}}
	p.Seal = x.signer.Seal("ie1", revision, state.Hash(), until)
	return p, err
}
