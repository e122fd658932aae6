package chaos

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// watcher follows a region's bundle as a node does, and checks every push: sealed
// for this region, no revision twice or backwards, each change from exactly the
// revision before it, and rows whose hash is the one that was signed. So what
// it missed it would notice at the next push.
type watcher struct {
	w      *world
	region policy.RegionID
	expect bundle.Expect
	own    *mtls.Material
	agreed *agreement
	wrong  func(format string, args ...any)

	mu       sync.Mutex
	revision uint64
	rows     *bundle.State
	pushes   int
	streams  int
	snaps    int
}

// agreement is what all watchers of a region were told of each revision.
type agreement struct {
	mu     sync.Mutex
	hashes map[string]bundle.Hash // region and revision
}

func (a *agreement) same(region policy.RegionID, revision uint64, h bundle.Hash) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := fmt.Sprintf("%s/%d", region, revision)
	old, seen := a.hashes[key]
	a.hashes[key] = h
	return !seen || old == h
}

// openWatcher makes a node of a region with a certificate of its own.
func openWatcher(w *world, region policy.RegionID, a *agreement, wrong func(string, ...any)) (*watcher, error) {
	ca, err := mtls.OpenAuthority(filepath.Dir(w.Env.CAFile()))
	if err != nil {
		return nil, err
	}
	voter, err := mtls.Load(w.config["cp1"].TLS)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Join(w.dir, "watchers", newKeyID()))
	if err != nil {
		return nil, err
	}
	id := mtls.Identity{Cluster: voter.Identity.Cluster, Region: region, Role: mtls.DataPlane, Node: policy.NodeID("ND" + newKeyID()[2:])}
	files, err := ca.Issue(dir, id, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	own, err := mtls.Load(files)
	if err != nil {
		return nil, err
	}
	root, err := hex.DecodeString(w.config["cp1"].RootPublicKey)
	if err != nil {
		return nil, err
	}
	return &watcher{w: w, region: region, own: own, agreed: a, wrong: wrong, rows: &bundle.State{},
		expect: bundle.Expect{Cluster: voter.Identity.Cluster, Region: region, Root: ed25519.PublicKey(root)}}, nil
}

// run follows whoever serves until ctx ends.
func (x *watcher) run(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		_ = x.stream(ctx, x.w.voters[i%len(x.w.voters)]) // the next voter may serve
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (x *watcher) stream(ctx context.Context, voter string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cc, err := grpc.NewClient("passthrough:///"+x.w.config[voter].GRPCAddress,
		grpc.WithTransportCredentials(credentials.NewTLS(x.own.Client(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}))),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}))
	if err != nil {
		return err
	}
	defer cc.Close()
	quiet := time.AfterFunc(3*time.Second, cancel) // a voter that is paused or deposed without knowing
	defer quiet.Stop()
	s, err := controlv1.NewDistributionServiceClient(cc).Subscribe(ctx)
	if err != nil {
		return err
	}
	hello := &controlv1.Hello{}
	x.mu.Lock()
	if x.revision > 0 {
		hash := x.rows.Hash()
		hello.LastRevision, hello.StateHash = x.revision, hex.EncodeToString(hash[:])
	}
	x.mu.Unlock()
	if err := s.Send(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Hello{Hello: hello}}); err != nil {
		return err
	}
	var open *bundle.State // a snapshot that is arriving
	for first := true; ; first = false {
		p, err := s.Recv()
		if err != nil {
			return err
		}
		quiet.Reset(20 * time.Second)
		x.mu.Lock()
		if first {
			x.streams++
		}
		open, err = x.take(p, open, first)
		revision := x.revision
		x.mu.Unlock()
		if err != nil {
			x.wrong("INV30: watcher of %s at %s: %v", x.region, voter, err)
			return err
		}
		if err := s.Send(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Ack{Ack: &controlv1.Ack{Revision: revision, Nonce: p.GetNonce()}}}); err != nil {
			return err
		}
	}
}

// take checks and applies one push. The caller holds x.mu.
func (x *watcher) take(p *controlv1.Push, open *bundle.State, first bool) (*bundle.State, error) {
	x.pushes++
	next := x.rows.Clone()
	switch {
	case p.GetPart() != nil:
		if p.GetPart().GetNumber() == 0 {
			open = &bundle.State{}
		}
		if open == nil {
			return nil, fmt.Errorf("part %d of a snapshot came without its first", p.GetPart().GetNumber())
		}
		if err := put(open, p.GetPart().GetRows()); err != nil || !p.GetPart().GetLast() {
			return open, err
		}
		next, open = open, nil
		x.snaps++
	case p.GetDelta() != nil:
		if from := p.GetDelta().GetFromRevision(); from != x.revision {
			return nil, fmt.Errorf("a change from revision %d does not follow revision %d: a gap", from, x.revision)
		}
		for _, key := range p.GetDelta().GetRemoved() {
			next.Remove(key)
		}
		if err := put(next, p.GetDelta().GetRows()); err != nil {
			return nil, err
		}
	}
	st, err := bundle.Verify(p, x.expect)
	if err != nil {
		return nil, fmt.Errorf("a seal does not verify: %w", err)
	}
	if st.Revision < x.revision || (p.GetDelta() != nil && st.Revision == x.revision) {
		return nil, fmt.Errorf("revision %d came after %d", st.Revision, x.revision)
	}
	if next.Hash() != st.StateHash {
		return nil, fmt.Errorf("the rows at revision %d are not those that were signed (first of its stream: %v)", st.Revision, first)
	}
	if !x.agreed.same(x.region, st.Revision, st.StateHash) {
		return nil, fmt.Errorf("two watchers were told different states of revision %d", st.Revision)
	}
	x.rows, x.revision = next, st.Revision
	return open, nil
}

func put(into *bundle.State, rows [][]byte) error {
	for _, body := range rows {
		row, err := bundle.Decode(body)
		if err != nil {
			return err
		}
		into.Put(row.RowKey(), body)
	}
	return nil
}

// at is how far the watcher is.
func (x *watcher) at() (revision uint64, hash bundle.Hash) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.revision, x.rows.Hash()
}
