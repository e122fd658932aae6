package peer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpcpeer "google.golang.org/grpc/peer"

	"github.com/domicile-io/domicile/api"
	peerv1 "github.com/domicile-io/domicile/api/peer/v1"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/lobby"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// Limits of the listener: the other regions are few, and each has few nodes.
const (
	maxWaiting = 64
	maxOpen    = 256
	maxHeader  = 16 << 10 // bytes
)

// ReceiverOptions configure a Receiver. All are required.
type ReceiverOptions struct {
	Shelf    shelf.Shelf // of Buckets; the receiver closes it, also when it does not open
	Region   policy.RegionID
	Keys     store.Keys
	Material *mtls.Material
	// Pair finds an inbound pair in the current bundle.
	Pair func(policy.TenantID, policy.RecipientID) (policy.InboundPair, bool)
	// Basis is the rule by which nothing may come under a transfer basis now, by
	// the current bundle and clock; 0 when it may.
	Basis func(id string) policy.RuleCode
	// Note is told what is deleted before it is, so that backups know; an error
	// leaves the rows there, and the sender asks again. nil: there are no backups.
	Note   func(policy.TenantID, Deletion) error
	Logger *slog.Logger
}

// sealedAs is the region key that received rows are sealed under.
const sealedAs = "peer/received"

// Receiver takes transfers in from other regions.
type Receiver struct {
	peerv1.UnimplementedPeerServiceServer
	o     ReceiverOptions
	inbox *Inbox
}

// NewReceiver opens the inbox.
func NewReceiver(o ReceiverOptions) (*Receiver, error) {
	sealer, err := store.NewSealer(o.Keys, string(o.Region), sealedAs)
	if err != nil {
		return nil, err
	}
	inbox, err := openInbox(o.Shelf, sealer)
	if err != nil {
		return nil, err
	}
	return &Receiver{o: o, inbox: inbox}, nil
}

// Inbox is what has been received.
func (r *Receiver) Inbox() *Inbox { return r.inbox }

// Serve answers other regions' data planes until stop: it lets those end that are
// under way, and cuts those off that have not when ctx is. Any certificate but a data
// plane's of our cluster is refused in the handshake.
func (r *Receiver) Serve(l net.Listener) (stop func(ctx context.Context) error, err error) {
	config := r.o.Material.Server(mtls.Peer{Roles: []mtls.Role{mtls.DataPlane}})
	config.NextProtos = []string{lobby.HTTP2}
	server := grpc.NewServer(grpc.Creds(lobby.Credentials()), grpc.MaxRecvMsgSize(4<<20), grpc.MaxHeaderListSize(maxHeader), grpc.MaxConcurrentStreams(16), grpc.ConnectionTimeout(5*time.Second))
	peerv1.RegisterPeerServiceServer(server, r)
	go func() {
		if err := server.Serve(lobby.New(l, lobby.Options{TLS: config, Waiting: maxWaiting, Open: maxOpen})); err != nil {
			r.o.Logger.Error("peer listener ended", "error", err)
		}
	}()
	return func(ctx context.Context) error {
		if err := lobby.End(ctx, server); err != nil {
			return fmt.Errorf("wait for other regions' requests: %w", err)
		}
		return nil
	}, nil
}

// Deliver stores one transfer. See the proto for the contract.
func (r *Receiver) Deliver(ctx context.Context, q *peerv1.DeliverRequest) (*peerv1.DeliverResponse, error) {
	from, err := senderOf(ctx)
	if err != nil {
		return nil, api.GRPCStatus(err).Err()
	}
	mark, err := r.deliver(from, q)
	if err != nil {
		e := api.AsError(err)
		r.o.Logger.Warn("transfer refused", "from_region", string(from), "reason", string(e.Reason), "cause", e.Cause)
		return nil, api.GRPCStatus(err).Err()
	}
	return &peerv1.DeliverResponse{HighWater: mark}, nil
}

