package feed

import (
	"fmt"
	"slices"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// The reasons of a Nack.
const (
	badSignature = "BAD_SIGNATURE" // the seal, or the policy of a tenant that signs, does not lead to the pinned root; or the seal is another region's
	belowFloor   = "BELOW_FLOOR"   // an earlier revision than this node has persisted
	badRow       = "BAD_ROW"       // a row, or the order of pushes, is malformed
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
	signing []policy.TenantID // by configuration
	floor   uint64            // no bundle below it is taken (invariant 35)
	good    *state            // nil before the first

	open *snapshot // parts that arrived, nil between snapshots
}

// snapshot collects parts until the last.
type snapshot struct {
	revision uint64
	next     uint32
	rows     []policy.Row // of RowKey "": replaced or removed by a later part
	at       map[string]int
	state    bundle.State
}

func (o *snapshot) forget(key string) {
	if i, held := o.at[key]; held {
		o.rows[i] = policy.Row{}
		delete(o.at, key)
	}
}

// step is what one push came to. It changes nothing until commit.
type step struct {
	next      *state // nil: the push is fine and changes no state (an earlier part, a renewal)
	first     bool   // the first part of a snapshot
	statement bundle.Statement
	sealed    bool // the statement was verified: this is contact with the control plane
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
	r.good = s.next
	r.floor = max(r.floor, s.next.view.Revision)
}

func (r *replica) takePart(p *controlv1.Push, part *controlv1.SnapshotPart) (step, *refusal) {
	first := part.GetNumber() == 0
	if first {
		r.open = &snapshot{revision: p.GetRevision(), at: map[string]int{}}
	}
	o := r.open
	if o == nil || part.GetNumber() != o.next || p.GetRevision() < o.revision {
		return step{}, refuse(badRow, "part %d of a snapshot at revision %d came out of order", part.GetNumber(), p.GetRevision())
	}
	o.next, o.revision = o.next+1, p.GetRevision()
	rows, refused := decode(part.GetRows())
	if refused != nil {
		return step{}, refused
	}
	for _, key := range part.GetRemoved() {
		o.forget(key)
		o.state.Remove(key)
	}
	for i, row := range rows {
		o.forget(row.RowKey()) // a later part says what changed while the earlier were on their way
		o.at[row.RowKey()] = len(o.rows)
		o.rows = append(o.rows, row)
		o.state.Put(row.RowKey(), part.GetRows()[i])
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
	o.rows = slices.DeleteFunc(o.rows, func(r policy.Row) bool { return r.RowKey() == "" })
	v, err := NewView(st.Revision, o.rows)
	if err != nil {
		return step{}, refuse(badRow, "snapshot at revision %d: %w", st.Revision, err)
	}
	if err := checkPolicies(v.Topology, o.rows); err != nil {
		return step{}, refuse(badRow, "snapshot at revision %d: %w", st.Revision, err)
	}
	if err := r.trusted(v, o.rows, r.everyTenant()); err != nil {
		return step{}, refuse(badSignature, "snapshot at revision %d: %w", st.Revision, err)
	}
	return step{next: &state{view: v, rows: &o.state, hash: st.StateHash}, first: first, statement: st, sealed: true}, nil
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
	rows, refused := decode(d.GetRows())
	if refused != nil {
		return step{}, refused
	}
	next := r.good.rows.Clone()
	for _, key := range d.GetRemoved() {
		next.Remove(key)
	}
	for i, row := range rows {
		next.Put(row.RowKey(), d.GetRows()[i])
	}
	if next.Hash() != st.StateHash {
		return step{}, refuse(badHash, "the bundle after the delta to revision %d is not the one that was signed", st.Revision)
	}
	v, err := r.good.view.With(st.Revision, rows, d.GetRemoved())
	if err != nil {
		return step{}, refuse(badRow, "delta to revision %d: %w", st.Revision, err)
	}
	if err := checkPolicies(v.Topology, rows); err != nil {
		return step{}, refuse(badRow, "delta to revision %d: %w", st.Revision, err)
	}
	if err := r.trusted(v, rows, d.GetRemoved()); err != nil {
		return step{}, refuse(badSignature, "delta to revision %d: %w", st.Revision, err)
	}
	return step{next: &state{view: v, rows: next, hash: st.StateHash}, statement: st, sealed: true}, nil
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
	s := step{statement: st, sealed: true}
	if st.Revision > r.good.view.Revision {
		v, err := r.good.view.With(st.Revision, nil, nil)
		if err != nil {
			return step{}, refuse(badRow, "renewal at revision %d: %w", st.Revision, err)
		}
		s.next = &state{view: v, rows: r.good.rows, hash: r.good.hash}
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
	return st, nil
}

// checkPolicies holds every policy of the rows against the same rules as the
// control plane does before it stores one, so that neither its mistake nor a
// stolen quorum makes this node act on what no owner could have written.
func checkPolicies(top *policy.Topology, rows []policy.Row) error {
	for _, r := range rows {
		if r.Tenant == nil || r.Tenant.Policy == nil {
			continue
		}
		if bad := r.Tenant.Policy.Validate(top); len(bad) > 0 {
			return fmt.Errorf("the policy of tenant %s is not valid: %s %s", r.Tenant.ID, bad[0].Field, bad[0].Message)
		}
	}
	return nil
}

// decode reads the rows of one push.
func decode(raw [][]byte) ([]policy.Row, *refusal) {
	size := 0
	rows := make([]policy.Row, 0, len(raw))
	for _, body := range raw {
		if size += len(body); size > bundle.MaxPartBytes {
			return nil, refuse(badRow, "the rows of one push are more than %d bytes", bundle.MaxPartBytes)
		}
		row, err := bundle.Decode(body)
		if err != nil {
			return nil, &refusal{reason: badRow, err: err}
		}
		rows = append(rows, row)
	}
	return rows, nil
}
