package client

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// Control is the control plane's REST surface. Its methods may be called
// concurrently. Lists read every page; their filters are those of the API, and
// each must be met.
type Control struct {
	BaseURL  string        // https://host:port
	Token    string        // bearer token of a person or program
	HTTP     *http.Client  // nil: http.DefaultClient
	Patience time.Duration // how long to repeat what answered "not now"; 0: not at all
	Seen     *Freshness    // carried from answer to request; nil: each read is as fresh as the leader's, and no more
}

// The largest page that the control plane gives.
const pageSize = "1000"

var (
	marshal   = protojson.MarshalOptions{UseProtoNames: true}
	unmarshal = protojson.UnmarshalOptions{DiscardUnknown: true} // a newer server may say more
)

func (c *Control) wire() wire {
	return wire{base: c.BaseURL, bearer: c.Token, http: c.HTTP, patience: c.Patience, seen: c.Seen}
}

func (c *Control) proto(ctx context.Context, r request, in, out proto.Message) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = marshal.Marshal(withoutPath(in, r.path)); err != nil {
			return err
		}
	}
	return c.wire().exchange(ctx, r, body, func(b []byte) error {
		if out == nil {
			return nil
		}
		return unmarshal.Unmarshal(b, out)
	})
}

func (c *Control) get(ctx context.Context, path string, query url.Values, out proto.Message) error {
	return c.proto(ctx, request{method: http.MethodGet, path: path, query: query}, nil, out)
}

// collections are the path segments before an id, by the field that the id is.
var collections = map[protoreflect.Name]string{"tenant": "tenants", "recipient": "recipients", "key": "keys", "signing_key": "signing_keys", "region": "regions",
	"change": "changes", "basis": "bases", "feature": "features", "country": "entities", "node": "nodes", "violation": "violations", "member": "members"}

// withoutPath leaves out the fields that the path carries; the server refuses a
// body that repeats one.
func withoutPath(in proto.Message, path string) proto.Message {
	out := proto.Clone(in)
	segments := strings.FieldsFunc(path, func(c rune) bool { return c == '/' || c == ':' })
	in.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if i := slices.Index(segments, collections[f.Name()]); i >= 0 && i+1 < len(segments) {
			out.ProtoReflect().Clear(f)
		}
		return true
	})
	return out
}

func (c *Control) post(ctx context.Context, path string, in, out proto.Message) error {
	return c.proto(ctx, request{method: http.MethodPost, path: path}, in, out)
}

// put, patch and delete of what exists need the etag that was read; "" sends none.
func (c *Control) conditional(ctx context.Context, method, path, etag string, in, out proto.Message) error {
	r := request{method: method, path: path, header: http.Header{}}
	if etag != "" {
		r.header.Set("If-Match", etag)
	}
	return c.proto(ctx, r, in, out)
}

// narrowed adds conditions on fields of the elements, such as state = "active",
// to the query of a list: each must be met. A filter may itself join conditions
// by AND, and a list takes at most eight; "" is none.
func narrowed(query url.Values, filters []string) url.Values {
	if query == nil {
		query = url.Values{}
	}
	filters = slices.DeleteFunc(slices.Clone(filters), func(f string) bool { return f == "" })
	if len(filters) > 0 {
		query.Set("filter", strings.Join(filters, " AND "))
	}
	return query
}

// pages calls one for each page until it returns no next token.
func pages(query url.Values, one func(url.Values) (next string, err error)) error {
	if query == nil {
		query = url.Values{}
	}
	query.Set("page_size", pageSize)
	for {
		next, err := one(query)
		if err != nil || next == "" {
			return err
		}
		query.Set("page_token", next)
	}
}

// Ready asks whether the voter behind BaseURL can serve.
func (c *Control) Ready(ctx context.Context) error {
	return c.get(ctx, "/readyz", nil, nil)
}

// Status says who leads and how far the cluster is.
func (c *Control) Status(ctx context.Context) (*controlv1.ClusterStatus, error) {
	out := &controlv1.ClusterStatus{}
	return out, c.get(ctx, "/v1/status", nil, out)
}
