package server

import (
	"context"
	"net"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/domicile-io/domicile/internal/guesses"
)

// clientAddress is who asks: what our gateway says, else the connection's peer.
func clientAddress(ctx context.Context) string {
	text := ""
	if said := metadata.ValueFromIncomingContext(ctx, mdClient); len(said) == 1 {
		text = said[0]
	} else if p, ok := peer.FromContext(ctx); ok {
		text, _, _ = net.SplitHostPort(p.Addr.String())
	}
	return guesses.Address(text)
}
