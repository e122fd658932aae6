package store

import (
	"bytes"
	"regexp"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// OperationKind is what a long-running operation does.
type OperationKind string

// The kinds of operations that have a row of their own. The end of a tenant is
// one too, and stands in the tenant.
const (
	OperationJoin    OperationKind = "member.join"
	OperationRemove  OperationKind = "member.remove"
	OperationPromote OperationKind = "member.promote"
	OperationDemote  OperationKind = "member.demote"
	OperationBackup  OperationKind = "backup.take"
	OperationVerify  OperationKind = "backup.verify"
	OperationImport  OperationKind = "tenant.import"
)

// OfMember reports whether the operation is about a member, which the leader
// makes true: nobody carries it out who could report.
func (k OperationKind) OfMember() bool {
	return k == OperationJoin || k == OperationRemove || k == OperationPromote || k == OperationDemote
}

// OperationState is where an operation is.
type OperationState string

// The states of operations. From running, or queued, to one of the last three.
const (
	OperationQueued    OperationState = "queued" // its voter has not begun
	OperationRunning   OperationState = "running"
	OperationSucceeded OperationState = "succeeded"
	OperationFailed    OperationState = "failed"
	OperationCancelled OperationState = "cancelled"
)

// Ended reports whether nothing is left to do.
func (s OperationState) Ended() bool {
	return s == OperationSucceeded || s == OperationFailed || s == OperationCancelled
}

// OperationCause says why an operation failed or was cancelled. Closed, because
// the state holds no free text.
type OperationCause string

// The causes.
const (
	CauseInterrupted OperationCause = "INTERRUPTED"      // whoever carried it out stopped, or began anew
	CauseVoterLost   OperationCause = "VOTER_LOST"       // its voter has been silent, or is no member any more
	CauseNoFolder    OperationCause = "NO_FOLDER"        // the voter's configuration has no backup.folder
	CauseDamaged     OperationCause = "DAMAGED"          // a backup is not whole
	CauseDisk        OperationCause = "DISK"             // the voter's log says more
	CauseBusy        OperationCause = "BUSY"             // the voter is taking another backup
	CauseNoLeader    OperationCause = "NO_LEADER"        // nobody confirmed how far the cluster is
	CauseExpired     OperationCause = "EXPIRED"          // the invitation was not used
	CauseReplaced    OperationCause = "REPLACED"         // a later request about the same member took its place
	CauseRemoved     OperationCause = "REMOVED"          // the member was removed meanwhile
	CauseAsked       OperationCause = "CANCEL_REQUESTED" // somebody cancelled it
)

var operationCauses = []OperationCause{CauseInterrupted, CauseVoterLost, CauseNoFolder, CauseDamaged, CauseDisk, CauseBusy, CauseNoLeader,
	CauseExpired, CauseReplaced, CauseRemoved, CauseAsked}

// MaxOperations are kept beside the ends of tenants; the one that ended longest
// ago makes room.
const MaxOperations = 1000

// reportsApart is how far apart two written reports of one operation are, so
// that fast work does not fill the log.
const reportsApart = 2 * time.Second

// Operation is work that takes longer than a call. Since format 3.
type Operation struct {
	ID        string           `json:"id"` // OP…
	Kind      OperationKind    `json:"kind"`
	State     OperationState   `json:"state"`
	Voter     MemberName       `json:"voter,omitempty"`  // that carries it out; "" with kinds of members
	Member    MemberName       `json:"member,omitempty"` // that it is about
	Actor     string           `json:"actor"`            // who began it
	CreatedAt time.Time        `json:"created_at"`       // stamped
	UpdatedAt time.Time        `json:"updated_at"`
	EndedAt   *time.Time       `json:"ended_at,omitempty"`
	Completed uint64           `json:"completed,omitempty"`
	Total     uint64           `json:"total,omitempty"` // 0: not known
	Cancel    bool             `json:"cancel,omitempty"`
	Cause     OperationCause   `json:"cause,omitempty"`
	Outcome   OperationOutcome `json:"outcome,omitzero"`
}

// OperationOutcome is what came of an operation; the fields of its kind.
type OperationOutcome struct {
	File     string `json:"file,omitempty"`
	SHA256   string `json:"sha256,omitempty"` // hex
	Bytes    uint64 `json:"bytes,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
	Good     uint64 `json:"good,omitempty"`
	Refused  uint64 `json:"refused,omitempty"`
}

var backupName = regexp.MustCompile(`^domicile-[0-9]{8}T[0-9]{6}Z-r[0-9]{1,20}\.backup$`)

func (o OperationOutcome) check() *fault {
	const most = 1 << 53
	switch {
	case o.File != "" && !backupName.MatchString(o.File):
		return &fault{"response.file", "must be the name of a scheduled backup"}
	case o.SHA256 != "" && !hashPattern.MatchString(o.SHA256):
		return &fault{"response.sha256", "must be 64 hex digits"}
	case o.Bytes >= most || o.Revision >= 1<<63 || o.Good >= most || o.Refused >= most:
		return &fault{"response", "has a number that is too large"}
	}
	return nil
}

// Operation finds an operation of a kind of its own; the end of a tenant is
// found by TenantOf.
func (s *Store) Operation(id string) (Operation, error) {
	return find[Operation](s, bucketWork, []byte(id), "operation")
}

// UnfinishedOperations lists those that have not ended, ordered by id. It reads
// a bounded bucket.
func (s *Store) UnfinishedOperations() (out []Operation, err error) {
	err = s.peek(func(tx *bolt.Tx) error {
		out, err = list(tx, bucketWork, nil, nil, -1, func(o Operation) bool { return !o.State.Ended() })
		return err
	})
	return out, err
}

// AnyOperation is an operation of either form: one field is set.
type AnyOperation struct {
	ID        string
	Operation *Operation
	Tenant    *Tenant // whose end it is
}

// Operations lists operations of both forms after the given id, ordered by id,
// at most limit and MaxList. keep filters; it may be nil.
func (s *Store) Operations(after string, limit int, keep func(AnyOperation) bool) (out []AnyOperation, err error) {
	limit = page(limit)
	err = s.view(func(tx *bolt.Tx) error {
		work, ends := tx.Bucket(bucketWork).Cursor(), tx.Bucket(bucketOperations).Cursor()
		seek := append([]byte(after), 0)
		a, rawA := work.Seek(seek)
		b, rawB := ends.Seek(seek)
		for (a != nil || b != nil) && len(out) < limit {
			var next AnyOperation
			if b == nil || a != nil && bytes.Compare(a, b) < 0 {
				o, err := decode[Operation](bucketWork, a, rawA)
				if err != nil {
					return err
				}
				next = AnyOperation{ID: o.ID, Operation: &o}
				a, rawA = work.Next()
			} else {
				id, err := decode[policy.TenantID](bucketOperations, b, rawB)
				if err != nil {
					return err
				}
				t, err := need[Tenant](tx, bucketTenants, []byte(id), "tenant")
				if err != nil {
					return dangling(err)
				}
				next = AnyOperation{ID: string(b), Tenant: &t}
				b, rawB = ends.Next()
			}
			if keep == nil || keep(next) {
				out = append(out, next)
			}
		}
		return nil
	})
	return out, err
}

func knownCause(c OperationCause) bool { return c == "" || slices.Contains(operationCauses, c) }
