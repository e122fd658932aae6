package export

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// Bounds of one simulation. Past any of them it is cut and says so.
const (
	MaxSimulatedDays  = 90
	MaxReplayed       = 200_000 // transfers that are looked at
	maxSimulatedFlows = 1000    // lines of the answer
	simulateFor       = 20 * time.Second
)

// Reasons of a simulation beside the policy's rules: those by which a frozen
// transfer would not leave either (outdated).
const (
	recipientMoved  = "RECIPIENT_CHANGED" // the policy names another region for the recipient
	thresholdRaised = "THRESHOLD_RAISED"  // nobody can say now which of its rows would pass
)

// Tally counts transfers and what they held.
type Tally struct{ Transfers, Rows, Bytes int64 }

func (t *Tally) add(x *Transfer) {
	t.Transfers++
	t.Rows += int64(x.Rows)
	t.Bytes += int64(x.Bytes)
}

// Way is what a simulation counts together: as it happened.
type Way struct {
	Recipient policy.RecipientID
	To        policy.RegionID
	Purpose   string
	Egress    policy.EgressClass
	Basis     string
}

// Simulated is what happened on a way, beside what the proposed policy would
// have let happen.
type Simulated struct {
	Way
	Happened        map[State]Tally
	Allowed, Denied Tally
	NewBasis        string           // of what would have been allowed
	Reasons         map[string]Tally // every reason of each denied transfer, so that they add up to more
}

// Simulation is the outcome of a replay.
type Simulation struct {
	From, Until time.Time // of what was looked at
	Replayed    int
	Cut         bool // there is more after Until
	Flows       []Simulated
}

// Simulate replays the tenant's transfers of the last days UTC days, today
// included, against a proposed policy. Each is judged as of when it was made,
// and only what the simulation itself let go counts against the proposed cap.
// It writes nothing. One runs at a time: OVERLOADED.
func (e *Exporter) Simulate(ctx context.Context, trial *gate.Trial, days int) (Simulation, error) {
	if days < 1 || days > MaxSimulatedDays {
		return Simulation{}, &policy.Error{Reason: policy.InvalidArgument, Message: "days must be 1 to 90", Fields: []policy.FieldError{{Field: "days", Message: "must be 1 to 90"}}}
	}
	if !e.simulating.TryLock() {
		return Simulation{}, policy.Errorf(policy.Overloaded, "this node runs another simulation; repeat it in a moment")
	}
	defer e.simulating.Unlock()
	now := e.o.Now().UTC()
	from := time.Date(now.Year(), now.Month(), now.Day()-days+1, 0, 0, 0, 0, time.UTC)
	return e.replay(ctx, trial, from, now, MaxReplayed)
}

func (e *Exporter) replay(ctx context.Context, trial *gate.Trial, from, until time.Time, most int) (Simulation, error) {
	r := replay{trial: trial, sent: map[string]uint64{}, flows: map[Way]*Simulated{}, unknown: len(record.Unclassified()) > 0}
	out := Simulation{From: from, Until: until}
	began := time.Now()
	for at := timeKey(trial.Tenant(), from, ""); at != nil; {
		page, next, err := e.o.Outbox.since(trial.Tenant(), at, min(maxPage, most-out.Replayed))
		if err != nil {
			return Simulation{}, err
		}
		for i := range page {
			if !r.judge(&page[i]) {
				next, out.Cut = nil, true
				break
			}
			out.Replayed, out.Until = out.Replayed+1, page[i].CreatedAt
		}
		if at = next; at == nil {
			break
		}
		if err := ctx.Err(); err != nil {
			return Simulation{}, err
		}
		if out.Replayed >= most || time.Since(began) > simulateFor {
			out.Cut, at = true, nil
		}
	}
	if !out.Cut {
		out.Until = until
	}
	for _, w := range slices.SortedFunc(maps.Keys(r.flows), Way.compare) {
		out.Flows = append(out.Flows, *r.flows[w])
	}
	return out, nil
}

// replay is one simulation under way.
type replay struct {
	trial   *gate.Trial
	sent    map[string]uint64 // by UTC day: what it let go, of all recipients, as caps count
	flows   map[Way]*Simulated
	unknown bool // a field of records has no class
}

// judge adds one transfer; false when there are too many ways to list.
func (r *replay) judge(x *Transfer) bool {
	way := Way{Recipient: x.Recipient, To: x.To, Purpose: x.Purpose, Egress: policy.PseudonymisedExport, Basis: x.Basis}
	s := r.flows[way]
	if s == nil {
		if len(r.flows) == maxSimulatedFlows {
			return false
		}
		s = &Simulated{Way: way, Happened: map[State]Tally{}, Reasons: map[string]Tally{}}
		r.flows[way] = s
	}
	happened := s.Happened[x.State]
	happened.add(x)
	s.Happened[x.State] = happened
	day := x.CreatedAt.UTC().Format(dayFormat)
	verdict := r.trial.Ask(gate.Question{Op: policy.Export, Class: policy.CallRecord, Egress: way.Egress, Recipient: x.Recipient,
		Purpose: x.Purpose, SentToday: r.sent[day], FieldsUnknown: r.unknown}, x.CreatedAt)
	reasons := r.outdated(x)
	for _, code := range verdict.Denied {
		reasons = append(reasons, code.String())
	}
	if len(reasons) == 0 {
		r.sent[day]++
		s.Allowed.add(x)
		s.NewBasis = verdict.Basis
		return true
	}
	s.Denied.add(x)
	for _, reason := range reasons {
		t := s.Reasons[reason]
		t.add(x)
		s.Reasons[reason] = t
	}
	return true
}

// outdated lists why the transfer would not have been this one, though its
// recipient may receive. The basis is not among them: it would have been made
// under the proposed one.
func (r *replay) outdated(x *Transfer) (reasons []string) {
	to, ok := r.trial.Recipient(x.Recipient)
	if !ok {
		return nil // which is a rule of the policy
	}
	if to.Region != x.To {
		reasons = append(reasons, recipientMoved)
	}
	if x.Needed < needed(to) {
		reasons = append(reasons, thresholdRaised)
	}
	return reasons
}

func (w Way) compare(o Way) int {
	return cmp.Or(cmp.Compare(w.Recipient, o.Recipient), cmp.Compare(w.Egress, o.Egress), cmp.Compare(w.Basis, o.Basis),
		cmp.Compare(w.To, o.To), cmp.Compare(w.Purpose, o.Purpose))
}

// since reads at most size transfers from a by_time key on, oldest first. next
// is nil at the end. Each page is a transaction of its own, so that a long
// replay holds up nobody.
func (o *Outbox) since(t policy.TenantID, from []byte, size int) (out []Transfer, next []byte, err error) {
	prefix := []byte(string(t) + "/")
	err = o.shelf.View(func(tx shelf.Tx) error {
		out, next = nil, nil
		return tx.Ascend(bucketByTime, prefix, from, func(k, _ []byte) error {
			if len(out) == size {
				next = bytes.Clone(k)
				return shelf.ErrStop
			}
			x, err := transferAt(tx, t, k)
			if err != nil {
				return err
			}
			out = append(out, x)
			return nil
		})
	})
	return out, next, err
}
