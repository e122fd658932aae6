package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/domicile-io/domicile/api"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/backup"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// How work is looked after.
const (
	workEvery   = 500 * time.Millisecond // between looks; it also looks when the state changes
	workApart   = 100 * time.Millisecond // between two looks, however busy the cluster is
	reportEvery = 3 * time.Second        // between reports of progress
	reportAgain = time.Second            // until a report that was not taken is sent again
	maxImports  = 2                      // under way at one voter
)

// work is the long-running operations of a voter: those that it carries out, and,
// while it leads, those that nobody but the leader can see the end of.
type work struct {
	*core
	own     mtls.Identity
	leader  *peers // as a voter, by its certificate
	waits   chan struct{}
	closing chan struct{} // closed when calls must not wait any more

	mu    sync.Mutex
	going map[string]*going // of this process
	done  sync.WaitGroup
	life  context.Context // of Work; nil before it
}

// going is an operation that this process carries out.
type going struct {
	stop    chan struct{} // closed once when it is to stop
	once    sync.Once
	imports bool // it is an import
}

func (g *going) cancel() { g.once.Do(func() { close(g.stop) }) }

func newWork(c *core, own mtls.Identity, leader *peers) *work {
	return &work{core: c, own: own, leader: leader, waits: make(chan struct{}, maxWaits), closing: make(chan struct{}), going: map[string]*going{}}
}

// Work carries out operations until ctx ends. stored is where backups go; nil
// when there is no folder.
func (s *Server) Work(ctx context.Context, stored *backup.Schedule) {
	w := s.work
	w.mu.Lock()
	w.life = ctx
	w.mu.Unlock()
	defer w.done.Wait()
	tick := time.NewTicker(workEvery)
	defer tick.Stop()
	for {
		changed := w.replica.Changed()
		if err := w.look(ctx, stored); err != nil && ctx.Err() == nil {
			w.log.Warn("long-running operations could not be looked after, and are again in a moment", "cause", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			time.Sleep(workApart)
		case <-tick.C:
		}
	}
}

// look begins what is queued for us, stops what was cancelled, and ends what an
// earlier start of this voter left.
func (w *work) look(ctx context.Context, stored *backup.Schedule) error {
	all, err := w.store.UnfinishedOperations()
	if err != nil || len(all) == 0 {
		return err
	}
	for _, o := range all {
		if string(o.Voter) != w.name {
			continue
		}
		g := w.known(o.ID)
		switch {
		case g != nil && o.Cancel:
			g.cancel()
		case g == nil && o.State == store.OperationQueued:
			w.start(o, stored)
		case g == nil:
			w.interrupted(ctx, o)
		}
	}
	if w.replica.IsLeader() {
		return w.oversee(ctx, all)
	}
	return nil
}

// interrupted reports an operation of an earlier start: once at a time, because
// while there is no leader one look follows the other and no report is taken.
func (w *work) interrupted(ctx context.Context, o store.Operation) {
	w.register(o.ID, "") // an import of the past is not one of those under way
	w.done.Add(1)
	go func() {
		defer w.done.Done()
		defer w.forget(o.ID)
		w.report(ctx, store.ReportOperation{ID: o.ID, State: store.OperationFailed, Cause: store.CauseInterrupted, Outcome: o.Outcome})
	}()
}

func (w *work) start(o store.Operation, stored *backup.Schedule) {
	do := func(ctx context.Context, r *reporter) (store.OperationOutcome, error) { return w.take(ctx, r, stored) }
	if o.Kind == store.OperationVerify {
		do = func(ctx context.Context, r *reporter) (store.OperationOutcome, error) {
			return w.verify(ctx, r, stored)
		}
	}
	w.goOn(o.ID, w.register(o.ID, o.Kind), do, call{})
}

func (w *work) known(id string) *going {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.going[id]
}

func (w *work) register(id string, kind store.OperationKind) *going {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := &going{stop: make(chan struct{}), imports: kind == store.OperationImport}
	w.going[id] = g
	return g
}

func (w *work) forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.going, id)
}

// errCancelled is why work stops that somebody cancelled.
var errCancelled = errors.New("cancelled")

