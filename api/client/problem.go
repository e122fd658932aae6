package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/policy"
)

// problemError turns a refused answer into the domain's error. The request id
// and Retry-After stand in its metadata.
func problemError(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	var p api.Problem
	if err := json.Unmarshal(b, &p); err != nil || p.Reason == "" {
		e := policy.Errorf(reasonOfStatus(resp.StatusCode),
			"%s answered %s without a problem document: is this address a Domicile server?", resp.Request.URL.Host, resp.Status)
		return annotate(e, resp)
	}
	return annotate(&policy.Error{Reason: p.Reason, Message: p.Detail, Fields: p.Errors, Metadata: p.Metadata}, resp).
		With("request_id", p.RequestID)
}

func annotate(e *policy.Error, resp *http.Response) *policy.Error {
	if id := resp.Header.Get("X-Request-Id"); id != "" {
		e.With("request_id", id)
	}
	if after := resp.Header.Get("Retry-After"); after != "" {
		e.With("retry_after", after)
	}
	return e
}

// reasonOfStatus covers answers of proxies and of other programs.
func reasonOfStatus(status int) policy.Reason {
	switch {
	case status == http.StatusNotFound:
		return policy.NotFound
	case status == http.StatusUnauthorized:
		return policy.Unauthenticated
	case status == http.StatusForbidden:
		return policy.PermissionDenied
	case status == http.StatusMisdirectedRequest:
		return policy.WrongRegion
	case status == http.StatusServiceUnavailable, status == http.StatusBadGateway:
		return policy.NotReady
	case status == http.StatusGatewayTimeout:
		return policy.OutcomeUnknown
	case status >= 400 && status < 500:
		return policy.InvalidArgument
	}
	return policy.Internal
}

// transportError tells "never arrived" from "may have arrived".
func transportError(req *http.Request, err error) error {
	host := req.URL.Host
	var unknownCA x509.UnknownAuthorityError
	var verify *tls.CertificateVerificationError
	var op *net.OpError
	e := &policy.Error{Reason: policy.NotReady, Cause: err}
	switch {
	case errors.As(err, &unknownCA), errors.As(err, &verify):
		e.Message = "the certificate of " + host + " is not trusted: name its authority with --ca or DOMICILE_CA"
	case errors.As(err, &op) && op.Op == "dial":
		e.Message = "nothing answers at " + host + ": check that it runs and that the address is right"
	case req.URL.Scheme == "http":
		e.Message = host + " does not answer without TLS: give its https:// address"
	case errors.As(err, &op) && op.Op == "remote error":
		e.Message = host + " refuses whoever shows no certificate of the cluster: it is a port between machines; give the REST address"
	case req.Method == http.MethodGet:
		e.Message = "the connection to " + host + " broke before the answer: try again"
	default:
		e.Reason = policy.OutcomeUnknown
		e.Message = "the connection to " + host + " broke before the answer, so the change may or may not be done: repeat it, repeating is safe"
	}
	return e
}
