package control

import (
	"regexp"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// MaxNumber is the greatest integer that every reader of JSON holds exactly
// (RFC 8259 section 6).
const MaxNumber = 1 << 53

// Numbers writes the 64-bit integers of a message's JSON as numbers, where
// protojson quotes them: the API's answers and the command line's -o json. One
// beyond MaxNumber, which nothing here counts to, stays a string rather than be
// read as another number. b is what protojson made of a message of control/v1.
func Numbers(b []byte) []byte {
	return long().ReplaceAllFunc(b, func(field []byte) []byte {
		at := strings.LastIndexByte(string(field[:len(field)-1]), '"')
		digits := field[at+1 : len(field)-1]
		if n, err := strconv.ParseInt(string(digits), 10, 64); err != nil || n > MaxNumber || n < -MaxNumber {
			return field
		}
		return append(append([]byte(nil), field[:at]...), digits...)
	})
}

// long finds a 64-bit field in protojson's output. No text can hold this: in a
// JSON string the quotes would be escaped. TestNumbers holds the messages to what
// it supposes: no text has such a name, and none is repeated or in a map.
var long = sync.OnceValue(func() *regexp.Regexp {
	names := map[string]bool{}
	Messages(func(m protoreflect.MessageDescriptor) {
		for i := range m.Fields().Len() {
			if f := m.Fields().Get(i); is64(f) {
				names[string(f.Name())] = true
			}
		}
	})
	all := make([]string, 0, len(names))
	for name := range names {
		all = append(all, name)
	}
	return regexp.MustCompile(`"(?:` + strings.Join(all, "|") + `)": *"-?[0-9]+"`)
})

// Messages visits every message of control/v1, nested ones included.
func Messages(visit func(protoreflect.MessageDescriptor)) {
	var all func(protoreflect.MessageDescriptors)
	all = func(ms protoreflect.MessageDescriptors) {
		for i := range ms.Len() {
			visit(ms.Get(i))
			all(ms.Get(i).Messages())
		}
	}
	protoregistry.GlobalFiles.RangeFilesByPackage(controlv1.File_control_v1_tenants_proto.Package(), func(file protoreflect.FileDescriptor) bool {
		all(file.Messages())
		return true
	})
}

func is64(f protoreflect.FieldDescriptor) bool {
	switch f.Kind() {
	case protoreflect.Int64Kind, protoreflect.Uint64Kind, protoreflect.Sint64Kind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return true
	}
	return false
}
