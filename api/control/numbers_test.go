package control

import (
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// Every 64-bit field of every message is a number up to 2^53, exactly, and beyond
// a string; no other field is touched, whatever stands in it.
func TestNumbers(t *testing.T) {
	form := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}
	names, others, fields := map[string]bool{}, map[string]bool{}, 0
	Messages(func(d protoreflect.MessageDescriptor) {
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			if !is64(f) {
				if f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.EnumKind || f.Kind() == protoreflect.BytesKind { // quoted, too
					others[string(f.Name())] = true
				}
				continue
			}
			names[string(f.Name())] = true
			if f.IsList() || f.IsMap() {
				t.Errorf("%s holds several 64-bit integers, which Numbers does not find", f.FullName())
				continue
			}
			for _, n := range []int64{0, 1, MaxNumber, MaxNumber + 1} {
				m := dynamicpb.NewMessage(d)
				if f.Kind() == protoreflect.Uint64Kind {
					m.Set(f, protoreflect.ValueOfUint64(uint64(n)))
				} else {
					m.Set(f, protoreflect.ValueOfInt64(n))
				}
				raw, err := form.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				var got map[string]any
				if err := json.Unmarshal(Numbers(raw), &got); err != nil {
					t.Fatalf("%s: %v", f.FullName(), err)
				}
				if x, number := got[string(f.Name())].(float64); number != (n <= MaxNumber) || number && int64(x) != n {
					t.Errorf("%s of %d is given as %v", f.FullName(), n, got[string(f.Name())])
				}
				fields++
			}
		}
	})
	for name := range names {
		if others[name] {
			t.Errorf("%s names a 64-bit integer in one message and a text in another", name)
		}
	}
	if len(names) < 10 || fields < 40 {
		t.Errorf("only %d names and %d fields were found", len(names), fields)
	}
	text := `say "revision": "7" twice`
	raw, err := form.Marshal(&controlv1.Member{Name: text})
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Name string }
	if err := json.Unmarshal(Numbers(raw), &got); err != nil || got.Name != text || strings.Contains(string(Numbers(raw)), `"revision": 7`) {
		t.Errorf("a text became %q: %v", got.Name, err)
	}
}
