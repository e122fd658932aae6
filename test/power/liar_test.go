package power

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/mtls"
)

// lie is what liars do to the pushes of a voter on their way to a node.
type lie int

const (
	honest lie = iota
	forged     // the seal's signature has a bit flipped
	old        // what is pushed is the first change, or confirmation, that the node ever got
)

// liars stand between a node and each voter, as holders of both sides' keys: a voter
// that was broken into, or put back from a backup, would say what they say.
type liars struct {
	mu    sync.Mutex
	lie   lie
	first *controlv1.Push // the first sealed push that went by, parts of snapshots aside
	told  int             // lies
}

// between puts liars into a node's configuration.
func (l *liars) between(t *testing.T, env *dev.Environment, c *dataplane.Config) error {
	node, err := mtls.Load(c.TLS)
	if err != nil {
		return err
	}
	for i, v := range env.Voters() {
		voter, err := mtls.Load(env.VoterConfig(v).TLS)
		if err != nil {
			return err
		}
		up, err := grpc.NewClient(c.ControlPlane[i], grpc.WithTransportCredentials(credentials.NewTLS(node.Client(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}))))
		if err != nil {
			return err
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		server := grpc.NewServer(grpc.Creds(credentials.NewTLS(voter.Server(mtls.Peer{Roles: []mtls.Role{mtls.DataPlane}, Region: node.Identity.Region}))))
		controlv1.RegisterDistributionServiceServer(server, &liar{liars: l, up: controlv1.NewDistributionServiceClient(up)})
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { server.Stop(); _ = up.Close() })
		c.ControlPlane[i] = listener.Addr().String()
	}
	return nil
}

func (l *liars) say(what lie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie, l.told = what, 0
}

func (l *liars) lied() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told == 0 {
		return errors.New("no lie was told yet")
	}
	return nil
}

// bend changes a push as the present lie wants it.
func (l *liars) bend(p *controlv1.Push) *controlv1.Push {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil && p.GetPart() == nil && p.GetSeal() != nil {
		l.first = proto.CloneOf(p)
	}
	switch {
	case l.lie == forged && len(p.GetSeal().GetSignature()) > 0:
		p.Seal.Signature[0] ^= 1
		l.told++
	case l.lie == old && l.first != nil && p.GetWait() == nil:
		nonce := p.Nonce
		p = proto.CloneOf(l.first)
		p.Nonce = nonce
		l.told++
	}
	return p
}

// liar is the one before one voter.
type liar struct {
	controlv1.UnimplementedDistributionServiceServer
	*liars
	up controlv1.DistributionServiceClient
}

func (l *liar) Subscribe(down grpc.BidiStreamingServer[controlv1.NodeMessage, controlv1.Push]) error {
	ctx, cancel := context.WithCancel(down.Context())
	defer cancel()
	up, err := l.up.Subscribe(ctx)
	if err != nil {
		return err
	}
	go func() {
		defer cancel()
		for {
			m, err := down.Recv()
			if err != nil {
				_ = up.CloseSend()
				return
			}
			if err := up.Send(m); err != nil {
				return
			}
		}
	}()
	for {
		p, err := up.Recv()
		if err != nil {
			return err // with its details: they name the leader
		}
		if err := down.Send(l.bend(p)); err != nil {
			return err
		}
	}
}
