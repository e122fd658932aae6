package store

import (
	"bytes"
	"regexp"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

var operationForm = regexp.MustCompile(`^OP[0-9a-f]{32}$`)

func (e *entry) beginOperation(p BeginOperation) (any, error) {
	switch {
	case !operationForm.MatchString(p.ID):
		return nil, invalid("id", "must be OP and 32 hex digits")
	case p.Kind != OperationBackup && p.Kind != OperationVerify && p.Kind != OperationImport:
		return nil, invalid("kind", "must be one that a voter carries out")
	case !ValidMemberName(string(p.Voter)):
		return nil, invalid("voter", "must match %s", memberPattern)
	case p.Total >= 1<<53:
		return nil, invalid("total", "is too large")
	}
	if p.Kind != OperationImport {
		running, err := list(e.tx, bucketWork, nil, nil, 1, func(o Operation) bool { return !o.State.Ended() && o.Kind == p.Kind && o.Voter == p.Voter })
		if err != nil {
			return nil, err
		}
		if len(running) > 0 {
			return running[0], nil
		}
	}
	o := Operation{ID: p.ID, Kind: p.Kind, State: OperationQueued, Voter: p.Voter, Total: p.Total}
	if p.Kind == OperationImport {
		o.State = OperationRunning // by whoever proposed it, who has the list
	}
	return e.newOperation(o)
}

// newOperation stages an operation that begins, and makes room for it.
func (e *entry) newOperation(o Operation) (Operation, error) {
	if _, taken, err := load[Operation](e.tx, bucketWork, []byte(o.ID)); err != nil || taken {
		return o, invalid("operation", "is taken: send the request again")
	}
	if _, taken, err := load[policy.TenantID](e.tx, bucketOperations, []byte(o.ID)); err != nil || taken {
		return o, invalid("operation", "is taken: send the request again")
	}
	if err := e.roomForOperation(); err != nil {
		return o, err
	}
	e.changed = true
	o.Actor, o.CreatedAt, o.UpdatedAt = e.stamp.Actor, e.stamp.Now, e.stamp.Now
	return o, e.put(bucketWork, []byte(o.ID), o)
}

// roomForOperation drops the one that ended longest ago when the list is full.
func (e *entry) roomForOperation() error {
	if e.count(bucketWork) < MaxOperations {
		return nil
	}
	ended, err := list(e.tx, bucketWork, nil, nil, -1, func(o Operation) bool { return o.State.Ended() })
	if err != nil {
		return err
	}
	if len(ended) == 0 {
		return policy.Errorf(policy.Overloaded, "%d operations are unfinished, the most there may be: wait for some, or cancel them", MaxOperations)
	}
	oldest := ended[0]
	for _, o := range ended[1:] {
		if o.EndedAt.Before(*oldest.EndedAt) {
			oldest = o
		}
	}
	e.drop(bucketWork, []byte(oldest.ID))
	return nil
}

func (e *entry) reportOperation(p ReportOperation) (any, error) {
	o, err := need[Operation](e.tx, bucketWork, []byte(p.ID), "operation")
	if err != nil {
		return nil, err
	}
	if p.Voter != "" && p.Voter != o.Voter {
		return nil, policy.Errorf(policy.PermissionDenied, "the operation is carried out by another voter")
	}
	if f := p.check(); f != nil {
		return nil, f.refusal()
	}
	if o.State.Ended() || p.State == o.State && e.stamp.Now.Sub(o.UpdatedAt) < reportsApart {
		return o, nil
	}
	return e.advance(o, p)
}

func (p ReportOperation) check() *fault {
	switch {
	case p.State != OperationRunning && !p.State.Ended():
		return &fault{"state", "must be running, succeeded, failed or cancelled"}
	case !knownCause(p.Cause) || (p.Cause != "") != (p.State == OperationFailed || p.State == OperationCancelled):
		return &fault{"cause", "must be of the closed list, and goes with failed and cancelled only"}
	case p.Completed >= 1<<53 || p.Total >= 1<<53:
		return &fault{"completed", "is too large"}
	}
	return p.Outcome.check()
}

// advance stages what a report says.
func (e *entry) advance(o Operation, p ReportOperation) (Operation, error) {
	e.changed = true
	o.State, o.UpdatedAt, o.Cause, o.Outcome = p.State, e.stamp.Now, p.Cause, p.Outcome
	o.Completed = max(o.Completed, p.Completed)
	if p.Total > 0 {
		o.Total = p.Total
	}
	if p.State.Ended() {
		o.EndedAt = &e.stamp.Now
	}
	return o, e.put(bucketWork, []byte(o.ID), o)
}

func (e *entry) cancelOperation(p CancelOperation) (any, error) {
	o, err := need[Operation](e.tx, bucketWork, []byte(p.ID), "operation")
	if err != nil {
		return nil, err
	}
	stop := ReportOperation{State: OperationCancelled, Cause: CauseAsked}
	switch {
	case o.State.Ended():
		return nil, policy.Errorf(policy.AlreadyExists, "the operation has ended (%s): nothing is left to cancel", o.State).With("state", string(o.State))
	case o.Kind == OperationJoin:
		x, waits, err := e.invitationOf(o.ID)
		if err != nil {
			return nil, err
		}
		if !waits {
			return nil, policy.Errorf(policy.AlreadyExists, "%s has joined already: domicile members remove %s takes it out again", o.Member, o.Member)
		}
		e.drop(bucketInvitations, []byte(x.SHA256))
		return e.advance(o, stop)
	case o.Kind.OfMember():
		return nil, policy.Errorf(policy.AlreadyExists, "what was asked of %s stands already and the leader makes it so; ask for the opposite instead: domicile members promote, demote or invite", o.Member)
	case o.Cancel:
		return o, nil
	case o.State == OperationQueued:
		return e.advance(o, stop)
	}
	e.changed = true
	o.Cancel, o.UpdatedAt = true, e.stamp.Now
	return o, e.put(bucketWork, []byte(o.ID), o)
}

// invitationOf finds the invitation whose use an operation awaits.
func (e *entry) invitationOf(operation string) (x Invitation, waits bool, err error) {
	found, err := list(e.tx, bucketInvitations, nil, nil, 1, func(x Invitation) bool { return x.Operation == operation })
	if err != nil || len(found) == 0 {
		return x, false, err
	}
	return found[0], true, nil
}

// ofMember stages the operation that a change of a member begins, if it names
// one, and ends what was under way about the same member.
func (e *entry) ofMember(id string, kind OperationKind, name MemberName) error {
	cause := CauseReplaced
	if id == "" {
		cause = CauseRemoved // nobody asked: the leader removed it as dead
	}
	if err := e.supersede(name, cause); err != nil || id == "" {
		return err
	}
	if !operationForm.MatchString(id) {
		return invalid("operation", "must be OP and 32 hex digits")
	}
	_, err := e.newOperation(Operation{ID: id, Kind: kind, State: OperationRunning, Member: name})
	return err
}

func (e *entry) supersede(name MemberName, cause OperationCause) error {
	under, err := list(e.tx, bucketWork, nil, nil, -1, func(o Operation) bool { return o.Member == name && !o.State.Ended() })
	if err != nil {
		return err
	}
	for _, o := range under {
		if _, err := e.advance(o, ReportOperation{State: OperationCancelled, Cause: cause}); err != nil {
			return err
		}
	}
	return nil
}

// interruptOperations ends all that is unfinished: a new epoch has neither its
// voters nor its invitations.
func (e *entry) interruptOperations() error {
	c := e.tx.Bucket(bucketWork).Cursor()
	for k, raw := c.First(); k != nil; k, raw = c.Next() {
		o, err := decode[Operation](bucketWork, bytes.Clone(k), raw)
		if err != nil {
			return err
		}
		if o.State.Ended() {
			continue
		}
		if _, err := e.advance(o, ReportOperation{State: OperationFailed, Cause: CauseInterrupted}); err != nil {
			return err
		}
	}
	return nil
}

// InvitationOf finds the invitation whose use an operation awaits; false when it
// was used, or has gone.
func (s *Store) InvitationOf(operation string) (x Invitation, waits bool, err error) {
	err = s.peek(func(tx *bolt.Tx) error {
		e := entry{tx: tx}
		x, waits, err = e.invitationOf(operation)
		return err
	})
	return x, waits, err
}
