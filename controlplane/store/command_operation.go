package store

import (
	"fmt"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/policy"
)

// The kinds of long-running operations, of re-contracting, since format 3, of withdrawing, of a restore, and of signed API keys.
const (
	KindBeginOperation  Kind = 56
	KindReportOperation Kind = 57
	KindCancelOperation Kind = 58
	KindRecontract      Kind = 59

	KindWithdrawApprover Kind = 60
	KindReserveSlug      Kind = 61
	KindSignKey          Kind = 62
	KindEnrolTenantKey   Kind = 63
)

// BeginOperation notes work of a voter. While one of the kind is unfinished at
// that voter, that one is the result and nothing is added; imports are not
// merged. Result body: Operation.
//
// Refusals: INVALID_ARGUMENT, OVERLOADED (too many unfinished ones).
type BeginOperation struct {
	ID    string        `json:"id"` // OP…
	Kind  OperationKind `json:"kind"`
	Voter MemberName    `json:"voter"`
	Total uint64        `json:"total,omitempty"`
}

// ReportOperation says how far an operation is, or how it ended. One that has
// ended stays as it is; a report within two seconds of the last one changes
// nothing unless it changes the state. Voter "" is the leader, of what is about
// members or whose voter is lost. Result body: Operation.
//
// Refusals: NOT_FOUND, PERMISSION_DENIED (another voter's), INVALID_ARGUMENT.
type ReportOperation struct {
	ID        string           `json:"id"`
	Voter     MemberName       `json:"voter,omitempty"` // that reports
	State     OperationState   `json:"state"`
	Completed uint64           `json:"completed,omitempty"`
	Total     uint64           `json:"total,omitempty"`
	Cause     OperationCause   `json:"cause,omitempty"` // with failed and cancelled
	Outcome   OperationOutcome `json:"outcome,omitzero"`
}

// CancelOperation asks an operation to stop. An invitation is taken back at
// once, and what no voter has begun ends at once; else its voter ends it. Asked
// again it does nothing more. Result body: Operation.
//
// Refusals: NOT_FOUND, ALREADY_EXISTS (it has ended, or cannot be cancelled).
type CancelOperation struct {
	ID string `json:"id"`
}

// Recontract proposes another billing country for a tenant that signs. Its policy
// names its contracting entity, so the country, with the entity and suggestion
// that follow from it, waits as a pending change until that is signed. While the
// same is pending, that one is the result. Result body: Change, or Tenant when
// the entity stays the same, and nothing needs a signature.
//
// Refusals: NOT_FOUND, IF_MATCH_REQUIRED, ETAG_MISMATCH (against the tenant's
// etag), INVALID_ARGUMENT, OVERLOADED (too many pending changes), DESTROYED.
type Recontract struct {
	ID             string          `json:"id"` // CH…
	Tenant         policy.TenantID `json:"tenant"`
	IfMatch        string          `json:"if_match"`
	BillingCountry string          `json:"billing_country"`
}

// WithdrawApprover ends an approver's key of a tenant without a successor. The
// proposer has verified its signature, by the root or the tenant's present key;
// nodes do again. Policy and etag are then new, so that what waits for signatures
// is looked at again. Result body: Policy.
//
// Refusals: NOT_FOUND (no key of an approver that counts), ALREADY_EXISTS (it is
// withdrawn), DESTROYED.
type WithdrawApprover struct {
	Tenant     policy.TenantID   `json:"tenant"`
	Withdrawal policy.Withdrawal `json:"withdrawal"`
}

// ReserveSlug takes a slug for ever for a tenant that came and ended after the
// backup that is being restored. No tenant is made. Result body: none.
//
// Refusals: INVALID_ARGUMENT, ALREADY_EXISTS (another tenant's).
type ReserveSlug struct {
	Tenant policy.TenantID `json:"tenant"`
	Slug   policy.Slug     `json:"slug"`
}

func (BeginOperation) kind() Kind  { return KindBeginOperation }
func (ReportOperation) kind() Kind { return KindReportOperation }
func (CancelOperation) kind() Kind { return KindCancelOperation }
func (Recontract) kind() Kind      { return KindRecontract }

func (WithdrawApprover) kind() Kind { return KindWithdrawApprover }
func (ReserveSlug) kind() Kind      { return KindReserveSlug }

func (p BeginOperation) subject() (audit.Action, string)  { return "operation.begin", p.ID }
func (p ReportOperation) subject() (audit.Action, string) { return "operation.report", p.ID }
func (p CancelOperation) subject() (audit.Action, string) { return "operation.cancel", p.ID }
func (p Recontract) subject() (audit.Action, string)      { return "change.recontract", p.ID }

func (p ReserveSlug) subject() (audit.Action, string) { return "tenant.reserve", string(p.Tenant) }
func (p WithdrawApprover) subject() (audit.Action, string) {
	return "signing_key.withdraw", string(p.Tenant)
}

// operationDecoder finds the decoder of one of the kinds above.
func operationDecoder(k Kind) func([]byte) (Command, error) {
	switch k {
	case KindBeginOperation:
		return command[BeginOperation]
	case KindReportOperation:
		return command[ReportOperation]
	case KindCancelOperation:
		return command[CancelOperation]
	case KindRecontract:
		return command[Recontract]
	case KindWithdrawApprover:
		return command[WithdrawApprover]
	case KindReserveSlug:
		return command[ReserveSlug]
	case KindSignKey:
		return command[SignKey]
	case KindEnrolTenantKey:
		return command[EnrolTenantKey]
	}
	return nil
}

// handleOperation dispatches the commands above.
func (e *entry) handleOperation(p Payload) (any, error) {
	switch p := p.(type) {
	case BeginOperation:
		return e.beginOperation(p)
	case ReportOperation:
		return e.reportOperation(p)
	case CancelOperation:
		return e.cancelOperation(p)
	case Recontract:
		return e.recontract(p)
	case WithdrawApprover:
		return e.withdrawApprover(p)
	case ReserveSlug:
		return e.reserveSlug(p)
	case SignKey:
		return e.signKey(p)
	case EnrolTenantKey:
		return e.enrolTenantKey(p)
	}
	return nil, fmt.Errorf("no handler for %T", p)
}
