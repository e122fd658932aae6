package server

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A page's token is bound to its query wherever an answer can carry one.
func TestEveryAnswerWithAPageIsBoundToItsQuery(t *testing.T) {
	seen := 0
	for method := range permissions {
		service, name, err := splitMethod(method)
		if err != nil {
			t.Fatal(err)
		}
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
		if err != nil {
			continue // not of the API: gRPC's own
		}
		m := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(name))
		if m.Output().Fields().ByName("next_page_token") == nil {
			continue
		}
		seen++
		in, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
		if err != nil {
			t.Fatal(err)
		}
		if !paged(in.New(), method) {
			t.Errorf("%s answers with a page, and its token belongs to no query", method)
		}
	}
	if seen < 10 {
		t.Errorf("only %d methods answer with a page", seen)
	}
}

// unlisted are lists that lack a field which every list has, and why.
var unlisted = map[string]string{}

// Every list pages, filters and masks: the helpers around the handlers give it
// that, as long as its messages declare the fields.
func TestEveryListHasTheShapeOfLists(t *testing.T) {
	lists := 0
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				if f.Package() != "domicile.control.v1" || !strings.HasPrefix(string(m.Name()), "List") {
					continue
				}
				lists++
				lacks := lacking(m)
				if why := unlisted[string(m.Name())]; (lacks == "") != (why == "") {
					t.Errorf("%s lacks %q; listed among the exceptions: %q", m.FullName(), lacks, why)
				}
			}
		}
		return true
	})
	if lists < 16 {
		t.Errorf("only %d lists were found", lists)
	}
}

// lacking names what a list's messages do not have.
func lacking(m protoreflect.MethodDescriptor) (names string) {
	for _, x := range []struct {
		of   protoreflect.MessageDescriptor
		name protoreflect.Name
		kind protoreflect.Kind
	}{{m.Input(), "page_size", protoreflect.Int32Kind}, {m.Input(), "page_token", protoreflect.StringKind}, {m.Input(), "filter", protoreflect.StringKind},
		{m.Input(), "read_mask", protoreflect.StringKind}, {m.Output(), "next_page_token", protoreflect.StringKind}} {
		if f := x.of.Fields().ByName(x.name); f == nil || f.Kind() != x.kind || f.IsList() {
			names += string(x.name) + " "
		}
	}
	if listOf(m.Output()) == nil {
		names += "elements that are messages"
	}
	return names
}
