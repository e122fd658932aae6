package feed

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/domicile-io/domicile/api"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second // so that a healed control plane is heard well within 30 s
	// spread is over what time the nodes of a leader that is no more come to the
	// next: a thousand handshakes at once would keep it from leading.
	spread = 500 * time.Millisecond
	// silence ends a stream: a renewal comes every 15 s, so three have been missed.
	silence = 45 * time.Second
	// patience is how long a voter may take to send its first push.
	patience = 15 * time.Second
	// maxWaits is how often in one stream a voter may say that a snapshot is being
	// prepared, which it does every five seconds: after ten minutes another is asked.
	maxWaits = 120
	// maxMessage is the stream's limit; a part holds 1 MiB of rows.
	maxMessage = 4 << 20
)

// follow tries the voters in turn until Close. A voter that names the leader is
// followed there at once, when the leader is among the configured voters.
func (f *Feed) follow() {
	backoff, next := minBackoff, 0
	hinted := false
	for f.ctx.Err() == nil {
		voter := f.o.ControlPlane[next%len(f.o.ControlPlane)]
		heard, err := f.stream(voter)
		if f.ctx.Err() != nil {
			return
		}
		f.note(func(s *Status) { s.Connected, s.Voter, s.LastError = false, "", err.Error() })
		f.o.Logger.Warn("control stream ended", "voter", voter, "error", err)
		if heard {
			backoff = minBackoff
		}
		if at := f.leader(err); at >= 0 && at != next && !hinted {
			next, hinted = at, true // once in a row: two voters may each think the other leads
			f.pause(rand.N(spread))
			continue
		}
		next, hinted = (next+1)%len(f.o.ControlPlane), false
		wait := backoff/2 + rand.N(backoff/2)
		if heard {
			wait += rand.N(spread) // all others lost the same voter at the same moment
		}
		f.pause(wait)
		backoff = min(2*backoff, maxBackoff)
	}
}

// pause waits, or until Close.
func (f *Feed) pause(d time.Duration) {
	select {
	case <-f.ctx.Done():
	case <-time.After(d):
	}
}

// leader finds the voter that err names as the leader; -1 when it names none of ours.
func (f *Feed) leader(err error) int {
	var e *policy.Error
	if !errors.As(err, &e) {
		return -1
	}
	return slices.Index(f.o.ControlPlane, e.Metadata["leader"])
}

// stream follows one voter until the stream ends, and says why it did and
// whether anything good came.
func (f *Feed) stream(voter string) (heard bool, err error) {
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	cc, err := f.o.Door.GRPC(egress.Route{Class: policy.ControlStream}, voter, f.o.Material.Client(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}))
	if err != nil {
		return false, err
	}
	defer func() { _ = cc.Close() }()
	f.voter.Store(cc)
	defer f.voter.Store(nil)
	// The timer ends a stream that says nothing; it bounds the connecting too.
	quiet := time.AfterFunc(patience, func() { cancel(errors.New("nothing was heard for too long")) })
	defer quiet.Stop()
	f.compacted() // hello says whether the cache can be gone on with
	s, err := controlv1.NewDistributionServiceClient(cc).Subscribe(ctx)
	if err != nil {
		return false, f.why(ctx, err)
	}
	if err := s.Send(&controlv1.NodeMessage{Message: &controlv1.NodeMessage_Hello{Hello: f.hello()}}); err != nil {
		_, err = s.Recv() // Send says only EOF
		return false, f.why(ctx, err)
	}
	arrived := make(chan arrival, maxArrived)
	go receive(ctx, s, quiet, arrived)
	return f.read(ctx, voter, s, arrived)
}

// maxArrived bounds what has come and is not taken yet; what is more waits with the
// sender.
const maxArrived = 16

// arrival is a push, or why there are no more.
type arrival struct {
	push *controlv1.Push
	err  error
}

