package server

import (
	"cmp"
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// listings are the answers of all lists of the API.
func listings() (out []protoreflect.MessageDescriptor) {
	of := controlv1.File_control_v1_catalogue_proto.Package()
	protoregistry.GlobalFiles.RangeFilesByPackage(of, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Messages().Len() {
			if d := file.Messages().Get(i); listOf(d) != nil {
				out = append(out, d)
			}
		}
		return true
	})
	slices.SortFunc(out, func(a, b protoreflect.MessageDescriptor) int { return cmp.Compare(a.FullName(), b.FullName()) })
	return out
}

// oneOf is an answer with one element, whose fields are not set.
func oneOf(d protoreflect.MessageDescriptor) protoreflect.Message {
	m := dynamicpb.NewMessage(d)
	list := m.Mutable(listOf(d)).List()
	list.AppendMutable()
	return m
}

// FuzzFilter: whatever passes as a filter, of any list, keeps an element or drops
// it, and its negation does the other.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{`home_region = "ie1"`, `slug != "a" AND revision=3`, `state=ACTIVE`, `a`, `x = "`, " AND "} {
		f.Add(s, uint8(0))
	}
	lists := listings()
	if len(lists) < 5 {
		f.Fatalf("only %d lists were found", len(lists))
	}
	f.Fuzz(func(t *testing.T, given string, which uint8) {
		d := lists[int(which)%len(lists)]
		got, err := parseFilter(given, listOf(d).Message())
		if err != nil || len(got) != 1 {
			return
		}
		a, b := oneOf(d), oneOf(d)
		got.keep(a)
		got[0].not = !got[0].not
		got.keep(b)
		if n := a.Get(listOf(d)).List().Len() + b.Get(listOf(d)).List().Len(); n != 1 {
			t.Fatalf("%q and its negation keep %d of one element", given, n)
		}
	})
}

// FuzzMask: whatever passes as a mask names fields, and all others are cleared.
func FuzzMask(f *testing.F) {
	for _, s := range []string{"slug", "slug,home_region", ",", "slug,slug", "a.b"} {
		f.Add(s, uint8(0))
	}
	lists := listings()
	f.Fuzz(func(t *testing.T, given string, which uint8) {
		d := lists[int(which)%len(lists)]
		k, err := parseMask(given, listOf(d).Message())
		if err != nil || len(k) == 0 {
			return
		}
		for _, name := range k {
			if listOf(d).Message().Fields().ByName(protoreflect.Name(name)) == nil {
				t.Fatalf("%q is no field", name)
			}
		}
		k.prune(oneOf(d))
	})
}
