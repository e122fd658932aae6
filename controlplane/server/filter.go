package server

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// condition is one comparison of a filter.
type condition struct {
	field protoreflect.FieldDescriptor
	not   bool
	value string
}

// filter is all conditions that an element must meet. It is the part of AIP-160
// that needs no language: field = "value" and field != value, joined by AND.
type filter []condition

var comparison = regexp.MustCompile(`^([a-z_]+) ?(!?=) ?(?:"([^"]*)"|([A-Za-z0-9_.:-]+))$`)

// parseFilter reads a filter over the fields of a list's elements: strings,
// booleans and numbers. The form was checked before.
func parseFilter(given string, of protoreflect.MessageDescriptor) (filter, error) {
	if given == "" || of == nil {
		return nil, nil
	}
	var out filter
	for _, part := range strings.Split(given, " AND ") {
		m := comparison.FindStringSubmatch(part)
		if m == nil {
			return nil, fieldError("filter", `must be field = "value", joined by AND`)
		}
		f := of.Fields().ByName(protoreflect.Name(m[1]))
		if f == nil || f.Cardinality() == protoreflect.Repeated || f.Message() != nil || f.Kind() == protoreflect.BytesKind {
			return nil, fieldError("filter", "names a field that the elements do not have, or that cannot be compared; the OpenAPI document lists their fields")
		}
		out = append(out, condition{field: f, not: m[2] == "!=", value: m[3] + m[4]})
	}
	return out, nil
}

// keep drops the elements of an answer that do not meet the filter.
func (f filter) keep(answer protoreflect.Message) {
	field := listOf(answer.Descriptor())
	if len(f) == 0 || field == nil || !answer.Has(field) {
		return
	}
	list := answer.Mutable(field).List()
	kept := 0
	for i := range list.Len() {
		if f.meets(list.Get(i).Message()) {
			list.Set(kept, list.Get(i))
			kept++
		}
	}
	list.Truncate(kept)
}

func (f filter) meets(m protoreflect.Message) bool {
	return !slices.ContainsFunc(f, func(c condition) bool { return (written(c.field, m.Get(c.field)) == c.value) == c.not })
}

// written is a scalar as a filter writes it.
func written(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return strconv.FormatBool(v.Bool())
	case protoreflect.StringKind:
		return v.String()
	case protoreflect.EnumKind:
		return strconv.Itoa(int(v.Enum()))
	}
	return v.String() // numbers, in decimal
}
