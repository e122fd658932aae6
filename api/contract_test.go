package api

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/domicile-io/domicile/policy"
)

// contract is the table of section 4 of the contract, by hand: whoever changes how
// a reason looks from outside changes it here too, and says why. again is whether
// an answer says when to come again.
var contract = map[policy.Reason]struct {
	grpc  codes.Code
	http  int
	again bool
}{
	policy.WrongRegion:            {codes.FailedPrecondition, 421, false},
	policy.Unauthenticated:        {codes.Unauthenticated, 401, false},
	policy.CredentialSuperseded:   {codes.Unauthenticated, 401, false},
	policy.PermissionDenied:       {codes.PermissionDenied, 403, false},
	policy.NotFound:               {codes.NotFound, 404, false},
	policy.InvalidArgument:        {codes.InvalidArgument, 400, false},
	policy.RegionRequired:         {codes.InvalidArgument, 400, false},
	policy.AlreadyExists:          {codes.AlreadyExists, 409, false},
	policy.IdempotencyKeyReused:   {codes.FailedPrecondition, 409, false},
	policy.ResourceRegionMismatch: {codes.FailedPrecondition, 409, false},
	policy.LooseningNeedsApproval: {codes.FailedPrecondition, 409, false},
	policy.RegionImmutable:        {codes.FailedPrecondition, 422, false},
	policy.PseudonymisationRisk:   {codes.FailedPrecondition, 422, false},
	policy.FeatureNotInRegion:     {codes.Unimplemented, 501, false},
	policy.NotYet:                 {codes.Unimplemented, 501, false},
	policy.EgressDenied:           {codes.PermissionDenied, 403, false},
	policy.ConsentRequired:        {codes.PermissionDenied, 403, false},
	policy.ApprovalRequired:       {codes.PermissionDenied, 403, false},
	policy.PolicyStale:            {codes.Unavailable, 503, true},
	policy.TenantFenced:           {codes.Unavailable, 503, true},
	policy.OutcomeUnknown:         {codes.Unavailable, 503, true},
	policy.ETagMismatch:           {codes.Aborted, 412, false},
	policy.IfMatchRequired:        {codes.FailedPrecondition, 428, false},
	policy.PayloadTooLarge:        {codes.InvalidArgument, 413, false},
	policy.UnsupportedMediaType:   {codes.InvalidArgument, 415, false},
	policy.SnapshotGone:           {codes.OutOfRange, 410, false},
	policy.Destroyed:              {codes.NotFound, 410, false},
	policy.Overloaded:             {codes.ResourceExhausted, 429, true},
	policy.StorageFull:            {codes.ResourceExhausted, 507, false},
	policy.Internal:               {codes.Internal, 500, false},

	// Of our own, where the contract is silent.
	policy.AnswerNotKept: {codes.FailedPrecondition, 409, false},
	policy.QuorumAtRisk:  {codes.FailedPrecondition, 409, false},
	policy.LegalHold:     {codes.FailedPrecondition, 409, false},
	policy.NotReady:      {codes.Unavailable, 503, true},
}

// Each reason has the contract's form over gRPC (with an ErrorInfo of the domain)
// and over HTTP (a problem document with reason and request id), and comes back
// from gRPC as what it was.
func TestErrorsAreTheContracts(t *testing.T) {
	for reason := range table {
		if _, ok := contract[reason]; !ok {
			t.Errorf("%s is not of the contract's table", reason)
		}
	}
	for reason, want := range contract {
		if !Known(reason) {
			t.Errorf("%s has no row", reason)
			continue
		}
		err := &policy.Error{Reason: reason, Message: "what happened", Metadata: map[string]string{"change": "CH1"}, Fields: []policy.FieldError{{Field: "slug", Message: "is too long"}}}
		st := GRPCStatus(err)
		info, fields := details(st.Details())
		if st.Code() != want.grpc || info.GetDomain() != "residency" || info.GetReason() != string(reason) || info.GetMetadata()["change"] != "CH1" || fields.GetFieldViolations()[0].GetField() != "slug" {
			t.Errorf("%s over gRPC: %v %v", reason, st.Code(), st.Details())
		}
		var back *policy.Error
		if !errors.As(FromGRPC(st.Err()), &back) || back.Reason != reason || back.Message != err.Message || back.Metadata["change"] != "CH1" || len(back.Fields) != 1 {
			t.Errorf("%s came back as %+v", reason, back)
		}
		w := httptest.NewRecorder()
		WriteProblem(w, err, "RQ1")
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		h := w.Result().Header
		if w.Code != want.http || p.Status != want.http || p.Reason != reason || p.RequestID != "RQ1" || p.Title == "" || h.Get("X-Request-Id") != "RQ1" ||
			h.Get("Content-Type") != "application/problem+json" || (h.Get("Retry-After") != "") != want.again || (h.Get("WWW-Authenticate") != "") != (want.http == 401) {
			t.Errorf("%s over HTTP: %d %v %s", reason, w.Code, h, w.Body)
		}
	}
}

// What is no error of the domain says nothing but the request id.
func TestAnInternalErrorSaysNothing(t *testing.T) {
	secret := errors.New("dial 10.0.0.7: +353861234567")
	w := httptest.NewRecorder()
	WriteProblem(w, secret, "RQ1")
	st := GRPCStatus(secret)
	want := AsError(errors.New("another")).Message
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Detail != want || p.Status != 500 || p.Metadata != nil || p.Errors != nil {
		t.Errorf("over HTTP: %s, %v", w.Body, err)
	}
	if st.Code() != codes.Internal || st.Message() != want {
		t.Errorf("over gRPC: %v", st)
	}
}

func details(all []any) (info *errdetails.ErrorInfo, bad *errdetails.BadRequest) {
	for _, d := range all {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *errdetails.BadRequest:
			bad = d
		}
	}
	return info, bad
}
