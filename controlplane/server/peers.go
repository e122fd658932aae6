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

	"github.com/domicile-io/domicile/internal/mtls"
)

// Voter is where a member of the cluster listens.
type Voter struct {
	Name        string
	GRPCAddress string // host:port
	RaftAddress string // host:port
}

const maxMessage = 4 << 20 // bytes of a gRPC message

// dial makes a connection to a voter's gRPC listener, shown the given
// certificate; it accepts only the control plane of our own cluster.
func dial(address string, own *mtls.Material) (*grpc.ClientConn, error) {
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

// peers are our connections to the other voters, made when first needed.
type peers struct {
	own    *mtls.Material
	voters map[string]Voter

	mu    sync.Mutex
	conns map[string]*grpc.ClientConn
}

func (p *peers) to(name string) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.conns[name]; ok {
		return c, nil
	}
	v, ok := p.voters[name]
	if !ok {
		return nil, fmt.Errorf("voter %q leads and is not among the configured voters", name)
	}
	c, err := dial(v.GRPCAddress, p.own)
	if err != nil {
		return nil, err
	}
	if p.conns == nil {
		p.conns = map[string]*grpc.ClientConn{}
	}
	p.conns[name] = c
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
