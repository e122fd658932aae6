// Package api is the edge: the one table from the domain's reasons to gRPC and
// HTTP, problem documents, and (in its subpackages) the generated wire forms,
// the region's JSON forms and the typed client.
package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/domicile-io/domicile/policy"
)

// Domain is the ErrorInfo domain of every error (contract §4).
const Domain = "residency"

// Mapping is one row of the error table.
type Mapping struct {
	GRPC       codes.Code
	HTTP       int
	Title      string
	RetryAfter int // seconds; 0: no header
}

var table = map[policy.Reason]Mapping{
	policy.WrongRegion:            {codes.FailedPrecondition, 421, "Misdirected request", 0},
	policy.Unauthenticated:        {codes.Unauthenticated, 401, "Not authenticated", 0},
	policy.CredentialSuperseded:   {codes.Unauthenticated, 401, "Credential superseded", 0},
	policy.PermissionDenied:       {codes.PermissionDenied, 403, "Permission denied", 0},
	policy.NotFound:               {codes.NotFound, 404, "Not found", 0},
	policy.InvalidArgument:        {codes.InvalidArgument, 400, "Invalid argument", 0},
	policy.RegionRequired:         {codes.InvalidArgument, 400, "Region required", 0},
	policy.AlreadyExists:          {codes.AlreadyExists, 409, "Already exists", 0},
	policy.IdempotencyKeyReused:   {codes.FailedPrecondition, 409, "Idempotency key reused", 0},
	policy.AnswerNotKept:          {codes.FailedPrecondition, 409, "Answer not kept", 0},
	policy.ResourceRegionMismatch: {codes.FailedPrecondition, 409, "Resource is in another region", 0},
	policy.LooseningNeedsApproval: {codes.FailedPrecondition, 409, "Loosening needs approval", 0},
	policy.RegionImmutable:        {codes.FailedPrecondition, 422, "Home region is immutable", 0},
	policy.PseudonymisationRisk:   {codes.FailedPrecondition, 422, "Pseudonymisation risk", 0},
	policy.FeatureNotInRegion:     {codes.Unimplemented, 501, "Feature not in region", 0},
	policy.NotYet:                 {codes.Unimplemented, 501, "Not built yet", 0},
	policy.EgressDenied:           {codes.PermissionDenied, 403, "Egress denied", 0},
	policy.ConsentRequired:        {codes.PermissionDenied, 403, "Consent required", 0},
	policy.ApprovalRequired:       {codes.PermissionDenied, 403, "Approval required", 0},
	policy.PolicyStale:            {codes.Unavailable, 503, "Policy is stale", 5},
	policy.TenantFenced:           {codes.Unavailable, 503, "Tenant is fenced", 2},
	policy.QuorumAtRisk:           {codes.FailedPrecondition, 409, "Quorum at risk", 0},
	policy.OutcomeUnknown:         {codes.Unavailable, 503, "Outcome unknown", 1},
	policy.ETagMismatch:           {codes.Aborted, 412, "Precondition failed", 0},
	policy.IfMatchRequired:        {codes.FailedPrecondition, 428, "If-Match required", 0},
	policy.PayloadTooLarge:        {codes.InvalidArgument, 413, "Payload too large", 0},
	policy.UnsupportedMediaType:   {codes.InvalidArgument, 415, "Unsupported media type", 0},
	policy.SnapshotGone:           {codes.OutOfRange, 410, "Compacted", 0},
	policy.Destroyed:              {codes.NotFound, 410, "Destroyed", 0},
	policy.LegalHold:              {codes.FailedPrecondition, 409, "Legal hold", 0},
	policy.Overloaded:             {codes.ResourceExhausted, 429, "Overloaded", 1},
	policy.StorageFull:            {codes.ResourceExhausted, 507, "Storage full", 0},
	policy.NotReady:               {codes.Unavailable, 503, "Not ready", 1},
	policy.Internal:               {codes.Internal, 500, "Internal error", 0},
}

// MappingOf finds a reason's row; an unknown reason is internal.
func MappingOf(r policy.Reason) Mapping {
	if m, ok := table[r]; ok {
		return m
	}
	return table[policy.Internal]
}

// Known reports whether a reason is of the closed vocabulary.
func Known(r policy.Reason) bool {
	_, ok := table[r]
	return ok
}

