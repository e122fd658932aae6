package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/policy"
)

const (
	clientCount  = 12
	perClient    = 34                      // operations per second that each offers, whatever comes back
	maxWaiting   = 20                      // operations of one client that wait; what would be more is not offered
	attemptLimit = 2500 * time.Millisecond // of one attempt
	opLimit      = 12 * time.Second        // of an operation with its repeats
	repeatShare  = 20                      // one in so many finished writes is sent again
)

// clients offer load and write down what they saw.
type clients struct {
	w       *world
	h       *history
	objects *objects

	acked    atomic.Int64 // operations that were answered with what they asked for
	reads    atomic.Int64 // those of them that were reads
	refusals atomic.Int64 // answered with a refusal of the domain
	unknowns atomic.Int64
	failed   atomic.Int64 // definitely not done
	notSent  atomic.Int64 // not offered, because too many waited
	repeats  atomic.Int64 // finished writes sent again with their idempotency key

	mu    sync.Mutex
	wrong []string // answers that no fault explains

	stop context.CancelFunc
	all  sync.WaitGroup
}

func startClients(ctx context.Context, w *world, seed uint64) (*clients, error) {
	c := &clients{w: w, h: newHistory()}
	var err error
	if c.objects, err = prepareObjects(ctx, c, seed); err != nil {
		return nil, err
	}
	ctx, c.stop = context.WithCancel(ctx)
	for i := range clientCount {
		c.all.Go(func() { c.offer(ctx, i, rand.New(rand.NewPCG(seed, uint64(i)+100))) })
	}
	return c, nil
}

// offer is one client: an open loop, which does not wait for answers.
func (c *clients) offer(ctx context.Context, id int, draw *rand.Rand) {
	tick := time.NewTicker(time.Second / perClient)
	defer tick.Stop()
	var waiting atomic.Int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if waiting.Load() >= maxWaiting {
			c.notSent.Add(1)
			continue
		}
		op := c.objects.draw(draw)
		own := rand.New(rand.NewPCG(draw.Uint64(), 0))
		waiting.Add(1)
		c.all.Go(func() {
			defer waiting.Add(-1)
			op(context.WithoutCancel(ctx), id, own)
		})
	}
}

// end stops offering and waits for what is under way.
func (c *clients) end() {
	c.stop()
	c.all.Wait()
}

// attempt is one sending of a request over a connection.
type attempt func(ctx context.Context, cc *grpc.ClientConn) error

// settle sends a request to voters at random until its outcome is definite, or
// its time is over. A refusal of the domain is definite and is the error; nil is done;
// errUnknown and errNotDone are the other two.
func (c *clients) settle(ctx context.Context, draw *rand.Rand, v verb, send attempt) error {
	ctx, cancel := context.WithTimeout(ctx, opLimit)
	defer cancel()
	mayBe := false // an attempt may have had, or may yet have, its effect
	for {
		voter := c.w.voters[draw.IntN(len(c.w.voters))]
		err := c.once(ctx, c.w.conns[voter], send)
		var e *policy.Error
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &e):
			mayBe = mayBe || v != read
		case e.Reason == policy.OutcomeUnknown:
			mayBe = mayBe || v != read
		case e.Reason == policy.NotReady || e.Reason == policy.Overloaded:
		default:
			return e
		}
		pause := time.NewTimer(time.Duration(20+draw.IntN(100)) * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			if mayBe {
				return errUnknown
			}
			return errNotDone
		}
	}
}

var (
	errUnknown = errors.New("nobody knows")
	errNotDone = errors.New("definitely not done")
)

// once makes one attempt. What comes from the transport and not from a voter is
// no policy.Error: it says nothing about what was done.
func (c *clients) once(ctx context.Context, cc *grpc.ClientConn, send attempt) error {
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	err := send(ctx, cc)
	if st, ok := status.FromError(err); err == nil || !ok || len(st.Details()) == 0 {
		return err
	}
	return api.FromGRPC(err)
}

// outcome counts how an operation ended. Refusals other than those expected are
// written down as wrong; ok is false when there is nothing to record.
func (c *clients) outcome(what string, err error, expected ...policy.Reason) (r result, ok bool) {
	var e *policy.Error
	switch {
	case err == nil:
		c.acked.Add(1)
		if strings.HasPrefix(what, string(read)) {
			c.reads.Add(1)
		}
		return done, true
	case errors.Is(err, errUnknown):
		c.unknowns.Add(1)
		return unknown, true
	case errors.Is(err, errNotDone):
		c.failed.Add(1)
		return "", false
	case errors.As(err, &e):
		for _, reason := range expected {
			if e.Reason == reason {
				c.refusals.Add(1)
				return refused, true
			}
		}
	}
	fields := ""
	if e != nil {
		fields = fmt.Sprint(e.Fields)
	}
	c.complain("%s was refused, and nothing explains it: %v %s", what, err, fields)
	return "", false
}

func (c *clients) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

func (c *clients) report(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.wrong {
		if i == 20 {
			t.Errorf("and %d more", len(c.wrong)-i)
			return
		}
		t.Error(s)
	}
}
