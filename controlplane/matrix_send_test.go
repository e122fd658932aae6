package controlplane_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/policy"
)

// apiMethod is one method of the registered descriptors.
type apiMethod struct {
	full, short string // "/domicile.control.v1.TenantService/GetTenant", "TenantService/GetTenant"
	desc        protoreflect.MethodDescriptor
	rule        *annotations.HttpRule // nil: no REST form
}

// verb and path of the method's REST form.
func (m apiMethod) verb() (method, path string) {
	switch p := m.rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		return http.MethodPost, p.Post
	case *annotations.HttpRule_Put:
		return http.MethodPut, p.Put
	case *annotations.HttpRule_Patch:
		return http.MethodPatch, p.Patch
	case *annotations.HttpRule_Delete:
		return http.MethodDelete, p.Delete
	}
	return "", ""
}

// apiMethods walks the registered services, ordered by name.
func apiMethods(t *testing.T) []apiMethod {
	t.Helper()
	var out []apiMethod
	protoregistry.GlobalFiles.RangeFilesByPackage("domicile.control.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				d := s.Methods().Get(j)
				m := apiMethod{full: "/" + string(s.FullName()) + "/" + string(d.Name()), short: string(s.Name()) + "/" + string(d.Name()), desc: d}
				m.rule, _ = proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
				if m.rule.GetPattern() == nil {
					m.rule = nil
				}
				out = append(out, m)
			}
		}
		return true
	})
	if len(out) < 30 {
		t.Fatalf("only %d methods found: the walk is broken", len(out))
	}
	slices.SortFunc(out, func(a, b apiMethod) int { return strings.Compare(a.short, b.short) })
	return out
}

// outcome is what one call got.
type outcome struct {
	rest    bool
	reason  policy.Reason // "" when it went well
	broken  bool          // no connection
	unbound bool          // no REST form
	text    string
	body    []byte // all that the caller can see
}

func (o outcome) transport() string {
	if o.rest {
		return "REST"
	}
	return "gRPC"
}

var requestIDs = regexp.MustCompile(`[0-9a-f]{32}`)

// comparable is the whole answer without what differs between any two answers.
func (o outcome) comparable() string {
	if !o.rest {
		return string(o.body)
	}
	return requestIDs.ReplaceAllString(string(o.body), "…")
}

type transport func(w *world, m apiMethod, call matrixCall, p principal, target fixture) outcome

func overGRPC(w *world, m apiMethod, call matrixCall, p principal, target fixture) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if p.header != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", p.header)
	}
	if p.address != "" { // as our gateway says it
		ctx = metadata.AppendToOutgoingContext(ctx, "x-domicile-client", p.address)
	}
	out := dynamicpb.NewMessage(m.desc.Output())
	var err error
	if m.desc.IsStreamingClient() || m.desc.IsStreamingServer() {
		err = firstOf(ctx, p.conn, m, call(w, target), out)
	} else {
		err = p.conn.Invoke(ctx, m.full, call(w, target), out)
	}
	if err == nil {
		body, marshalErr := protojson.Marshal(out)
		if marshalErr != nil {
			w.c.t.Fatal(marshalErr)
		}
		return outcome{body: body}
	}
	st, _ := status.FromError(err)
	body, marshalErr := proto.MarshalOptions{Deterministic: true}.Marshal(st.Proto())
	if marshalErr != nil {
		w.c.t.Fatal(marshalErr)
	}
	// A status of the transport has no details: the connection was refused, or its header could not be sent.
	if len(st.Details()) == 0 && st.Code() == codes.Unavailable {
		return outcome{broken: true, text: st.Message()}
	}
	e := api.AsError(api.FromGRPC(err))
	return outcome{reason: e.Reason, text: e.Message, body: body}
}

// firstOf opens a stream, says one thing and waits for the first answer.
func firstOf(ctx context.Context, conn *grpc.ClientConn, m apiMethod, req proto.Message, out proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{StreamName: string(m.desc.Name()), ClientStreams: m.desc.IsStreamingClient(), ServerStreams: true}, m.full)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(req); err != nil && err != io.EOF { // EOF: the answer says why
		return err
	}
	if !m.desc.IsStreamingClient() {
		_ = stream.CloseSend()
	}
	return stream.RecvMsg(out)
}

func overREST(w *world, m apiMethod, call matrixCall, p principal, target fixture) outcome {
	verb, path, body := restForm(w.c.t, m, call(w, target))
	req, err := http.NewRequest(verb, "https://"+w.c.configs[0].RESTAddress+path, body)
	if err != nil {
		w.c.t.Fatal(err)
	}
	if p.header != "" {
		req.Header.Set("Authorization", p.header)
	}
	if p.consistency != "" {
		req.Header.Set("X-Consistency", p.consistency)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return outcome{rest: true, broken: true, text: err.Error()}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.c.t.Fatal(err)
	}
	o := outcome{rest: true, text: string(raw)}
	if m.rule == nil {
		if o.unbound = resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed; !o.unbound {
			w.c.t.Errorf("%s has no REST form, and REST answers %d", m.short, resp.StatusCode)
		}
		return o
	}
	if resp.StatusCode >= 300 {
		var problem api.Problem
		if err := json.Unmarshal(raw, &problem); err != nil || problem.Reason == "" || problem.Status != resp.StatusCode {
			w.c.t.Errorf("%s as %s: answer %d is no problem document: %s", m.short, p.name, resp.StatusCode, raw)
		}
		o.reason = problem.Reason
		if problem.Status == http.StatusUnauthorized && resp.Header.Get("WWW-Authenticate") == "" {
			w.c.t.Errorf("%s as %s: 401 without WWW-Authenticate", m.short, p.name)
		}
	}
	for _, h := range []string{"Date", "X-Request-Id"} {
		resp.Header.Del(h)
	}
	o.body = fmt.Appendf(nil, "%d %v\n%s", resp.StatusCode, resp.Header, raw)
	return o
}

// restForm writes a request as the method's http rule says.
func restForm(t testing.TB, m apiMethod, req proto.Message) (verb, path string, body io.Reader) {
	t.Helper()
	if m.rule == nil {
		return http.MethodPost, m.full, nil
	}
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	verb, path = m.verb()
	path = pathFields.ReplaceAllStringFunc(path, func(field string) string {
		name := strings.Trim(field, "{}")
		var value string
		if err := json.Unmarshal(fields[name], &value); err != nil {
			t.Fatalf("%s: the request has no %s: %v", m.short, name, err)
		}
		delete(fields, name)
		return url.PathEscape(value)
	})
	switch b := m.rule.GetBody(); b {
	case "":
		query := url.Values{}
		for name, value := range fields {
			query.Set(name, strings.Trim(string(value), `"`))
		}
		if len(query) > 0 {
			path += "?" + query.Encode()
		}
	case "*":
		if raw, err = json.Marshal(fields); err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	default:
		body = bytes.NewReader(fields[b])
	}
	return verb, path, body
}

var pathFields = regexp.MustCompile(`\{[a-z_]+\}`)