// Problem is an RFC 9457 problem document with our extensions.
type Problem struct {
	Type      string              `json:"type"`
	Title     string              `json:"title"`
	Status    int                 `json:"status"`
	Detail    string              `json:"detail"`
	Reason    policy.Reason       `json:"reason"`
	RequestID string              `json:"request_id"`
	Errors    []policy.FieldError `json:"errors,omitempty"`
	Metadata  map[string]string   `json:"metadata,omitempty"`
}

// AsError finds the domain error in err; anything else becomes INTERNAL with
// err as its cause, which is logged and never sent.
func AsError(err error) *policy.Error {
	var e *policy.Error
	if errors.As(err, &e) {
		return e
	}
	return &policy.Error{Reason: policy.Internal, Message: "the request failed inside; quote the request id to the operator", Cause: err}
}

// ProblemOf makes the document for err.
func ProblemOf(err error, requestID string) Problem {
	e := AsError(err)
	m := MappingOf(e.Reason)
	return Problem{Type: "about:blank", Title: m.Title, Status: m.HTTP, Detail: e.Message,
		Reason: e.Reason, RequestID: requestID, Errors: e.Fields, Metadata: e.Metadata}
}

// WriteProblem answers a request with the document for err.
func WriteProblem(w http.ResponseWriter, err error, requestID string) {
	p := ProblemOf(err, requestID)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Request-Id", requestID)
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="domicile", Basic realm="domicile"`)
	}
	if after := RetryAfter(err); after > 0 {
		h.Set("Retry-After", strconv.Itoa(after))
	}
	body, _ := json.Marshal(p)
	body = append(body, '\n')
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

// RetryAfterKey is the metadata of an error that knows better than the table when
// to come again, in seconds.
const RetryAfterKey = "retry_after"

// RetryAfter is after how many seconds the request may be sent again; 0: the
// error does not say.
func RetryAfter(err error) int {
	e := AsError(err)
	if n, err := strconv.Atoi(e.Metadata[RetryAfterKey]); err == nil && n > 0 {
		return n
	}
	return MappingOf(e.Reason).RetryAfter
}

// GRPCStatus makes the gRPC status for err, with ErrorInfo and BadRequest details.
func GRPCStatus(err error) *status.Status {
	e := AsError(err)
	st := status.New(MappingOf(e.Reason).GRPC, e.Message)
	withInfo, detailErr := st.WithDetails(&errdetails.ErrorInfo{Reason: string(e.Reason), Domain: Domain, Metadata: e.Metadata})
	if detailErr != nil {
		return st
	}
	if len(e.Fields) == 0 {
		return withInfo
	}
	bad := &errdetails.BadRequest{}
	for _, f := range e.Fields {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: f.Field, Description: f.Message})
	}
	if withFields, err := withInfo.WithDetails(bad); err == nil {
		return withFields
	}
	return withInfo
}

// FromGRPC turns a gRPC error of ours back into a domain error.
func FromGRPC(err error) error {
	st, ok := status.FromError(err)
	if !ok || st.Code() == codes.OK {
		return err
	}
	e := &policy.Error{Reason: reasonOfCode(st.Code()), Message: st.Message()}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == Domain {
				e.Reason, e.Metadata = policy.Reason(d.GetReason()), d.GetMetadata()
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Fields = append(e.Fields, policy.FieldError{Field: v.GetField(), Message: v.GetDescription()})
			}
		}
	}
	return e
}

// reasonOfCode covers statuses that gRPC itself makes, which carry no ErrorInfo.
func reasonOfCode(c codes.Code) policy.Reason {
	switch c {
	case codes.InvalidArgument, codes.OutOfRange:
		return policy.InvalidArgument
	case codes.NotFound:
		return policy.NotFound
	case codes.Unauthenticated:
		return policy.Unauthenticated
	case codes.PermissionDenied:
		return policy.PermissionDenied
	case codes.Unimplemented:
		return policy.NotYet
	case codes.Unavailable, codes.Canceled:
		return policy.NotReady
	case codes.DeadlineExceeded:
		return policy.OutcomeUnknown
	case codes.ResourceExhausted:
		return policy.PayloadTooLarge
	}
	return policy.Internal
}
