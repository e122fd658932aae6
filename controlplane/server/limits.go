package server

import (
	"context"
	"net"
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// How many refused credentials one address may show. A working credential is
// never held up by what else came from its address, and no address by another.
const (
	refusalsPerSecond = 20
	refusalsAtOnce    = 400
	maxAddresses      = 4096 // that are remembered; the one that was quiet longest goes first
)

// limits counts refused credentials by address.
type limits struct {
	seen *lru.Cache[string, *rate.Limiter]
}

func newLimits() (*limits, error) {
	seen, err := lru.New[string, *rate.Limiter](maxAddresses)
	return &limits{seen: seen}, err
}

func (l *limits) of(address string) *rate.Limiter {
	fresh := rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)
	if have, ok, _ := l.seen.PeekOrAdd(address, fresh); ok {
		l.seen.Get(address) // it is not quiet
		return have
	}
	return fresh
}

// allow takes one refusal from the address's share.
func (l *limits) allow(address string) bool { return l.of(address).Allow() }

// exhausted reports whether the share is used up, without taking from it.
func (l *limits) exhausted(address string) bool {
	have, ok := l.seen.Peek(address)
	return ok && have.TokensAt(time.Now()) < 1
}

// clientAddress is who asks: what our gateway says, else the connection's peer.
// Of an IPv6 address it is the network of 64 bits, which one household has whole.
func clientAddress(ctx context.Context) string {
	text := ""
	if said := metadata.ValueFromIncomingContext(ctx, mdClient); len(said) == 1 {
		text = said[0]
	} else if p, ok := peer.FromContext(ctx); ok {
		text, _, _ = net.SplitHostPort(p.Addr.String())
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return "" // all who cannot be told apart share
	}
	if a = a.Unmap(); a.Is6() {
		network, err := a.WithZone("").Prefix(64)
		if err != nil {
			return ""
		}
		return network.String()
	}
	return a.String()
}