func (r *Receiver) deliver(from policy.RegionID, q *peerv1.DeliverRequest) (uint64, error) {
	if err := r.check(from, q); err != nil {
		return 0, err
	}
	in := arrival{id: q.Transfer, from: from, sequence: q.Sequence, refused: q.Refused}
	if !q.Refused {
		if sum := sha256.Sum256(q.Payload); string(sum[:]) != string(q.PayloadSha256) {
			return 0, policy.Errorf(policy.InvalidArgument, "the payload does not match its hash")
		}
		var err error
		if in.rows, err = thaw(q.Payload, q.Rows); err != nil {
			return 0, policy.Errorf(policy.InvalidArgument, "%s", err)
		}
	}
	before, mark, err := r.inbox.accept(streamKey(policy.TenantID(q.Tenant), policy.RecipientID(q.Recipient)), in)
	if err == nil && q.Refused && mark > before+1 {
		r.o.Logger.Warn("the sender closed a gap", "from_region", string(from), "tenant", q.Tenant, "recipient", q.Recipient, "after", before, "up_to", mark)
	}
	return mark, err
}

// check holds the transfer against our own inbound pair: what the sender says
// of itself counts for nothing.
func (r *Receiver) check(from policy.RegionID, q *peerv1.DeliverRequest) error {
	if q.Format != formatVersion {
		return policy.Errorf(policy.InvalidArgument, "transfer format %d is not known here", q.Format)
	}
	if !policy.ValidID(policy.KindTransfer, q.Transfer) || q.Sequence == 0 {
		return policy.Errorf(policy.InvalidArgument, "transfer id or sequence is malformed")
	}
	pair, ok := r.o.Pair(policy.TenantID(q.Tenant), policy.RecipientID(q.Recipient))
	switch {
	case !ok:
		return denied("no inbound pair for this tenant and recipient")
	case pair.State != "" && pair.State != policy.TenantActive: // the sender keeps its queue
		return policy.Errorf(policy.PermissionDenied, "transfer refused: the tenant is not active").With("state", string(pair.State))
	case pair.Demands != 0: // the sender keeps its queue
		return policy.Errorf(policy.PermissionDenied, "transfer refused: %s", policy.RuleAttestation.Explanation()).With("rules", policy.RuleAttestation.String())
	case pair.From != from:
		return denied("the sender's region is not the tenant's home")
	case pair.Purpose != q.Purpose:
		return denied("the purpose is not the agreed one")
	case pair.Basis != q.Basis:
		return denied("the transfer basis is not the agreed one")
	case pair.AllowListHash != "" && pair.AllowListHash != q.AllowListHash, q.AllowListHash != record.AllowListHash():
		return denied("the export schema is not the agreed one")
	}
	// The sender asked its own gate; a revocation that it has not heard of yet
	// stops the transfer here. A marker brings nothing and passes.
	if rule := r.o.Basis(pair.Basis); rule != 0 && !q.Refused {
		return refusedBy(rule)
	}
	return nil
}

// refusedBy is the answer to a transfer under a basis that is not open here. Of
// one that this region does not know yet the sender tries again.
func refusedBy(rule policy.RuleCode) error {
	reason := policy.EgressDenied
	if rule == policy.RuleBasisUnknown {
		reason = policy.NotReady
	}
	return policy.Errorf(reason, "transfer refused: %s", rule.Explanation()).With("rules", rule.String())
}

func denied(why string) error { return policy.Errorf(policy.EgressDenied, "transfer refused: %s", why) }

func senderOf(ctx context.Context) (policy.RegionID, error) {
	p, ok := grpcpeer.FromContext(ctx)
	if !ok {
		return "", policy.Errorf(policy.Unauthenticated, "no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return "", policy.Errorf(policy.Unauthenticated, "no TLS")
	}
	id, err := mtls.OfConnection(info.State)
	if err != nil {
		return "", &policy.Error{Reason: policy.Unauthenticated, Message: "the certificate is not of this cluster", Cause: err}
	}
	return id.Region, nil
}

// Close closes the inbox.
func (r *Receiver) Close() error { return r.inbox.Close() }

// HashOf is the hex form of a payload's hash, as transfer records show it.
func HashOf(sum [32]byte) string { return hex.EncodeToString(sum[:]) }

// String keeps a receiver out of logs.
func (r *Receiver) String() string { return fmt.Sprintf("receiver of %s", r.o.Region) }