// goOn carries an operation out beside everything else, and reports.
func (w *work) goOn(id string, g *going, do func(context.Context, *reporter) (store.OperationOutcome, error), of call) {
	w.mu.Lock()
	life := w.life
	w.mu.Unlock()
	if life == nil { // this voter is only just starting, or has stopped: the next look ends it
		w.forget(id)
		return
	}
	w.done.Add(1)
	go func() {
		defer w.done.Done()
		ctx, cancel := context.WithCancelCause(withCall(life, of))
		defer cancel(nil)
		go func() {
			select {
			case <-g.stop:
				cancel(errCancelled)
			case <-ctx.Done():
			}
		}()
		r := &reporter{work: w, id: id, life: life, at: time.Now()}
		w.report(life, store.ReportOperation{ID: id, State: store.OperationRunning})
		outcome, err := do(ctx, r)
		if life.Err() != nil {
			return // the next start says that it was interrupted
		}
		w.report(life, r.last(ctx, outcome, err))
		w.forget(id)
	}()
}

// reporter tells how far one operation is, from time to time.
type reporter struct {
	*work
	id    string
	life  context.Context
	at    time.Time // of the last report
	count struct{ completed, total uint64 }
}

// tell notes progress; it is reported when the last report is long enough ago.
func (r *reporter) tell(completed, total uint64) {
	r.count.completed, r.count.total = completed, total
	if time.Since(r.at) < reportEvery {
		return
	}
	r.at = time.Now()
	ctx, cancel := context.WithTimeout(r.life, reportAgain)
	defer cancel()
	_ = r.send(ctx, store.ReportOperation{ID: r.id, State: store.OperationRunning, Completed: completed, Total: total}) // the next one says more
}

// last is the report of the end.
func (r *reporter) last(ctx context.Context, outcome store.OperationOutcome, err error) store.ReportOperation {
	p := store.ReportOperation{ID: r.id, State: store.OperationSucceeded, Completed: r.count.completed, Total: r.count.total, Outcome: outcome}
	if err == nil {
		return p
	}
	p.State, p.Cause = store.OperationFailed, causeFor(err)
	if errors.Is(context.Cause(ctx), errCancelled) {
		p.State, p.Cause = store.OperationCancelled, store.CauseAsked
	}
	r.log.Error("a long-running operation did not succeed", "operation", r.id, "cause", err)
	return p
}

var errNoFolder = errors.New("the configuration has no backup.folder")

func causeFor(err error) store.OperationCause {
	switch {
	case errors.Is(err, errNoFolder):
		return store.CauseNoFolder
	case errors.Is(err, backup.ErrDamaged):
		return store.CauseDamaged
	case isReason(err, policy.Overloaded):
		return store.CauseBusy
	case isReason(err, policy.NotReady), isReason(err, policy.PolicyStale):
		return store.CauseNoLeader
	case isReason(err, policy.OutcomeUnknown):
		return store.CauseInterrupted
	}
	return store.CauseDisk
}

// report sends until somebody takes it, or ctx ends.
func (w *work) report(ctx context.Context, p store.ReportOperation) {
	for {
		err := w.send(ctx, p)
		if err == nil || isReason(err, policy.NotFound) || isReason(err, policy.InvalidArgument) || isReason(err, policy.PermissionDenied) {
			if err != nil {
				w.log.Error("the leader refused what this voter reported of an operation", "operation", p.ID, "cause", err)
			}
			return
		}
		again := time.NewTimer(reportAgain)
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-again.C:
		}
	}
}

// send reports to whoever leads.
func (w *work) send(ctx context.Context, p store.ReportOperation) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if w.replica.IsLeader() {
		p.Voter = store.MemberName(w.name)
		return w.propose(ctx, w.own.Node, p)
	}
	leader, known := w.replica.Leader()
	if !known || leader == w.name {
		return policy.Errorf(policy.NotReady, "no leader is known")
	}
	conn, err := w.leader.to(leader)
	if err != nil {
		return err
	}
	answer, err := controlv1.NewLongRunningServiceClient(conn).ReportOperation(metadata.NewOutgoingContext(ctx, metadata.Pairs(mdForwarded, w.name)),
		&controlv1.ReportOperationRequest{Operation: p.ID, State: string(p.State), Completed: p.Completed, Total: p.Total, Cause: string(p.Cause),
			Response: &controlv1.OperationResponse{File: p.Outcome.File, Sha256: p.Outcome.SHA256, Bytes: p.Outcome.Bytes, Revision: p.Outcome.Revision,
				Good: p.Outcome.Good, Refused: p.Outcome.Refused}})
	if err != nil {
		return api.FromGRPC(err)
	}
	if !answer.GetTaken() {
		return notFound("operation")
	}
	return nil
}
