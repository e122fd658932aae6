package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// restJSON is protojson made as strict as the OpenAPI document. It differs in
// three things:
//
//   - 64-bit integers are written as numbers, see [control.Numbers].
//   - A body's names are those of the document (snake_case); protojson would
//     take camelCase for the same field.
//   - A body does not repeat a field that the path carries: the path would win
//     unseen, and the caller may have meant the other one.
type restJSON struct {
	runtime.JSONPb
	inPath map[protoreflect.Name]bool // fields of requests that the path carries, as message.field
}

// Mistakes of a body. Their texts are ours: protojson's may quote the caller.
var (
	errUnknownName = errors.New("unknown field")
	errPathField   = errors.New("field of the path")
)

func newRESTJSON() *restJSON {
	j := &restJSON{JSONPb: runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true},
		UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false}},
		inPath: map[protoreflect.Name]bool{}}
	protoregistry.GlobalFiles.RangeFilesByPackage(controlv1.File_control_v1_tenants_proto.Package(), func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for k := range methods.Len() {
				j.pathFields(methods.Get(k))
			}
		}
		return true
	})
	return j
}

// pathFields notes what the path of a method with a whole message as body carries.
func (j *restJSON) pathFields(m protoreflect.MethodDescriptor) {
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if rule.GetBody() != "*" {
		return
	}
	for _, part := range strings.Split(rule.GetPost()+rule.GetPut()+rule.GetPatch(), "{")[1:] {
		name, _, _ := strings.Cut(part, "}")
		j.inPath[m.Input().Name()+"."+protoreflect.Name(name)] = true
	}
}

// Marshal implements runtime.Marshaler.
func (j *restJSON) Marshal(v any) ([]byte, error) {
	if m, ok := v.(masked); ok {
		whole, err := j.Marshal(m.answer)
		if err != nil {
			return nil, err
		}
		return m.shrink(whole)
	}
	b, err := j.JSONPb.Marshal(v)
	if err != nil {
		return nil, err
	}
	return control.Numbers(b), nil
}

// NewDecoder implements runtime.Marshaler. The body was bounded and found to be
// one JSON value before.
func (j *restJSON) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return io.EOF // the generated code takes it for an empty message
		}
		m, err := messageAt(v)
		if err != nil {
			return err
		}
		if err := j.checkNames(body, m.ProtoReflect().Descriptor()); err != nil {
			return err
		}
		return j.UnmarshalOptions.Unmarshal(body, m)
	})
}

// messageAt gives the message that v points to: v is one, or points to a field
// that holds one.
func messageAt(v any) (proto.Message, error) {
	if m, ok := v.(proto.Message); ok {
		return m, nil
	}
	field := reflect.ValueOf(v).Elem()
	if field.Kind() != reflect.Pointer {
		return nil, fmt.Errorf("%T is no message", v)
	}
	field.Set(reflect.New(field.Type().Elem()))
	m, ok := field.Interface().(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}
	return m, nil
}

// checkNames looks at names only; protojson, which comes next, at everything else.
func (j *restJSON) checkNames(body []byte, m protoreflect.MessageDescriptor) error {
	if strings.HasPrefix(string(m.FullName()), "google.protobuf.") {
		return nil // these have forms of their own
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil {
		return nil
	}
	for name, value := range object {
		f := m.Fields().ByName(protoreflect.Name(name))
		if f == nil {
			return errUnknownName
		}
		if j.inPath[m.Name()+"."+f.Name()] {
			return errPathField
		}
		if err := j.checkValue(value, f); err != nil {
			return err
		}
	}
	return nil
}

func (j *restJSON) checkValue(value json.RawMessage, f protoreflect.FieldDescriptor) error {
	inside := f.Message()
	var parts []json.RawMessage
	switch {
	case f.IsMap():
		inside = f.MapValue().Message()
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) == nil {
			parts = slices.Collect(maps.Values(object))
		}
	case f.IsList():
		if json.Unmarshal(value, &parts) != nil {
			parts = nil
		}
	default:
		parts = []json.RawMessage{value}
	}
	if inside == nil {
		return nil
	}
	for _, part := range parts {
		if err := j.checkNames(part, inside); err != nil {
			return err
		}
	}
	return nil
}
