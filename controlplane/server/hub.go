package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// hub gives each region's nodes their bundle. Only the leader's hub serves;
// when leadership is lost every stream ends with the new leader's address.
//
// fresh_until is promised only from a moment at which leadership was verified:
// a deposed leader renews nothing.
type hub struct {
	store   *store.Store
	replica *replica.Replica
	signer  *bundle.Signer
	log     *slog.Logger
	renew   time.Duration // between renewals
	fresh   time.Duration // what one promises
	dir     string        // of snapshots on their way; "": the system's
	slots   chan struct{} // see maxDownloads

	recorder *recorder
	judged   uint64 // store.NodesRevision that the sessions were held against; of run alone

	mu         sync.Mutex
	feeds      map[audience]*feed
	sessions   map[*session]struct{}
	closed     bool // each session ends as it begins
	nodes      map[policy.NodeID]*node
	freshUntil time.Time
	ackedNow   chan struct{} // closed and replaced at every acknowledgement

	revocations map[string]revocation // of transfer bases, by their ids
}

// audience is who shares one feed.
type audience struct {
	region policy.RegionID
	level  policy.Attestation
}

// maxNodes bounds what is remembered of nodes; disconnected ones go first.
const maxNodes = 4096

// node is what the hub knows of one node.
type node struct {
	id        policy.NodeID
	region    policy.RegionID
	connected int      // open streams; more than one only while a node reconnects
	session   *session // the latest
	acked     uint64
	contact   time.Time
	waiting   *controlv1.Waiting // as it said last on this stream; nil: it did not
	held      map[string]uint32  // orders (OP…) that wait there for so many legal holds, as it said last
}

func newHub(o Options) *hub {
	return &hub{store: o.Store, replica: o.Replica, signer: o.Signer, log: o.Logger, renew: o.Renew, fresh: o.FreshFor, dir: o.Dir, slots: make(chan struct{}, maxDownloads),
		recorder: newRecorder(o), feeds: map[audience]*feed{}, sessions: map[*session]struct{}{}, nodes: map[policy.NodeID]*node{}, ackedNow: make(chan struct{}), revocations: map[string]revocation{}}
}

// run pushes every change at once and renews on a timer, until ctx ends.
func (h *hub) run(ctx context.Context) {
	timer := time.NewTicker(h.renew)
	defer timer.Stop()
	for {
		changed, leader := h.replica.Changed(), h.replica.LeaderChanged()
		if h.replica.IsLeader() {
			h.judgeAll() // before they are sent anything more
			h.push()
		} else {
			h.dropAll()
		}
		select {
		case <-ctx.Done():
			h.close()
			return
		case <-changed:
		case <-leader:
		case now := <-timer.C:
			h.renewAll(ctx)
			for _, f := range h.all() {
				f.sweep(now)
			}
		}
	}
}

func (h *hub) all() []*feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*feed, 0, len(h.feeds))
	for _, f := range h.feeds {
		out = append(out, f)
	}
	return out
}

func (h *hub) push() {
	until := h.until()
	for _, f := range h.all() {
		if err := f.advance(until); err != nil {
			h.log.Error("a region's bundle could not be brought up to date; its nodes must resync", "region", string(f.region), "cause", err)
			f.dropAll()
		}
	}
}

// close ends every stream, and from now on each that begins: this voter may lead
// for a moment still, a node whose stream has ended subscribes again at once, and
// the server that stops would wait for that stream, which nobody ends.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.sessions {
		s.end(errNotLeading)
	}
}

func (h *hub) dropAll() {
	for _, f := range h.all() {
		f.dropAll()
	}
}

// renewAll extends freshness after verifying leadership; the promise counts
// from before the check.
func (h *hub) renewAll(ctx context.Context) {
	if !h.replica.IsLeader() {
		return
	}
	if err := h.verify(ctx); err != nil {
		h.log.Warn("leadership could not be verified, so no bundle was renewed", "cause", err)
		return
	}
	until := h.until()
	for _, f := range h.all() {
		if err := f.renew(until); err != nil {
			h.log.Error("a region's bundle could not be renewed; its nodes must resync", "region", string(f.region), "cause", err)
			f.dropAll()
		}
	}
}

func (h *hub) verify(ctx context.Context) error {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := h.replica.VerifyLeader(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := begin.Add(h.fresh); until.After(h.freshUntil) {
		h.freshUntil = until
	}
	return nil
}

func (h *hub) until() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.freshUntil
}

// feedOf finds or makes the feed of a region for nodes of a level.
func (h *hub) feedOf(region policy.RegionID, level policy.Attestation) *feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	who := audience{region, level}
	f, ok := h.feeds[who]
	if !ok {
		f = newFeed(region, level, h)
		h.feeds[who] = f
	}
	return f
}

// connect notes a node's stream; the returned function ends it.
func (h *hub) connect(s *session) (disconnect func()) {
	id, region := s.stand.node.ID, s.stand.node.Region
	h.mu.Lock()
	defer h.mu.Unlock()
	n, ok := h.nodes[id]
	if !ok {
		h.forgetOne()
		n = &node{id: id, region: region}
		h.nodes[id] = n
	}
	n.connected, n.session, n.waiting, n.held = n.connected+1, s, nil, nil
	n.contact = time.Now()
	h.sessions[s] = struct{}{}
	if h.closed {
		s.end(errNotLeading)
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.sessions, s)
		n.connected--
		n.contact = time.Now()
	}
}

// forgetOne makes room for a node. The caller holds h.mu.
func (h *hub) forgetOne() {
	if len(h.nodes) < maxNodes {
		return
	}
	for id, n := range h.nodes {
		if n.connected == 0 {
			delete(h.nodes, id)
			return
		}
	}
}

// ack notes that a node has made a revision durable, and what else it says.
func (h *hub) ack(id policy.NodeID, a *controlv1.Ack) {
	var held map[string]uint32
	for _, p := range a.GetHeldPurges() {
		if held == nil {
			held = map[string]uint32{}
		}
		held[p.GetOrder()] = p.GetHolds()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n, ok := h.nodes[id]; ok {
		n.acked, n.contact, n.waiting, n.held = a.GetRevision(), time.Now(), a.GetWaiting(), held
		close(h.ackedNow)
		h.ackedNow = make(chan struct{})
	}
}

// acked reports whether every connected node of a region, and at least one, has
// acknowledged a revision.
func (h *hub) acked(region policy.RegionID, revision uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := false
	for _, n := range h.nodes {
		if n.region != region || n.connected == 0 {
			continue
		}
		if n.acked < revision {
			return false
		}
		seen = true
	}
	return seen
}

// waitAcked waits for acked, at most patience.
func (h *hub) waitAcked(ctx context.Context, region policy.RegionID, revision uint64, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		again := h.nextAck()
		if h.acked(region, revision) {
			return true
		}
		select {
		case <-again:
		case <-ctx.Done():
			return false
		}
	}
}

// describe adds what is seen of a node's stream.
func (h *hub) describe(out *controlv1.Node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, ok := h.nodes[policy.NodeID(out.GetId())]
	if !ok {
		return
	}
	out.Connected, out.AckedRevision, out.LastContact = n.connected > 0, n.acked, timestamppb.New(n.contact)
	if !out.Connected {
		return
	}
	out.Attestation = n.session.stand.level.String()
	out.UnansweredPushes, out.UnansweredSeconds = n.session.depth(), uint64(n.session.silence(time.Now())/time.Second)
	if w := n.waiting; w != nil {
		out.Outbox = &controlv1.Outbox{Transfers: w.GetTransfers(), WaitingSeconds: w.GetSeconds()}
	}
}