// receive hands over what comes, also while what came before is being written.
func receive(ctx context.Context, s controlStream, quiet *time.Timer, arrived chan<- arrival) {
	for {
		p, err := s.Recv()
		if err == nil {
			quiet.Reset(silence)
		}
		select {
		case arrived <- arrival{p, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

type controlStream = grpc.BidiStreamingClient[controlv1.NodeMessage, controlv1.Push]

// read takes what arrives, all that has arrived at once, until the stream ends.
func (f *Feed) read(ctx context.Context, voter string, s controlStream, arrived <-chan arrival) (heard bool, err error) {
	resync, waited := false, 0
	var pushes []*controlv1.Push
	for {
		var ended error
		if pushes, ended = f.gather(ctx, pushes[:0], arrived); len(pushes) > 0 {
			f.note(func(st *Status) { st.Connected, st.Voter = true, voter })
		}
		for rest := pushes; len(rest) > 0; {
			p := rest[0]
			if p.GetWait() != nil {
				if waited++; waited > maxWaits {
					return heard, errors.New("the voter has prepared a snapshot for too long")
				}
				rest = rest[1:]
				continue
			}
			if resync && p.GetPart().GetNumber() != 0 || resync && p.GetPart() == nil {
				rest = rest[1:] // sent before the other side knew of our refusal
				continue
			}
			taken, refused := f.take(rest)
			resync = refused != nil
			heard = heard || !resync
			if err := s.Send(f.answer(rest[taken-1], refused)); err != nil {
				return heard, f.why(ctx, unsent(ctx, arrived))
			}
			rest = rest[taken:]
			if !resync {
				f.compact() // after the answer: nobody waits for it
			}
		}
		if ended != nil {
			return heard, f.why(ctx, ended)
		}
	}
}

// gather waits for a push and gives it with those that have come as well, and why
// there are no more.
func (f *Feed) gather(ctx context.Context, pushes []*controlv1.Push, arrived <-chan arrival) ([]*controlv1.Push, error) {
	for len(pushes) == 0 {
		select {
		case a := <-arrived:
			if a.err != nil {
				return pushes, a.err
			}
			pushes = append(pushes, a.push)
		case <-f.compactionEnds():
			f.compacted()
		case <-ctx.Done():
			return pushes, ctx.Err()
		}
	}
	for len(pushes) < maxArrived {
		select {
		case a := <-arrived:
			if a.err != nil {
				return pushes, a.err
			}
			pushes = append(pushes, a.push)
		default:
			return pushes, nil
		}
	}
	return pushes, nil
}

// unsent finds why a message could not be sent, which Send does not say.
func unsent(ctx context.Context, arrived <-chan arrival) error {
	for {
		select {
		case a := <-arrived:
			if a.err != nil {
				return a.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *Feed) why(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	if err == nil {
		err = errors.New("the stream ended")
	}
	return fmt.Errorf("follow the control plane: %w", api.FromGRPC(err))
}

// hello asks for what follows the bundle we hold durably. Without a file to
// append to, only a snapshot can be kept.
func (f *Feed) hello() *controlv1.Hello {
	if f.replica.good == nil || f.cache.f == nil || f.cache.stale() {
		return &controlv1.Hello{InstanceDocument: f.o.Document}
	}
	return &controlv1.Hello{InstanceDocument: f.o.Document, Attestation: f.replica.level, LastRevision: f.replica.good.view.Revision, StateHash: hex.EncodeToString(f.replica.good.hash[:])}
}

// answer acknowledges what is durable and published, or says what is wrong.
func (f *Feed) answer(p *controlv1.Push, refused *refusal) *controlv1.NodeMessage {
	last := uint64(0)
	if f.replica.good != nil {
		last = f.replica.good.view.Revision
	}
	if refused == nil {
		return &controlv1.NodeMessage{Message: &controlv1.NodeMessage_Ack{Ack: &controlv1.Ack{Revision: last, Nonce: p.GetNonce(), Kept: f.keptForm(), Findings: f.findings(), Waiting: f.waiting(), HeldPurges: f.heldPurges()}}}
	}
	f.o.Logger.Error("bundle refused; the last good one stays", "reason", refused.reason, "error", refused.err, "last_good", last)
	f.note(func(s *Status) { s.LastNack = refused.reason })
	f.mu.Lock()
	f.nacks[refused.reason]++
	f.mu.Unlock()
	return &controlv1.NodeMessage{Message: &controlv1.NodeMessage_Nack{Nack: &controlv1.Nack{LastGood: last, Nonce: p.GetNonce(), Reason: refused.reason}}}
}

func (f *Feed) note(change func(*Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
}
