package record_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// Every field of Record, nested ones too, has a class and a transform.
func TestEveryFieldIsClassed(t *testing.T) {
	if got := record.Unclassified(); len(got) != 0 {
		t.Errorf("class these in the field table, or take them out of it: %v", got)
	}
	paths := record.Leaves(reflect.TypeFor[record.Record](), "")
	for i, f := range record.Fields() {
		if i >= len(paths) || f.Path != paths[i] {
			t.Fatalf("row %d is %s: the table must have the order of Record", i, f.Path)
		}
	}
	if n := len(record.Fields()); n != len(paths) {
		t.Errorf("%d rows, %d fields", n, len(paths))
	}
}

// A field without a row, a row without a field, and a row that is not whole are
// each found.
func TestMissingFindsGaps(t *testing.T) {
	type inner struct{ B int }
	type sample struct {
		A string
		I inner
	}
	paths := record.Leaves(reflect.TypeFor[sample](), "")
	whole := []record.Field{{"A", policy.Content, record.Drop, ""}, {"I.B", policy.QuasiID, record.Keep, "b"}}
	for name, c := range map[string]struct {
		rows []record.Field
		want []string
	}{
		"whole":                {whole, nil},
		"nothing":              {nil, []string{"A", "I.B"}},
		"a nested field":       {whole[:1], []string{"I.B"}},
		"a row too many":       {append(slices.Clone(whole), record.Field{"C", policy.Content, record.Drop, ""}), []string{"C"}},
		"no class":             {[]record.Field{{"A", 0, record.Drop, ""}, whole[1]}, []string{"A"}},
		"no transform":         {[]record.Field{{"A", policy.Content, "", "a"}, whole[1]}, []string{"A"}},
		"dropped but named":    {[]record.Field{{"A", policy.Content, record.Drop, "a"}, whole[1]}, []string{"A"}},
		"crosses without name": {[]record.Field{{"A", policy.Content, record.Keep, ""}, whole[1]}, []string{"A"}},
	} {
		if got := record.Missing(paths, c.rows); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestINV17_OnlyGeneralisedFieldsCross: content and sensitive fields are
// dropped, and what identifies directly crosses at most as a pseudonym of the
// random subject id.
func TestINV17_OnlyGeneralisedFieldsCross(t *testing.T) {
	for _, f := range record.Fields() {
		switch f.Class {
		case policy.Content, policy.Sensitive:
			if f.Transform != record.Drop {
				t.Errorf("%s is content and would cross as %s", f.Path, f.Transform)
			}
		case policy.DirectID:
			if f.Transform != record.Drop && f.Transform != record.Pseudonym {
				t.Errorf("%s identifies and would cross as %s", f.Path, f.Transform)
			}
		}
		subject := f.Path == "From.Subject" || f.Path == "To.Subject"
		if (f.Transform == record.Pseudonym) != subject {
			t.Errorf("%s: pseudonyms are made of subject ids, and of nothing else (INV13)", f.Path)
		}
	}
}

// The table, the wire form and the rows that are really made name the same fields.
func TestExportedFieldsAreTheWiresFields(t *testing.T) {
	var wire []string
	for f := range reflect.TypeFor[data.PseudonymRow]().Fields() {
		name := f.Tag.Get("json")
		for i := range name {
			if name[i] == ',' {
				name = name[:i]
				break
			}
		}
		wire = append(wire, name)
	}
	got := record.ExportedFields()
	if got[0] != "row" {
		t.Errorf("the first field is %s", got[0])
	}
	slices.Sort(wire)
	slices.Sort(got)
	if !slices.Equal(got, wire) {
		t.Errorf("the table lets %v cross, the wire has %v", got, wire)
	}
}

// The hash stands in policies and transfer records: a change of it is a change
// of what crosses, which somebody must have meant.
func TestAllowListHashIsPinned(t *testing.T) {
	want := policy.ExportSchemaHash(policy.DefaultTransforms) // what the control plane tells receivers
	if got := record.AllowListHash(); got != want {
		t.Errorf("the export schema changed: hash %s, the control plane says %s", got, want)
	}
}
