package intake

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

func TestNativeNamesEveryBadField(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for body, want := range map[string][]string{
		`{}`:                                                                              {"native_id"},
		`{"native_id":""}`:                                                                {"native_id"},
		`{"native_id":7}`:                                                                 {"native_id", "native_id"},
		`{"native_id":null}`:                                                              {"native_id"},
		`{"native_id":"` + long + `"}`:                                                    {"native_id", "native_id"},
		`{"native_id":"a\u0000"}`:                                                         {"native_id", "native_id"},
		`{"native_id":"a","` + canary + `":1}`:                                            {"(field 2)"},
		`{"native_id":"a","Status":"completed"}`:                                          {"(field 2)"},
		`{"native_id":"a","native_id":"a"}`:                                               {"native_id"},
		`{"native_id":"a","status":"ended","direction":"up"}`:                             {"direction", "status"},
		`{"native_id":"a","from":["x"],"to":{"x":1},"leg":true}`:                          {"from", "leg", "to"},
		`{"native_id":"a","start_time":"2026-01-01"}`:                                     {"start_time"},
		`{"native_id":"a","start_time":"2026-01-01T00:00:00"}`:                            {"start_time"},
		`{"native_id":"a","start_time":"1969-01-01T00:00:00Z"}`:                           {"start_time"},
		`{"native_id":"a","start_time":"9999-01-01T00:00:00Z"}`:                           {"start_time"},
		`{"native_id":"a","start_time":1773480413}`:                                       {"start_time"},
		`{"native_id":"a","duration_ms":-1,"billsec_ms":1.5}`:                             {"billsec_ms", "duration_ms"},
		`{"native_id":"a","duration_ms":"1","billsec_ms":[]}`:                             {"billsec_ms", "duration_ms"},
		`{"native_id":"a","duration_ms":99999999999}`:                                     {"duration_ms"},
		`{"native_id":"a","sip_code":99,"q850_cause":128}`:                                {"q850_cause", "sip_code"},
		`{"native_id":"a","stir":"A"}`:                                                    {"stir"},
		`{"native_id":"a","stir":[]}`:                                                     {"stir"},
		`{"native_id":"a","stir":{"attest":"D","x":1,"spc":{}}}`:                          {"stir", "stir.attest", "stir.spc"},
		`{"native_id":"a","stir":{"spc":"1","spc":"2"}}`:                                  {"stir"},
		`{"native_id":"a","recording_refs":"x"}`:                                          {"recording_refs"},
		`{"native_id":"a","recording_refs":[1]}`:                                          {"recording_refs"},
		`{"native_id":"a","recording_refs":[` + strings.Repeat(`"r",`, MaxRefs) + `"r"]}`: {"recording_refs"},
		`{"native_id":"a","answer_time":"2026-01-01T00:00:00Z","start_time":"2026-01-01T00:00:01Z"}`: {"answer_time"},
		`{"native_id":"a","answer_time":"2026-01-01T00:00:02Z","end_time":"2026-01-01T00:00:01Z"}`:   {"end_time"},
	} {
		_, err := Native(Settings{}, []byte(body))
		var e *policy.Error
		if !errors.As(err, &e) || e.Reason != policy.InvalidArgument {
			t.Errorf("%.80s: %v, want INVALID_ARGUMENT", body, err)
			continue
		}
		var got []string
		for _, f := range e.Fields {
			got = append(got, f.Field)
			if strings.Contains(f.Field+f.Message, canary) {
				t.Errorf("%.80s: repeats the payload", body)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%.80s: bad fields %v, want %v", body, got, want)
		}
	}
}

func TestNativeRefusesWhatIsNotOneObject(t *testing.T) {
	for _, body := range []string{"", "null", "[]", `"x"`, "{", `{"native_id":"a"}{}`, `{"native_id":"a"} x`, `{"native_id":"a",}`,
		"{\"native_id\":\"\xff\"}", `{"native_id":"\ud800"}`, `{"stir":{"attest":}}`, `{"recording_refs":[}`, `{"sip_code":0x10}`, `{"start_time":"}`} {
		_, err := Native(Settings{}, []byte(body))
		if reasonOf(err) != policy.InvalidArgument {
			t.Errorf("%q: %v, want INVALID_ARGUMENT", body, err)
		}
	}
}

// Null is absent; given durations win over those worked out from the times.
func TestNativeDefaults(t *testing.T) {
	r, err := Native(Settings{Instance: "native"}, []byte(`{"native_id":"a","from":null,"stir":null,"recording_refs":null,"sip_code":null,"start_time":null,
		"answer_time":"2026-01-01T00:00:00Z","end_time":"2026-01-01T00:00:10Z","billsec_ms":9000,"sip_code":0}`))
	if err == nil {
		t.Error("a field given twice was taken, because once it was null")
	}
	r, err = Native(Settings{Instance: "native"}, []byte(`{"native_id":"a","from":null,"stir":null,"recording_refs":null,"q850_cause":null,"start_time":null,
		"answer_time":"2026-01-01T00:00:00Z","end_time":"2026-01-01T00:00:10Z","billsec_ms":9000,"sip_code":0}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Billsec != 9*time.Second || r.Duration != 0 || !r.Start.IsZero() || r.SIPCode != 0 || !r.Primary {
		t.Errorf("billsec %v, duration %v, start %v", r.Billsec, r.Duration, r.Start)
	}
	if want := (record.Key{Source: record.Native, Instance: "native", NativeID: "a"}); r.Key != want || r.CallKey != "a" {
		t.Error("the key is not source, instance and id")
	}
}
