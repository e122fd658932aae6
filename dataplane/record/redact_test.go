package record_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// TestINV40_PersonalTypesPrintRedacted prints every personal type with every
// verb, alone, by pointer, and inside other values, and logs it both ways.
func TestINV40_PersonalTypesPrintRedacted(t *testing.T) {
	r := sample()
	r.STIR = record.STIR{OrigID: number, Verstat: number, SPC: number}
	key := keyFor(t, 1, scope)
	row, err := record.Pseudonymise(callID, &r, key, permitFor(t, policy.Export, policy.CallRecord))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"record": r, "*record": &r, "party": r.From, "*party": &r.From, "key": r.Key, "stir": r.STIR,
		"row": row, "*row": &row, "pseudonym key": key,
		"list": []record.Record{r}, "map": map[int]record.Party{1: r.From}, "inside": struct{ R record.Record }{r},
		"inside by pointer": []*record.Record{&r}, "inside unexported type": struct{ P record.Party }{r.To},
	} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		text := out.String()
		for _, c := range []string{number[1:], "2025550101", person, alice, row.Row()} {
			if strings.Contains(text, c) {
				t.Errorf("%s: printed %q", name, c)
			}
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s", r, r.From, r.Key, r.STIR); got != "[redacted] [redacted] [redacted] [redacted]" {
		t.Errorf("printed %s", got)
	}
}

// A record must not become JSON by accident: the wire forms are chosen.
func TestPersonalTypesRefuseJSON(t *testing.T) {
	r := sample()
	for name, v := range map[string]any{"record": r, "*record": &r, "party": r.From, "key": r.Key, "stir": r.STIR, "list": []record.Record{r}} {
		if b, err := json.Marshal(v); err == nil {
			t.Errorf("%s became %d bytes of JSON", name, len(b))
		}
	}
}

func TestAnonymous(t *testing.T) {
	if !(record.Party{}).Anonymous() || (record.Party{Raw: "1004"}).Anonymous() || (record.Party{E164: number}).Anonymous() {
		t.Error("only a party without any identity is anonymous")
	}
}
