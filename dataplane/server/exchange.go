package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/admission"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/telemetry"
	"github.com/domicile-io/domicile/policy"
)

// exchange is one request of an authenticated tenant and its answer.
type exchange struct {
	s     *Server
	w     *answerWriter
	r     *http.Request
	id    string // request id
	route *route
	who   gate.Principal
	place *admission.Place // nil with a public route
	began bool             // some of the body was read
	since time.Time        // its head was read
	span  telemetry.Span
}

// delivery is the request as whoever stores records sees it.
func (x *exchange) delivery() *delivery { return &delivery{s: x.s, who: x.who, place: x.place} }

// permit asks the gate, now, whether this tenant's data may be moved.
func (x *exchange) permit(op policy.Operation, class policy.DataClass) (policy.Permit, error) {
	return x.delivery().permit(op, class)
}

// stillEvery is how often an answer that is taken slowly is decided again.
const stillEvery = 5 * time.Second

// still decides again, at most every stillEvery, whether an answer that has begun may
// go on: the tenant may have moved or been suspended meanwhile, or have lost its key.
func (x *exchange) still(op policy.Operation, class policy.DataClass) func() error {
	asked := time.Now()
	return func() error {
		if time.Since(asked) < x.s.stillEvery {
			return nil
		}
		asked = time.Now()
		_, err := x.permit(op, class)
		return err
	}
}

// stillHome is asked after a write is durable and before it is acknowledged.
func (x *exchange) stillHome(before policy.Permit) error { return x.delivery().stillHome(before) }

// body is the request's body, decoded, at most max bytes and arriving at a
// bearable pace.
func (x *exchange) body(max int64) (io.ReadCloser, error) {
	encoding, err := single(x.r.Header, "Content-Encoding")
	if err != nil {
		return nil, err
	}
	return intake.Decode(strings.ToLower(strings.TrimSpace(encoding)), x.paced(), max)
}

// whole reads a body into memory: JSON of at most maxJSON bytes.
func (x *exchange) whole() ([]byte, error) {
	if x.r.ContentLength > maxJSON {
		return nil, policy.Errorf(policy.PayloadTooLarge, "the body is larger than %d bytes; send batches to /v1/calls:batch", maxJSON)
	}
	body, err := x.body(maxJSON)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	size := int64(512)
	if x.r.ContentLength > 0 {
		size = x.r.ContentLength + 1 // one more, so that the end is seen without growing
	}
	raw := make([]byte, 0, size)
	for {
		n, err := body.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		switch {
		case errors.Is(err, io.EOF):
			return raw, nil
		case err != nil:
			return nil, brokenOff(err)
		case len(raw) == cap(raw):
			raw = append(raw, 0)[:len(raw)]
		}
	}
}

// brokenOff makes the refusal of a body that could not be read to its end.
func brokenOff(err error) error {
	var e *policy.Error
	if errors.As(err, &e) {
		return err
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return policy.Errorf(policy.PayloadTooLarge, "the body is larger than %d bytes", tooLarge.Limit)
	}
	e = policy.Errorf(policy.InvalidArgument, "the body broke off before its end; send the request again")
	e.Cause = err
	return e
}

// decode reads a JSON body strictly: unknown fields and trailing data are refused.
func (x *exchange) decode(into any) error {
	if err := x.wantJSON(); err != nil {
		return err
	}
	raw, err := x.whole()
	if err != nil {
		return err
	}
	return decodeStrict(raw, into)
}

func decodeStrict(raw []byte, into any) error {
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		return policy.Errorf(policy.InvalidArgument, "the body holds more than one JSON value; send one")
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) && plainName(kind.Field) {
		return invalid([]policy.FieldError{{Field: kind.Field, Message: "has the wrong type"}})
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		if name = strings.Trim(name, `"`); !plainName(name) {
			name = "body"
		}
		return invalid([]policy.FieldError{{Field: name, Message: "is not a field of this request"}})
	}
	return policy.Errorf(policy.InvalidArgument, "the body is not valid JSON for this request") // the decoder's words may quote the body
}

func (x *exchange) wantJSON() error {
	declared := x.r.Header.Get("Content-Type")
	if declared == "" || declared == "application/json" { // which nearly everybody sends
		return nil
	}
	kind, _, err := mime.ParseMediaType(declared)
	if err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json")) {
		return nil
	}
	return policy.Errorf(policy.UnsupportedMediaType, "this path takes application/json; set Content-Type")
}

// answer sends v as JSON.
func (x *exchange) answer(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	body = append(body, '\n')
	if time.Since(x.since) > quickly {
		x.w.deadline(writeTimeout) // the time that the body took must not count against the answer
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(status)
	write := func() { _, _ = x.w.Write(body) } // a client that is gone is no failure of ours
	if len(body) <= keptByHTTP {
		write() // which waits for nobody
	} else {
		x.place.ForClient(write)
	}
	return nil
}

const (
	// quickly is in what time after its head a request is answered within the deadline
	// that net/http set for it: writeTimeout, but for this.
	quickly = time.Second
	// keptByHTTP is how much of a body net/http keeps until the handler has returned.
	keptByHTTP = 2 << 10
)

// single is a header that may stand once.
func single(h http.Header, name string) (string, error) {
	v := h.Values(name)
	if len(v) > 1 {
		return "", invalid([]policy.FieldError{{Field: name, Message: "stands more than once"}})
	}
	if len(v) == 0 {
		return "", nil
	}
	return v[0], nil
}

// answerWriter remembers what was answered.
type answerWriter struct {
	http.ResponseWriter
	status int
}

func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *answerWriter) deadline(d time.Duration) {
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(d))
}

// newRequestID names a request in its answer and in the log. It is random,
// because a time would say when somebody called.
func newRequestID() string {
	var raw [12]byte
	_, _ = rand.Read(raw[:]) // crypto/rand does not fail
	return "rq" + hex.EncodeToString(raw[:])
}

// detached outlives a client that goes away, so that what was begun is
// finished, but not for ever.
func (x *exchange) detached(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(x.r.Context()), d)
}
