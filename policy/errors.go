package policy

import "fmt"

// Reason is a machine-readable cause of a refusal or failure: the vocabulary of
// the whole system. api maps each to gRPC and HTTP in one table.
type Reason string

// The reasons, in the contract's order (§4).
const (
	WrongRegion            Reason = "WRONG_REGION"
	Unauthenticated        Reason = "UNAUTHENTICATED"
	CredentialSuperseded   Reason = "CREDENTIAL_SUPERSEDED"
	PermissionDenied       Reason = "PERMISSION_DENIED"
	NotFound               Reason = "NOT_FOUND"
	InvalidArgument        Reason = "INVALID_ARGUMENT"
	RegionRequired         Reason = "REGION_REQUIRED"
	AlreadyExists          Reason = "ALREADY_EXISTS"
	IdempotencyKeyReused   Reason = "IDEMPOTENCY_KEY_REUSED"
	AnswerNotKept          Reason = "ANSWER_NOT_KEPT" // the change was made under this Idempotency-Key, long ago, and made over since
	ResourceRegionMismatch Reason = "RESOURCE_REGION_MISMATCH"
	LooseningNeedsApproval Reason = "LOOSENING_NEEDS_APPROVAL"
	RegionImmutable        Reason = "REGION_IMMUTABLE"
	PseudonymisationRisk   Reason = "PSEUDONYMISATION_RISK"
	FeatureNotInRegion     Reason = "FEATURE_NOT_IN_REGION"
	NotYet                 Reason = "NOT_YET"
	EgressDenied           Reason = "EGRESS_DENIED"
	ConsentRequired        Reason = "CONSENT_REQUIRED"
	ApprovalRequired       Reason = "APPROVAL_REQUIRED"
	PolicyStale            Reason = "POLICY_STALE"
	TenantFenced           Reason = "TENANT_FENCED"
	OutcomeUnknown         Reason = "OUTCOME_UNKNOWN"
	QuorumAtRisk           Reason = "QUORUM_AT_RISK" // the change would leave too few voters, or no living majority
	ETagMismatch           Reason = "ETAG_MISMATCH"
	IfMatchRequired        Reason = "IF_MATCH_REQUIRED"
	PayloadTooLarge        Reason = "PAYLOAD_TOO_LARGE"
	UnsupportedMediaType   Reason = "UNSUPPORTED_MEDIA_TYPE"
	SnapshotGone           Reason = "SNAPSHOT_GONE"
	Destroyed              Reason = "DESTROYED"
	LegalHold              Reason = "LEGAL_HOLD" // a hold stands against destroying
	Overloaded             Reason = "OVERLOADED"
	StorageFull            Reason = "STORAGE_FULL"
	NotReady               Reason = "UNAVAILABLE" // no leader, or no bundle yet: a definite "not done", retry
	Internal               Reason = "INTERNAL"
)

// FieldError names one bad field and what is wrong with it. Neither may repeat
// the value that was sent: it may be personal.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error is a refusal or failure of the domain. Message says what happened, why,
// and what to do next; it never holds personal data. Metadata values are ids,
// codes and URLs.
type Error struct {
	Reason   Reason
	Message  string
	Fields   []FieldError
	Metadata map[string]string
	Cause    error // logged, never sent
}

func (e *Error) Error() string { return string(e.Reason) + ": " + e.Message }

func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, &Error{Reason: r}) compare reasons.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

// Errorf makes an Error.
func Errorf(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// With adds one piece of metadata and returns e.
func (e *Error) With(key, value string) *Error {
	if e.Metadata == nil {
		e.Metadata = map[string]string{}
	}
	e.Metadata[key] = value
	return e
}
