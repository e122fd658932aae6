package feed

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// The reasons of a Nack.
const (
	badSignature = "BAD_SIGNATURE" // the seal, or the policy of a tenant that signs, does not lead to the pinned root; or the seal is another region's, or of an epoch that cannot have begun
	belowFloor   = "BELOW_FLOOR"   // an earlier revision than this node has persisted
	badRow       = "BAD_ROW"       // a row, or the order of pushes, is malformed; or an API key stands in a row that is not its own
	badHash      = "STATE_HASH"    // the rows are not those that were signed
	noStorage    = "STORAGE"       // the node could not make it durable
	gap          = "GAP"           // the change does not follow what the node has
)

// refusal is why a push is not taken; the last good bundle stays.
type refusal struct {
	reason string
	err    error
}

func refuse(reason, format string, args ...any) *refusal {
	return &refusal{reason: reason, err: fmt.Errorf(format, args...)}
}

func (r *refusal) Error() string { return r.reason + ": " + r.err.Error() }

// state is one verified bundle.
type state struct {
	view *View
	rows *bundle.State
	hash bundle.Hash
}

// replica verifies pushes, in order, from the stream or from the cache alike.
// One goroutine uses it.
type replica struct {
	expect  bundle.Expect
	wall    func() time.Time  // nil: while the cache is loaded
	signing []policy.TenantID // by configuration
	floor   uint64            // no bundle below it is taken (invariant 35)
	good    *state            // nil before the first
	kinds   *kinds
	level   string // for which good was made, as the control plane says
	guard   *guard // what is kept against a restored control plane; nil: nothing

	open *snapshot // parts that arrived, nil between snapshots
}

// snapshot collects parts until the last.
type snapshot struct {
	revision uint64
	next     uint32
	edit     *edit
	epoch    uint64 // of its first part
	state    bundle.State
}

// step is what one push came to. It changes nothing until commit.
type step struct {
	next      *state // nil: the push is fine and changes no state (an earlier part, a renewal)
	first     bool   // the first part of a snapshot
	statement bundle.Statement
	sealed    bool   // the statement was verified: this is contact with the control plane
	guard     *guard // with next
}

// take verifies a push.
func (r *replica) take(p *controlv1.Push) (step, *refusal) {
	if part := p.GetPart(); part != nil {
		s, refused := r.takePart(p, part)
		if refused != nil || s.next != nil {
			r.open = nil
		}
		return s, refused
	}
	r.open = nil
	if r.good == nil {
		return step{}, refuse(gap, "a change came before any snapshot")
	}
	if d := p.GetDelta(); d != nil {
		return r.takeDelta(p, d)
	}
	return r.takeRenewal(p)
}

// commit makes a step's bundle the good one.
func (r *replica) commit(s step) {
	if s.next == nil {
		return
	}
	r.good, r.guard = s.next, s.guard
	r.floor = max(r.floor, s.next.view.Revision)
}

func (r *replica) takePart(p *controlv1.Push, part *controlv1.SnapshotPart) (step, *refusal) {
	first := part.GetNumber() == 0
	if first {
		r.open = &snapshot{revision: p.GetRevision(), edit: r.edit(&View{}, p.GetRevision()), epoch: policy.EpochOf(p.GetRevision())}
	}
	o := r.open
	if o == nil || part.GetNumber() != o.next || p.GetRevision() < o.revision {
		return step{}, refuse(badRow, "part %d of a snapshot at revision %d came out of order", part.GetNumber(), p.GetRevision())
	}
	o.next, o.revision = o.next+1, p.GetRevision()
	if refused := o.put(r.good, part); refused != nil {
		return step{}, refused
	}
	if !part.GetLast() {
		return step{first: first}, nil
	}
	st, refused := r.verify(p)
	if refused != nil {
		return step{}, refused
	}
	if o.state.Hash() != st.StateHash {
		return step{}, refuse(badHash, "the rows of the snapshot at revision %d are not those that were signed", st.Revision)
	}
	if policy.EpochOf(st.Revision) != o.epoch {
		return step{}, refuse(gap, "a snapshot goes from one cluster epoch into another")
	}
	if err := o.edit.judge.putBack(o.edit); err != nil {
		return step{}, refuse(badRow, "snapshot at revision %d: %w", st.Revision, err)
	}
	v, err := o.edit.finish(st.Revision)
	if err != nil {
		return step{}, refuse(badRow, "snapshot at revision %d: %w", st.Revision, err)
	}
	if err := r.trusted(v, o.edit.checks, r.everyTenant()); err != nil {
		return step{}, refuse(badSignature, "snapshot at revision %d: %w", st.Revision, err)
	}
	g, err := o.edit.judge.result(r.guard)
	if err != nil {
		return step{}, refuse(badRow, "snapshot at revision %d: %w", st.Revision, err)
	}
	return step{next: &state{view: v, rows: &o.state, hash: st.StateHash}, first: first, statement: st, sealed: true, guard: g}, nil
}

