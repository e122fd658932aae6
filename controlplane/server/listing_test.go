package server

import (
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
