package server

import (
	"errors"
	"strings"

	"google.golang.org/grpc/status"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// isReason reports whether err is a domain error of that reason.
func isReason(err error, r policy.Reason) bool {
	return err != nil && errors.Is(err, &policy.Error{Reason: r})
}

// fieldError is INVALID_ARGUMENT for one field or header. It never holds the value.
func fieldError(field, message string) error {
	return fieldErrors([]policy.FieldError{{Field: field, Message: message}})
}

func fieldErrors(list []policy.FieldError) error {
	names := make([]string, 0, len(list))
	for _, f := range list {
		names = append(names, f.Field)
	}
	e := policy.Errorf(policy.InvalidArgument, "invalid: %s; errors says what is wrong with each", strings.Join(names, ", "))
	e.Fields = list
	return e
}

// toStatus makes what leaves the process of an error. A status that already
// carries one of our reasons (a forwarded call's) passes; anything else that is
// not of the domain becomes INTERNAL and says nothing.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	var domain *policy.Error
	if errors.As(err, &domain) {
		return api.GRPCStatus(err).Err()
	}
	if st, ok := status.FromError(err); ok && len(st.Details()) > 0 {
		return err
	}
	return api.GRPCStatus(err).Err()
}

func notFound(what string) error {
	return policy.Errorf(policy.NotFound, "no such %s, or it is not yours", what)
}

// isETag is ^[0-9a-f]{1,64}$, written by hand because each write asks it;
// TestFormsAreTheirExpressions holds it and isRequestID to their expressions.
func isETag(s string) bool { return len(s) >= 1 && len(s) <= 64 && store.IsHex(s, len(s)) }

// unquote reads an If-Match header: one strong etag, quoted or bare.
func unquote(header string) (string, error) {
	tag := strings.TrimSpace(header)
	if len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
		tag = tag[1 : len(tag)-1]
	}
	if tag != "" && !isETag(tag) {
		return "", fieldError("If-Match", "must be the one etag that was read, e.g. \"1f\"; lists, * and weak etags are not taken")
	}
	return tag, nil
}
