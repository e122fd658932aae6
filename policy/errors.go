package policy

import "fmt"

// Reason is a machine-readable cause of a refusal or failure: the vocabulary of
// the whole system. api maps each to gRPC and HTTP in one table.
type Reason string

// The reasons, in the contract's order (§4). Of each comment the first sentence
// says what it means and the rest what to do next: docs/reference/reasons.md.
const (
	// The tenant's home, or what the key is of, is another region, and nothing of the body was read. Send the request to the address in the metadata base_url; never follow it with another region's data.
	WrongRegion Reason = "WRONG_REGION"
	// No credential that works came with the request. Give a token of domicile login or tokens create, or a key of this region; look at its end and whether it was revoked.
	Unauthenticated Reason = "UNAUTHENTICATED"
	// The credential was replaced by a newer one. Use the newer one.
	CredentialSuperseded Reason = "CREDENTIAL_SUPERSEDED"
	// The credential works, and its role may not do this, or a rule of the tenant's policy denies it. Use a credential whose role may (docs/permissions.md), or ask domicile explain which rule denies.
	PermissionDenied Reason = "PERMISSION_DENIED"
	// There is no such thing for this caller; what is another tenant's looks the same. Check the id, and whose credential this is.
	NotFound Reason = "NOT_FOUND"
	// The request cannot be read as what it should be. Mend the fields that errors names and send it again.
	InvalidArgument Reason = "INVALID_ARGUMENT"
	// A tenant was to be placed without a home region, and none is ever chosen for it. Say which region is home.
	RegionRequired Reason = "REGION_REQUIRED"
	// The name is taken, also by a tenant that has ended. Choose another name, or read what there is.
	AlreadyExists Reason = "ALREADY_EXISTS"
	// The Idempotency-Key was used before, with another request. Draw a new key for a new request.
	IdempotencyKeyReused Reason = "IDEMPOTENCY_KEY_REUSED"
	// The change was made under this Idempotency-Key, long ago, and made over since. Read what is there now; nothing was done this time.
	AnswerNotKept Reason = "ANSWER_NOT_KEPT"
	// What is named belongs to another region than the request says. Name things of one region.
	ResourceRegionMismatch Reason = "RESOURCE_REGION_MISMATCH"
	// The change would loosen what the policy forbids, so that it waits as a pending change. Have the tenant's key and a second person sign the change that metadata names (docs/operations/trust.md).
	LooseningNeedsApproval Reason = "LOOSENING_NEEDS_APPROVAL"
	// A home region is not changed by an update. Move the tenant instead.
	RegionImmutable Reason = "REGION_IMMUTABLE"
	// What would leave could single a person out. Name coarser columns or a greater class; nothing has left.
	PseudonymisationRisk Reason = "PSEUDONYMISATION_RISK"
	// The region does not offer this, or is at a stage of its life that does not do it. See domicile regions features, and place the tenant where it is offered.
	FeatureNotInRegion Reason = "FEATURE_NOT_IN_REGION"
	// This version does not have it. Do without it, or upgrade.
	NotYet Reason = "NOT_YET"
	// The policy lets this leave the region to nobody, or not to this recipient. Ask domicile explain which rule denies; allowing it is a change of policy that needs approval.
	EgressDenied Reason = "EGRESS_DENIED"
	// The policy demands a person's consent that is not recorded. Leave the data where it is.
	ConsentRequired Reason = "CONSENT_REQUIRED"
	// A person of the home entity must approve this first. Ask for the approval.
	ApprovalRequired Reason = "APPROVAL_REQUIRED"
	// The region has not heard from the control plane for too long to let anything out. Wait and ask again; if it stays so, see domicile status and the alarm BundleTooOld.
	PolicyStale Reason = "POLICY_STALE"
	// The tenant is being moved or suspended, and takes no writes for the moment. Ask again after a moment.
	TenantFenced Reason = "TENANT_FENCED"
	// The leader was lost while it answered, so that the change may or may not be done. Send it again with the same Idempotency-Key: it is done once.
	OutcomeUnknown Reason = "OUTCOME_UNKNOWN"
	// The change would leave too few voters, or no living majority. Add or mend a voter first.
	QuorumAtRisk Reason = "QUORUM_AT_RISK"
	// Somebody has changed it since it was read. Read it again, and apply the change to what is there now.
	ETagMismatch Reason = "ETAG_MISMATCH"
	// A change of this must say what it was read as. Send the etag of what was read in If-Match.
	IfMatchRequired Reason = "IF_MATCH_REQUIRED"
	// The body, or one record in it, is larger than its limit. Send it in smaller pieces.
	PayloadTooLarge Reason = "PAYLOAD_TOO_LARGE"
	// The body is of a media type that is not taken here. Send it with the Content-Type that the call takes.
	UnsupportedMediaType Reason = "UNSUPPORTED_MEDIA_TYPE"
	// What the page token or position stands for is no longer kept. Begin the list again from the start.
	SnapshotGone Reason = "SNAPSHOT_GONE"
	// It was here and its keys were destroyed; nobody can bring it back. Remove it from wherever it is still listed.
	Destroyed Reason = "DESTROYED"
	// A legal hold stands against destroying it. See domicile subjects holds list, and release the hold where the law lets you.
	LegalHold Reason = "LEGAL_HOLD"
	// More was asked than the quota, or than the server takes on at once, and nothing of the request was done. Wait for Retry-After, then send it again, more slowly.
	Overloaded Reason = "OVERLOADED"
	// The disk or database has no room for more. Make room or add storage, then send it again; nothing of the request was kept.
	StorageFull Reason = "STORAGE_FULL"
	// There is no leader, no bundle yet, or a part is away: a definite "not done". Ask again after a moment.
	NotReady Reason = "UNAVAILABLE"
	// The request failed inside. Quote the request id to the operator, whose log has the cause.
	Internal Reason = "INTERNAL"
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
