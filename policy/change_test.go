package policy

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// fullPolicy sets every field, so that reflection finds something to change.
func fullPolicy() *ResidencyPolicy {
	p := DefaultPolicy(tenantN(1), ireland, "DOM-IE")
	p.Revision = 7
	p.Classes = map[DataClass]ClassRule{CallRecord: {Mode: Sealed, Retention: 86400, RedactProfile: "strict"}}
	p.Egress = map[EgressClass]EgressRule{PseudonymisedExport: {Effect: Cap, PerDay: 5, Basis: "SCC"}}
	p.Recipients = Recipients{List: []Recipient{{ID: recipientN(1), Region: "us1", Purpose: "fraud", Transforms: "standard",
		Threshold: 10, Colluding: 3, AssessmentHash: strings.Repeat("a", 64), AssessmentExpiry: testNow}}}
	p.Access.AllowedReasons = []string{"CUSTOMER_INITIATED_SUPPORT"}
	p.Consent = map[DataClass][]string{Transcript: {"analytics"}}
	p.Signatures = []Signature{{KeyID: strings.Repeat("b", 32), Value: strings.Repeat("A", 86) + "=="}}
	return &p
}

// TestClassifySeesEveryField changes every field of the policy, found by
// reflection, and demands that Classify names it. Who adds a field to the
// policy has to say which way changing it goes.
func TestClassifySeesEveryField(t *testing.T) {
	notRules := map[string]bool{"Revision": true, "Signatures[0].KeyID": true, "Signatures[0].Value": true}
	seen := 0
	walkLeaves(reflect.ValueOf(fullPolicy()).Elem(), "", func(path string, _ reflect.Value) {
		seen++
		to := fullPolicy()
		walkLeaves(reflect.ValueOf(to).Elem(), "", func(other string, leaf reflect.Value) {
			if other == path {
				change(t, path, leaf)
			}
		})
		_, fields := Classify(fullPolicy(), to)
		if got := len(fields) > 0; got == notRules[path] {
			t.Errorf("%s changed: Classify names %+v; is the field classified in change.go?", path, fields)
		}
	})
	if seen < 33 {
		t.Fatalf("only %d fields were walked; the walker is broken", seen)
	}
}

// walkLeaves visits every settable leaf. Values of maps are copied, visited and put back.
func walkLeaves(v reflect.Value, path string, visit func(string, reflect.Value)) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		visit(path, v)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			walkLeaves(v.Field(i), strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), visit)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			walkLeaves(v.Index(i), path+"[0]", visit)
		}
	case v.Kind() == reflect.Map:
		for _, k := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(k))
			walkLeaves(value, path+"{}", visit)
			v.SetMapIndex(k, value)
		}
	default:
		visit(path, v)
	}
}

func change(t *testing.T, path string, leaf reflect.Value) {
	t.Helper()
	switch x := leaf.Addr().Interface().(type) {
	case *time.Time:
		*x = x.Add(time.Hour)
	default:
		switch leaf.Kind() {
		case reflect.String:
			leaf.SetString(leaf.String() + "x")
		case reflect.Bool:
			leaf.SetBool(!leaf.Bool())
		case reflect.Int, reflect.Int64:
			leaf.SetInt(leaf.Int() + 1)
		case reflect.Uint8, reflect.Uint64:
			leaf.SetUint(leaf.Uint() + 1)
		default:
			t.Fatalf("%s has kind %s, which this test cannot change", path, leaf.Kind())
		}
	}
}

