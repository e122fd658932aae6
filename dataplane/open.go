package dataplane

import (
	"context"
	"errors"
	"log/slog"
	"net"
)

// Options are what a process gives a node besides its configuration. The zero
// value works.
type Options struct {
	Logger *slog.Logger // nil: slog.Default()

	// Listeners that are already bound, so that `dev` and tests can choose free
	// ports before certificates and base URLs are made. The node closes them. Nil:
	// the configured address is bound.
	Listener     net.Listener
	PeerListener net.Listener
	OpsListener  net.Listener
}

// Node is one running data-plane node. Make it with Open; Close ends it.
type Node struct {
	cfg  Config
	opts Options
}

// Open starts a node: keyring, store, egress door, policy feed, gate, tenant
// listener, operations listener. It returns when the node listens, which is
// before it has a bundle: Ready says when it serves. It refuses to start when
// the certificate's region is not the configured one (invariant 6).
//
// ctx bounds the start only; Close ends the node.
func Open(ctx context.Context, cfg Config, opts Options) (*Node, error) {
	return nil, errors.New("not wired yet")
}

// URL is the base URL at which tenants reach this node, as configured for its region.
func (n *Node) URL() string { return n.cfg.BaseURLs[n.cfg.Region] }

// Ready is nil when the node serves tenants, else says every reason why not.
func (n *Node) Ready() error { return nil }

// Close stops taking requests, lets those in flight end (until ctx is done),
// then closes the feed and, last, the store and its keys.
func (n *Node) Close(ctx context.Context) error { return nil }
