package controlplane_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/domicile-io/domicile/api"
	_ "github.com/domicile-io/domicile/api/control/v1" // registers the services
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// canary is what a person would write where it does not belong.
const canary = "+353861234567 Aoife"

func withToken(token string) context.Context {
	return metadata.NewOutgoingContext(context.Background(), metadata.Pairs("authorization", "Bearer "+token, "if-match", `"1"`))
}

// TestINV04_NoStringOfAWriteTakesFreeText puts a canary into each string of
// each request of the API, however deep, keys of maps included, and wants a
// refusal that does not repeat it.
func TestINV04_NoStringOfAWriteTakesFreeText(t *testing.T) {
	c := newCluster(t, 1)
	conn, member, node := c.dial(0, mtls.ControlRegion, mtls.Gateway), c.dial(0, mtls.ControlRegion, mtls.ControlPlane), c.dial(0, "ie1", mtls.DataPlane)
	tried := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("domicile.control.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				if m.IsStreamingClient() {
					continue // the node's stream: TestSubscribeRefusals
				}
				conn := conn
				if s.Name() == "MembershipService" || m.Name() == "ReportOperation" { // what members say, by their certificate
					conn = member
				}
				if m.Name() == "ReportPurge" { // what nodes say
					conn = node
				}
				for path, req := range planted(m.Input(), 0) {
					tried++
					placed(req.ProtoReflect())
					out := dynamicpb.NewMessage(m.Output())
					err := conn.Invoke(withToken(operatorToken), "/"+string(s.FullName())+"/"+string(m.Name()), req, out)
					if !names(api.AsError(api.FromGRPC(err)), path) {
						t.Errorf("%s took a canary in %s: %v", m.FullName(), path, err)
					}
					if err != nil && (strings.Contains(err.Error(), "Aoife") || strings.Contains(err.Error(), "353861234567")) {
						t.Errorf("%s repeats the canary of %s: %v", m.FullName(), path, err)
					}
				}
			}
		}
		return true
	})
	if tried < 60 {
		t.Errorf("only %d strings tried: the walk is broken", tried)
	}
	t.Logf("%d strings refused a canary", tried)
}

// placed gives a create its region, without which nothing else of it is looked at.
func placed(m protoreflect.Message) {
	field := map[protoreflect.Name]protoreflect.Name{"CreateTenantRequest": "home_region", "CreateKeyRequest": "region"}[m.Descriptor().Name()]
	if f := m.Descriptor().Fields().ByName(field); f != nil && !m.Has(f) {
		m.Set(f, protoreflect.ValueOfString("ie1"))
	}
}

var subscripts = regexp.MustCompile(`\[[^\]]*\]|\{[^}]*\}`)

// names reports whether the refusal is about the planted field, and not about
// another one that the request lacks.
func names(e *policy.Error, path string) bool {
	if e.Reason == policy.RegionImmutable {
		return path == "home_region"
	}
	want := subscripts.ReplaceAllString(path, "")
	return e.Reason == policy.InvalidArgument && slices.ContainsFunc(e.Fields, func(f policy.FieldError) bool {
		return subscripts.ReplaceAllString(f.Field, "") == want
	})
}

// planted makes a request for each string field, alone with its canary.
func planted(d protoreflect.MessageDescriptor, depth int) map[string]proto.Message {
	out := map[string]proto.Message{}
	if depth > 6 || d.FullName() == "google.protobuf.Timestamp" {
		return out
	}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		name := string(f.Name())
		switch {
		case f.IsMap():
			m := dynamicpb.NewMessage(d)
			entry := m.Mutable(f).Map()
			entry.Set(protoreflect.ValueOfString(canary).MapKey(), entry.NewValue())
			out[name+"{key}"] = m
			for path, inner := range planted(f.MapValue().Message(), depth+1) {
				m := dynamicpb.NewMessage(d)
				m.Mutable(f).Map().Set(protoreflect.ValueOfString("call_record").MapKey(), protoreflect.ValueOfMessage(inner.ProtoReflect()))
				out[name+"{}."+path] = m
			}
		case f.Kind() == protoreflect.StringKind && f.IsList():
			m := dynamicpb.NewMessage(d)
			m.Mutable(f).List().Append(protoreflect.ValueOfString(canary))
			out[name] = m
		case f.Kind() == protoreflect.StringKind:
			m := dynamicpb.NewMessage(d)
			m.Set(f, protoreflect.ValueOfString(canary))
			out[name] = m
		case f.Kind() == protoreflect.MessageKind:
			for path, inner := range planted(f.Message(), depth+1) {
				m := dynamicpb.NewMessage(d)
				if f.IsList() {
					m.Mutable(f).List().Append(protoreflect.ValueOfMessage(inner.ProtoReflect()))
				} else {
					m.Set(f, protoreflect.ValueOfMessage(inner.ProtoReflect()))
				}
				out[name+"."+path] = m
			}
		}
	}
	return out
}