func (r *replica) takeDelta(p *controlv1.Push, d *controlv1.Delta) (step, *refusal) {
	st, refused := r.verify(p)
	if refused != nil {
		return step{}, refused
	}
	have := r.good.view.Revision
	if d.GetFromRevision() != have || st.Revision <= have {
		return step{}, refuse(gap, "a delta from revision %d to %d does not follow revision %d", d.GetFromRevision(), st.Revision, have)
	}
	if policy.EpochOf(st.Revision) != policy.EpochOf(have) {
		return step{}, refuse(gap, "a delta leads from one cluster epoch into another: what the node had must be held against all of it")
	}
	next, e := r.good.rows.Clone(), r.edit(r.good.view, st.Revision)
	for _, key := range d.GetRemoved() {
		next.Remove(key)
		e.remove(key) // one that is absent came and went between two revisions
	}
	if refused := e.putAll(d.GetRows(), next); refused != nil {
		return step{}, refused
	}
	if next.Hash() != st.StateHash {
		return step{}, refuse(badHash, "the bundle after the delta to revision %d is not the one that was signed", st.Revision)
	}
	v, err := e.finish(st.Revision)
	if err != nil {
		return step{}, refuse(badRow, "delta to revision %d: %w", st.Revision, err)
	}
	if err := r.trusted(v, e.checks, d.GetRemoved()); err != nil {
		return step{}, refuse(badSignature, "delta to revision %d: %w", st.Revision, err)
	}
	g, err := e.judge.result(r.guard)
	if err != nil {
		return step{}, refuse(badRow, "delta to revision %d: %w", st.Revision, err)
	}
	return step{next: &state{view: v, rows: next, hash: st.StateHash}, statement: st, sealed: true, guard: g}, nil
}

// takeRenewal: nothing changed for this region; the revision may still have
// gone up by what other regions did.
func (r *replica) takeRenewal(p *controlv1.Push) (step, *refusal) {
	st, refused := r.verify(p)
	if refused != nil {
		return step{}, refused
	}
	if st.StateHash != r.good.hash {
		return step{}, refuse(gap, "a renewal at revision %d confirms another bundle than the one of revision %d", st.Revision, r.good.view.Revision)
	}
	s := step{statement: st, sealed: true, guard: r.guard}
	if policy.EpochOf(st.Revision) != policy.EpochOf(r.good.view.Revision) {
		return step{}, refuse(gap, "a renewal leads from one cluster epoch into another")
	}
	if st.Revision > r.good.view.Revision {
		s.next = &state{view: r.good.view.at(st.Revision), rows: r.good.rows, hash: r.good.hash}
	}
	return s, nil
}

// verify checks the seal and the floor.
func (r *replica) verify(p *controlv1.Push) (bundle.Statement, *refusal) {
	st, err := bundle.Verify(p, r.expect)
	if err != nil {
		return st, &refusal{reason: badSignature, err: err}
	}
	if st.Revision < r.floor || (r.good != nil && st.Revision < r.good.view.Revision) {
		return st, refuse(belowFloor, "revision %d is below %d, which this node has already had", st.Revision, r.floor)
	}
	return st, r.tooFar(st.Revision)
}

// edit begins a view. Rows of tenants that sign, or must, are seen whole.
func (r *replica) edit(from *View, revision uint64) *edit {
	if r.kinds == nil {
		r.kinds = newKinds()
	}
	e := newEdit(from, r.kinds)
	e.strict, e.judge = true, r.judge(revision)
	e.whole = func(id policy.TenantID) bool {
		return e.judge.concerns(id) || slices.Contains(r.signing, id) || r.had(policy.Row{Tenant: &policy.TenantRow{ID: id}}.RowKey()) != nil
	}
	return e
}

// put takes one part in. Later parts say what changed while the earlier ones
// were on their way. A row that the good bundle has as well is taken over from
// it: it was checked, and its memory is shared.
func (o *snapshot) put(good *state, part *controlv1.SnapshotPart) *refusal {
	for _, key := range part.GetRemoved() {
		o.edit.remove(key)
		o.state.Remove(key)
	}
	if good == nil {
		return o.edit.putAll(part.GetRows(), &o.state)
	}
	fresh := make([][]byte, 0, len(part.GetRows()))
	for _, body := range part.GetRows() {
		id, ok := tenantOf(body)
		key := "t/" + string(id)
		had, same := good.rows.RowHash(key)
		if sum := sha256.Sum256(body); ok && same && had == sum && o.edit.copyTenant(good.view, id) {
			o.state.PutHash(key, sum)
			continue
		}
		fresh = append(fresh, body)
	}
	return o.edit.putAll(fresh, &o.state)
}

// tenantOf reads the id from a tenant's row; false for anything else.
func tenantOf(body []byte) (policy.TenantID, bool) {
	rest, ok := bytes.CutPrefix(body, tenantPrefix)
	if !ok || len(rest) < 35 || rest[34] != '"' {
		return "", false
	}
	return policy.TenantID(rest[:34]), true
}

var tenantPrefix = fmt.Appendf(nil, `{"format":%d,"tenant":{"id":"`, policy.FormatVersion)

// putAll takes the rows of one push in; none may stand twice.
func (e *edit) putAll(rows [][]byte, state *bundle.State) *refusal {
	size, seen := 0, make(map[string]bool, len(rows))
	for _, body := range rows {
		if size += len(body); size > bundle.MaxPartBytes {
			return refuse(badRow, "the rows of one push are more than %d bytes", bundle.MaxPartBytes)
		}
		key, err := e.putBody(body)
		if err != nil {
			return &refusal{reason: badRow, err: err}
		}
		if seen[key] {
			return refuse(badRow, "row %.80q stands twice in a push", key)
		}
		seen[key] = true
		state.Put(key, body)
	}
	return nil
}
