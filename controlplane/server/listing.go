package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// What all reads and lists of the API have in common stands around their
// handlers, so that a new list has it by declaring the fields: tokens of pages
// that are bound to their query, filters, masks (docs/adr/0026).

// shaped handles a request whose page token, filter and masks are those of the
// API, by a handler that knows inner tokens only.
func shaped(ctx context.Context, c call, req any, handle grpc.UnaryHandler) (any, error) {
	in, ok := req.(proto.Message)
	if !ok {
		return handle(ctx, req)
	}
	in = proto.Clone(in) // the caller's message may be used again: a retry of ours, a log
	m := in.ProtoReflect()
	if err := maskUpdate(m); err != nil {
		return nil, err
	}
	where, mask, err := chosen(m, c.method)
	if err != nil {
		return nil, err
	}
	bind := bound{}
	if paged(m, c.method) { // most calls are of no list
		bind = boundTo(c, in)
	}
	if token := text(m, "page_token"); token != "" {
		inner, ok := unbindToken(token, bind)
		if !ok {
			return nil, fieldError("page_token", "must be the next_page_token of the page before, of the very same query")
		}
		m.Set(m.Descriptor().Fields().ByName("page_token"), protoreflect.ValueOfString(inner))
	}
	resp, err := handle(ctx, in)
	out, ok := resp.(proto.Message)
	if err != nil || !ok || !out.ProtoReflect().IsValid() {
		return resp, err
	}
	r := out.ProtoReflect()
	if next := text(r, "next_page_token"); next != "" {
		r.Set(r.Descriptor().Fields().ByName("next_page_token"), protoreflect.ValueOfString(bindToken(next, bind)))
	}
	where.keep(r)
	if len(mask) == 0 {
		return resp, nil
	}
	mask.prune(r)
	return resp, setHeader(ctx, mdReadMask, strings.Join(mask, ","))
}

// chosen is what the request's filter and read_mask leave of the answer.
func chosen(m protoreflect.Message, method string) (where filter, read mask, err error) {
	filterText, maskText := text(m, "filter"), text(m, "read_mask")
	if filterText == "" && maskText == "" {
		return nil, nil, nil
	}
	elements := elementsOf(method)
	if where, err = parseFilter(filterText, elements); err != nil {
		return nil, nil, err
	}
	read, err = parseMask(maskText, elements)
	return where, read, err
}

// paged reports whether a method takes a page's token, or its answer may begin a list.
func paged(m protoreflect.Message, method string) bool {
	return m.Descriptor().Fields().ByName("page_token") != nil || method == controlv1.BasisService_RevokeBasis_FullMethodName
}

// text is a string field; "" when the message has no such field.
func text(m protoreflect.Message, name protoreflect.Name) string {
	f := m.Descriptor().Fields().ByName(name)
	if f == nil || f.Kind() != protoreflect.StringKind || f.IsList() {
		return ""
	}
	return m.Get(f).String()
}

// elementsOf is what a method's answer holds: the message itself, or the
// elements of its one list; nil for methods that are unknown.
func elementsOf(method string) protoreflect.MessageDescriptor {
	out, err := answerOf(method)
	if err != nil {
		return nil
	}
	d := out.ProtoReflect().Descriptor()
	if f := listOf(d); f != nil {
		return f.Message()
	}
	return d
}

// listOf is the field of an answer's elements; nil when it is no page of a list.
func listOf(d protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	if d.Fields().ByName("next_page_token") == nil {
		return nil
	}
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); f.IsList() && f.Message() != nil {
			return f
		}
	}
	return nil
}

// bound is what a page's token belongs to.
type bound [8]byte

// boundTo is over method, whose view it is, and the query without its page. A
// token says where to go on, which is nobody's secret: it needs no key, but one
// of another query would silently begin somewhere.
func boundTo(c call, req proto.Message) bound {
	method := c.method
	if r, ok := req.(*controlv1.RevokeBasisRequest); ok { // its answer begins the list of flows
		method, req = controlv1.BasisService_ListBasisFlows_FullMethodName, &controlv1.ListBasisFlowsRequest{Basis: r.GetBasis()}
	}
	query := proto.Clone(req).ProtoReflect()
	for _, name := range []protoreflect.Name{"page_token", "page_size", "read_mask"} {
		if f := query.Descriptor().Fields().ByName(name); f != nil {
			query.Clear(f)
		}
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(query.Interface())
	if err != nil {
		return bound{} // of a message that was just parsed: cannot be
	}
	sum := sha256.Sum256(append([]byte(method+"\n"+string(c.tenant)+"\n"+string(c.region)+"\n"), raw...))
	return bound(sum[:8])
}

func bindToken(inner string, b bound) string {
	return base64.RawURLEncoding.EncodeToString(append(b[:], inner...))
}

func unbindToken(token string, b bound) (inner string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) <= len(b) || bound(raw[:len(b)]) != b {
		return "", false
	}
	return string(raw[len(b):]), true
}
