package dataplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/server"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// exportsDir holds outbox.db and received.db.
const exportsDir = "exports"

// openExports is where what moves records between regions is wired: the
// receiver on n.peers (its connections counted by n.door), the exporter, and
// the routes that report on both. It runs before the tenants' listener opens;
// what it opens closes after that listener and before feed, store and keys.
func (n *Node) openExports() (server.Exports, error) {
	dir := filepath.Join(n.cfg.DataDir, exportsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for exports: %w", err)
	}
	receiver, err := n.openReceiver(dir)
	if err != nil {
		return nil, err
	}
	exporter, err := n.openExporter(dir)
	if err != nil {
		return nil, err
	}
	if err := n.startPurger(exporter, receiver.Inbox()); err != nil {
		return nil, err
	}
	return &exports{exporter: exporter, inbox: receiver.Inbox()}, nil
}

func (n *Node) openReceiver(dir string) (*peer.Receiver, error) {
	received, err := n.openShelf(dir, "received", peer.Buckets())
	if err != nil {
		return nil, err
	}
	receiver, err := peer.NewReceiver(peer.ReceiverOptions{Shelf: received, Region: n.region(), Keys: n.keys, Material: n.material, Pair: n.pair, Basis: n.basis, Note: n.backups.noteDeletion, Logger: n.log})
	if err != nil {
		return nil, fmt.Errorf("open received rows: %w", err)
	}
	n.onClose("received rows", func(context.Context) error { return receiver.Close() })
	if n.peers == nil {
		return receiver, nil
	}
	stop, err := receiver.Serve(n.door.Listener(n.peers, policy.PseudonymisedExport))
	if err != nil {
		return nil, err
	}
	n.onClose("peers' listener", stop)
	return receiver, nil
}

func (n *Node) pair(t policy.TenantID, r policy.RecipientID) (policy.InboundPair, bool) {
	view := n.feed.Current()
	if view == nil {
		return policy.InboundPair{}, false
	}
	pair, ok := view.Pair(t, r)
	if !ok {
		return policy.InboundPair{}, false
	}
	out := *pair
	if out.Weak(n.feed.Attestation()) { // what this node has verified of itself, whatever it was given
		out.Demands = max(out.Demands, out.MinAttestation)
	}
	return out, true
}

// basis says by which rule nothing may come under a transfer basis now.
func (n *Node) basis(id string) policy.RuleCode {
	view := n.feed.Current()
	if view == nil {
		return policy.RuleBasisUnknown
	}
	return view.Topology.BasisRefusal(id, time.Now())
}

func (n *Node) openExporter(dir string) (*export.Exporter, error) {
	sealer, err := store.NewSealer(n.keys, n.cfg.Region, "export/outbox")
	if err != nil {
		return nil, err
	}
	kept, err := n.openShelf(dir, "outbox", export.Buckets())
	if err != nil {
		return nil, err
	}
	outbox, err := export.OpenOutbox(kept, sealer)
	if err != nil {
		return nil, err
	}
	n.onClose("outbox", func(context.Context) error { return outbox.Close() })
	n.startCounting(outbox)
	outbox.OnBury(n.backups.noteTombstones)
	roads := &roads{node: n, open: map[egress.Route]*grpc.ClientConn{}}
	n.onClose("connections to other regions", func(context.Context) error { return roads.close() })
	exporter, err := export.New(export.Options{Store: n.store, Keys: n.keys, Outbox: outbox, Sender: &peer.Sender{Dial: roads.to, Reach: roads.between},
		Gate: n.gate, Region: n.region(), Leases: n.leases, View: n.feed.Current, Interval: n.cfg.ExportInterval, Window: n.cfg.ExportWindow, Logger: n.log, Metrics: n.registry})
	if err != nil {
		return nil, err
	}
	n.background("exporter", lease.Exports, exporter.Run)
	return exporter, nil
}

// openShelf opens what lies beside the records: a file in dir, or a shelf of the
// region's database.
func (n *Node) openShelf(dir, name string, buckets []shelf.Bucket) (shelf.Shelf, error) {
	if n.shared != nil {
		return n.recordShelf(name)
	}
	file, err := bolt.Open(filepath.Join(dir, name+".db"), buckets)
	if err != nil {
		return nil, err
	}
	n.backups.add(name+".db", file.Snapshot)
	n.moving.shelves = append(n.moving.shelves, movingShelf{name, file, buckets})
	return file, nil
}

// roads keeps one connection per (region, basis, tenant), so that the ledger
// can say whose bytes they were.
type roads struct {
	node *Node
	mu   sync.Mutex
	open map[egress.Route]*grpc.ClientConn
}

func (r *roads) to(permit policy.Permit) (grpc.ClientConnInterface, error) {
	return r.between(permit.Tenant(), permit.To(), permit.Basis())
}

// between is the road of a tenant's rows to a region, under the basis that they
// left under.
func (r *roads) between(t policy.TenantID, to policy.RegionID, basis string) (grpc.ClientConnInterface, error) {
	target, ok := r.node.cfg.Peers[string(to)]
	if !ok {
		return nil, policy.Errorf(policy.EgressDenied, "region %s has no entry in peers of this node's configuration; add its peer address", to)
	}
	route := egress.Route{Class: policy.PseudonymisedExport, Region: to, Boundary: policy.Boundary(target.Boundary), Basis: basis, Tenant: t}
	r.mu.Lock()
	defer r.mu.Unlock()
	if conn := r.open[route]; conn != nil {
		return conn, nil
	}
	if err := r.node.door.Allow(route.Class, target.Address); err != nil {
		return nil, err
	}
	config := r.node.material.Client(mtls.Peer{Roles: []mtls.Role{mtls.DataPlane}, Region: to})
	conn, err := r.node.door.GRPC(route, target.Address, config)
	if err != nil {
		return nil, err
	}
	r.open[route] = conn
	return conn, nil
}

func (r *roads) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all error
	for _, conn := range r.open {
		all = errors.Join(all, conn.Close())
	}
	r.open = map[egress.Route]*grpc.ClientConn{}
	return all
}
