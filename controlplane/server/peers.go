package server

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/domicile-io/domicile/controlplane/members"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

const (
	maxMessage    = 4 << 20 // bytes of a gRPC message
	streamWorkers = 128     // goroutines that are kept for calls
)

// Dial makes a connection to a voter's gRPC listener, shown the given
// certificate; it accepts only the control plane of our own cluster.
func Dial(address string, own *mtls.Material) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(own.Client(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}))),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second,
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("dial voter at %s: %w", address, err)
	}
	return conn, nil
}

// peers are our connections to the other members, made when first needed.
type peers struct {
	own       *mtls.Material
	directory *members.Directory

	mu    sync.Mutex
	conns map[string]link
}

// link is a connection to a member at the address that it had.
type link struct {
	address string
	*grpc.ClientConn
}

func (p *peers) to(name string) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.directory.Reached(name)
	if !ok || at.GRPC == "" {
		return nil, policy.Errorf(policy.NotReady, "member %s leads and has not said yet where it is reached; retry", name)
	}
	old, ok := p.conns[name]
	if ok && old.address == at.GRPC {
		return old.ClientConn, nil
	}
	c, err := Dial(at.GRPC, p.own)
	if err != nil {
		return nil, err
	}
	if ok { // it has moved
		_ = old.Close()
	}
	if p.conns == nil {
		p.conns = map[string]link{}
	}
	p.conns[name] = link{at.GRPC, c}
	return c, nil
}

func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close() // nothing is in flight any more
	}
	p.conns = nil
}

func splitMethod(full string) (service, method string, err error) {
	service, method, ok := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	if !ok {
		return "", "", fmt.Errorf("%q is no gRPC method", full)
	}
	return service, method, nil
}