func TestClassify(t *testing.T) {
	recipient := func(f func(*Recipient)) func(*ResidencyPolicy) {
		return func(p *ResidencyPolicy) { f(&p.Recipients.List[0]) }
	}
	cases := []struct {
		name  string
		edit  func(*ResidencyPolicy)
		there ChangeKind // from the full policy to the edited one
		back  ChangeKind
		field string // named in both directions
	}{
		{"nothing", func(*ResidencyPolicy) {}, Neutral, Neutral, ""},
		{"home", func(p *ResidencyPolicy) { p.HomeRegion = "us1" }, Loosen, Loosen, "home_region"},
		{"entity", func(p *ResidencyPolicy) { p.ContractingEntity = "DOM-US" }, Loosen, Loosen, "contracting_entity"},
		{"class dropped", func(p *ResidencyPolicy) { delete(p.Classes, CallRecord) }, Tighten, Loosen, "classes.call_record"},
		{"restricted", func(p *ResidencyPolicy) { p.Classes[CallRecord] = ClassRule{Restricted, 86400, "strict"} }, Loosen, Tighten, "classes.call_record.mode"},
		{"replicated", func(p *ResidencyPolicy) { p.Classes[CallRecord] = ClassRule{Replicated, 86400, "strict"} }, Loosen, Loosen, "classes.call_record.mode"},
		{"kept for ever", func(p *ResidencyPolicy) { p.Classes[CallRecord] = ClassRule{Sealed, 0, "strict"} }, Loosen, Tighten, "classes.call_record.retention"},
		{"kept longer", func(p *ResidencyPolicy) { p.Classes[CallRecord] = ClassRule{Sealed, 86401, "strict"} }, Loosen, Tighten, "classes.call_record.retention"},
		{"no redaction", func(p *ResidencyPolicy) { p.Classes[CallRecord] = ClassRule{Sealed, 86400, ""} }, Loosen, Tighten, "classes.call_record.redact_profile"},
		{"other redaction", func(p *ResidencyPolicy) { p.Classes[CallRecord] = ClassRule{Sealed, 86400, "lax"} }, Loosen, Loosen, "classes.call_record.redact_profile"},
		{"failover", func(p *ResidencyPolicy) { p.OnUnavailable = FailoverInBoundary }, Loosen, Tighten, "on_region_unavailable"},
		{"cap raised", func(p *ResidencyPolicy) { p.Egress[PseudonymisedExport] = EgressRule{Cap, 6, "SCC"} }, Loosen, Tighten, "egress.PSEUDONYMISED_EXPORT.per_day"},
		{"cap lifted", func(p *ResidencyPolicy) { p.Egress[PseudonymisedExport] = EgressRule{Allow, 0, "SCC"} }, Loosen, Tighten, "egress.PSEUDONYMISED_EXPORT.effect"},
		{"effect unknown", func(p *ResidencyPolicy) { p.Egress[PseudonymisedExport] = EgressRule{9, 5, "SCC"} }, Loosen, Loosen, "egress.PSEUDONYMISED_EXPORT.effect"},
		{"denied", func(p *ResidencyPolicy) { p.Egress[PseudonymisedExport] = EgressRule{Effect: Deny} }, Tighten, Loosen, "egress.PSEUDONYMISED_EXPORT.effect"},
		{"egress dropped", func(p *ResidencyPolicy) { delete(p.Egress, PseudonymisedExport) }, Tighten, Loosen, "egress.PSEUDONYMISED_EXPORT.effect"},
		{"denied in words", func(p *ResidencyPolicy) { p.Egress[Telemetry] = EgressRule{Effect: Deny} }, Neutral, Neutral, ""},
		{"basis", func(p *ResidencyPolicy) { p.Egress[PseudonymisedExport] = EgressRule{Cap, 5, "BCR"} }, Loosen, Loosen, "egress.PSEUDONYMISED_EXPORT.basis"},
		{"nobody", func(p *ResidencyPolicy) { p.Recipients = Recipients{DenyAll: true} }, Tighten, Loosen, "recipients.deny_all"},
		{"recipient more", func(p *ResidencyPolicy) {
			p.Recipients.List = append(p.Recipients.List, Recipient{ID: recipientN(2), Region: "us1"})
		}, Loosen, Tighten, "recipients." + string(recipientN(2))},
		{"recipient twice", func(p *ResidencyPolicy) { p.Recipients.List = append(p.Recipients.List, p.Recipients.List[0]) }, Loosen, Loosen, "recipients.list"},
		{"recipient elsewhere", recipient(func(r *Recipient) { r.Region = "au1" }), Loosen, Loosen, "recipients." + string(recipientN(1)) + ".region"},
		{"purpose", recipient(func(r *Recipient) { r.Purpose = "ads" }), Loosen, Loosen, "recipients." + string(recipientN(1)) + ".purpose"},
		{"threshold", recipient(func(r *Recipient) { r.Threshold = 20 }), Tighten, Loosen, "recipients." + string(recipientN(1)) + ".threshold"},
		{"colluding", recipient(func(r *Recipient) { r.Colluding = 4 }), Tighten, Loosen, "recipients." + string(recipientN(1)) + ".colluding"},
		{"assessment", recipient(func(r *Recipient) { r.AssessmentHash = strings.Repeat("c", 64) }), Loosen, Loosen, "recipients." + string(recipientN(1)) + ".assessment_hash"},
		{"expires later", recipient(func(r *Recipient) { r.AssessmentExpiry = testNow.Add(1) }), Loosen, Tighten, "recipients." + string(recipientN(1)) + ".assessment_expiry"},
		{"reason more", func(p *ResidencyPolicy) { p.Access.AllowedReasons = append(p.Access.AllowedReasons, "X") }, Loosen, Tighten, "access.allowed_reasons"},
		{"long reason", func(p *ResidencyPolicy) { p.Access.AllowedReasons = []string{strings.Repeat("A", 64)} }, Loosen, Loosen, "access.allowed_reasons"},
		{"longer grants", func(p *ResidencyPolicy) { p.Access.MaxDuration = 7200 }, Loosen, Tighten, "access.max_duration"},
		{"grants without end", func(p *ResidencyPolicy) { p.Access.MaxDuration = 0 }, Loosen, Loosen, "access.max_duration"},
		{"wider scope", func(p *ResidencyPolicy) { p.Access.ScopeWidth = "day" }, Loosen, Tighten, "access.scope_width"},
		{"unknown scope", func(p *ResidencyPolicy) { p.Access.ScopeWidth = "year" }, Loosen, Loosen, "access.scope_width"},
		{"purpose needs consent", func(p *ResidencyPolicy) { p.Consent[Transcript] = []string{"analytics", "training"} }, Tighten, Loosen, "consent.transcript"},
		{"consent dropped", func(p *ResidencyPolicy) { p.Consent = nil }, Loosen, Tighten, "consent.transcript"},
		{"staler", func(p *ResidencyPolicy) { p.MaxStaleness = 61 }, Loosen, Tighten, "max_policy_staleness"},
		{"stronger attestation", func(p *ResidencyPolicy) { p.MinAttestation = CloudSigned }, Tighten, Loosen, "min_attestation"},
		{"may move", func(p *ResidencyPolicy) { p.AllowRegionChange = true }, Loosen, Tighten, "allow_region_change"},
		{"revision", func(p *ResidencyPolicy) { p.Revision, p.Signatures = 99, nil }, Neutral, Neutral, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			to := fullPolicy()
			c.edit(to)
			there, fields := Classify(fullPolicy(), to)
			back, backFields := Classify(to, fullPolicy())
			if there != c.there || back != c.back {
				t.Fatalf("there %v %+v, back %v %+v; want %v and %v", there, fields, back, backFields, c.there, c.back)
			}
			for _, list := range [][]FieldChange{fields, backFields} {
				if c.field != "" && !names(list, c.field) || c.field == "" && len(list) > 0 {
					t.Errorf("changes %+v, want %q among them", list, c.field)
				}
			}
		})
	}
	if kind, _ := Classify(nil, fullPolicy()); kind != Loosen {
		t.Error("a policy that replaces nothing known must count as loosening")
	}
}

func names(list []FieldChange, field string) bool {
	for _, f := range list {
		if f.Field == field && (f.From != f.To) {
			return true
		}
	}
	return false
}

// Classify is total: numbers that Validate refuses are shown as what they are.
func TestClassifyShowsNegativeNumbers(t *testing.T) {
	to := fullPolicy()
	to.Recipients.List[0].Threshold = -4
	_, fields := Classify(fullPolicy(), to)
	if len(fields) != 1 || fields[0].From != "10" || fields[0].To != "-4" || fields[0].Kind != Loosen {
		t.Errorf("got %+v", fields)
	}
	to = fullPolicy()
	to.HomeEpoch = 1 << 63
	_, fields = Classify(fullPolicy(), to)
	if len(fields) != 1 || fields[0].To != "9223372036854775808" {
		t.Errorf("got %+v", fields)
	}
}
