package server

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// A name that were a 64-bit counter in one message and a text in another would
// have its texts unquoted.
func TestNamesOfCountersAreNamesOfCountersOnly(t *testing.T) {
	long := map[string]bool{}
	files := []protoreflect.FileDescriptor{controlv1.File_control_v1_tenants_proto, controlv1.File_control_v1_policies_proto, controlv1.File_control_v1_regions_proto}
	each := func(f func(protoreflect.FieldDescriptor)) {
		for _, file := range files {
			for i := range file.Messages().Len() {
				m := file.Messages().Get(i)
				for k := range m.Fields().Len() {
					f(m.Fields().Get(k))
				}
			}
		}
	}
	each(func(f protoreflect.FieldDescriptor) {
		if f.Kind() == protoreflect.Uint64Kind || f.Kind() == protoreflect.Int64Kind {
			long[string(f.Name())] = true
		}
	})
	if !long["revision"] {
		t.Fatal("void: revision is no 64-bit field")
	}
	each(func(f protoreflect.FieldDescriptor) {
		if long[string(f.Name())] && f.Kind() == protoreflect.StringKind {
			t.Errorf("%s is a text; rename it", f.FullName())
		}
	})
}

func TestCountersInsideTextsStay(t *testing.T) {
	b, err := newRESTJSON().Marshal(&controlv1.Violation{Id: `"revision":"7"`, Revision: 1<<53 - 1})
	if err != nil {
		t.Fatal(err)
	}
	if s := string(b); !strings.Contains(s, `"\"revision\":\"7\""`) || !strings.Contains(strings.ReplaceAll(s, " ", ""), `"revision":9007199254740991,`) {
		t.Errorf("%s", s)
	}
}
