package control

import (
	"encoding"
	"fmt"
	"slices"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// builder collects every bad field, so that a caller mends all of them at once.
type builder struct {
	prefix string
	fields []policy.FieldError
}

// bad notes a field. The message never holds the value: it may be personal.
func (b *builder) bad(path, message string) {
	b.fields = append(b.fields, policy.FieldError{Field: field(b.prefix, path), Message: message})
}

func (b *builder) err() error {
	if len(b.fields) == 0 {
		return nil
	}
	e := policy.Errorf(policy.InvalidArgument, "%d field(s) are invalid; errors names each", len(b.fields))
	e.Fields = b.fields
	return e
}

// closed reads a name of a closed list; "" leaves dst as it is.
func (b *builder) closed(dst encoding.TextUnmarshaler, text, path string) {
	if text == "" {
		return
	}
	if err := dst.UnmarshalText([]byte(text)); err != nil {
		b.bad(path, "is not one of the closed list")
	}
}

func (b *builder) classes(in map[string]*controlv1.ClassRule) map[policy.DataClass]policy.ClassRule {
	out := make(map[policy.DataClass]policy.ClassRule, len(in))
	for _, k := range sortedKeys(in) {
		class, err := policy.ParseDataClass(k)
		if err != nil {
			b.bad("classes", "a key is not one of the data classes")
			continue
		}
		r := in[k]
		rule := policy.ClassRule{Retention: policy.Seconds(r.GetRetention()), RedactProfile: r.GetRedactProfile()}
		b.closed(&rule.Mode, r.GetMode(), fmt.Sprintf("classes[%s].mode", class))
		out[class] = rule
	}
	return out
}

func (b *builder) egress(in map[string]*controlv1.EgressRule) map[policy.EgressClass]policy.EgressRule {
	out := make(map[policy.EgressClass]policy.EgressRule, len(in))
	for _, k := range sortedKeys(in) {
		class, err := policy.ParseEgressClass(k)
		if err != nil {
			b.bad("egress", "a key is not one of the egress classes")
			continue
		}
		r := in[k]
		rule := policy.EgressRule{PerDay: uint64(r.GetPerDay()), Basis: r.GetBasis()}
		b.closed(&rule.Effect, r.GetEffect(), fmt.Sprintf("egress[%s].effect", class))
		out[class] = rule
	}
	return out
}

// recipients: a list that is left out is a mistake to name, never an allow and
// never a silent deny, because an empty allow-list must be written as deny_all.
func (b *builder) recipients(in *controlv1.RecipientList) policy.Recipients {
	if in == nil {
		b.bad("recipients", "is required: name the recipients, or write deny_all: true")
		return policy.Recipients{DenyAll: true}
	}
	out := policy.Recipients{DenyAll: in.GetDenyAll()}
	for _, r := range in.GetList() {
		out.List = append(out.List, RecipientFrom(r))
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
