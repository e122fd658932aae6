package server

import (
	"encoding/json"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// mask names the fields of an answer that its caller wants (AIP-157), or of a
// request that change (AIP-134): names of one level, as in JSON. In a message it
// is a string with commas, which is how JSON writes a FieldMask.
type mask []string

// parseMask checks names against a message.
func parseMask(given string, of protoreflect.MessageDescriptor) (mask, error) {
	if given == "" || of == nil {
		return nil, nil
	}
	names := strings.Split(given, ",")
	for _, name := range names {
		if of.Fields().ByName(protoreflect.Name(name)) == nil {
			return nil, fieldError("read_mask", "names a field that the answer does not have; the OpenAPI document lists its fields")
		}
	}
	return names, nil
}

// prune clears what the caller does not want, in the answer or in each element.
func (k mask) prune(answer protoreflect.Message) {
	list := listOf(answer.Descriptor())
	if list == nil {
		k.clear(answer)
		return
	}
	elements := answer.Get(list).List()
	for i := range elements.Len() {
		k.clear(elements.Get(i).Message())
	}
}

func (k mask) clear(m protoreflect.Message) {
	for i := range m.Descriptor().Fields().Len() {
		if f := m.Descriptor().Fields().Get(i); !slices.Contains(k, string(f.Name())) {
			m.Clear(f)
		}
	}
}

// maskUpdate applies a request's update_mask: what it names must be there, and
// what is there and not named is left alone.
func maskUpdate(m protoreflect.Message) error {
	given := text(m, "update_mask")
	if given == "" {
		return nil
	}
	names := strings.Split(given, ",")
	fields := m.Descriptor().Fields()
	for _, name := range names {
		f := fields.ByName(protoreflect.Name(name))
		if f == nil || !f.HasOptionalKeyword() {
			return fieldError("update_mask", "names a field that this update cannot change; the OpenAPI document lists them")
		}
		if !m.Has(f) {
			return fieldError(name, "is named in update_mask and missing; nothing of this update can be cleared")
		}
	}
	for i := range fields.Len() {
		if f := fields.Get(i); f.HasOptionalKeyword() && !slices.Contains(names, string(f.Name())) {
			m.Clear(f)
		}
	}
	return nil
}

// masked is an answer of which JSON shows some fields only: what was pruned
// would otherwise be written as empty, and look as if it were.
type masked struct {
	answer proto.Message
	mask   mask
}

// shrink takes the fields that were pruned out of an answer's JSON.
func (m masked) shrink(whole []byte) ([]byte, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(whole, &object); err != nil {
		return nil, err
	}
	list := listOf(m.answer.ProtoReflect().Descriptor())
	if list == nil {
		return json.Marshal(m.only(object))
	}
	var elements []map[string]json.RawMessage
	if err := json.Unmarshal(object[string(list.Name())], &elements); err != nil {
		return nil, err
	}
	for i := range elements {
		elements[i] = m.only(elements[i])
	}
	raw, err := json.Marshal(elements)
	if err != nil {
		return nil, err
	}
	object[string(list.Name())] = raw
	return json.Marshal(object)
}

func (m masked) only(object map[string]json.RawMessage) map[string]json.RawMessage {
	out := make(map[string]json.RawMessage, len(m.mask))
	for _, name := range m.mask {
		if v, ok := object[name]; ok {
			out[name] = v
		}
	}
	return out
}
