package policy

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// closed is what every closed list can do.
type closed interface {
	fmt.Stringer
	encoding.TextMarshaler
}

func TestClosedListsRoundTripAndRefuseTheRest(t *testing.T) {
	lists := []struct {
		name   string
		n      int
		at     func(i int) closed
		decode func(b []byte) (closed, error) // nil: never read back
	}{
		{"data class", numDataClasses, func(i int) closed { return DataClass(i) }, func(b []byte) (closed, error) { return ParseDataClass(string(b)) }},
		{"field class", numFieldClasses, func(i int) closed { return FieldClass(i) }, nil},
		{"operation", numOperations, func(i int) closed { return Operation(i) }, func(b []byte) (closed, error) { return ParseOperation(string(b)) }},
		{"egress class", numEgressClasses, func(i int) closed { return EgressClass(i) }, func(b []byte) (closed, error) { return ParseEgressClass(string(b)) }},
		{"mode", numModes, func(i int) closed { return Mode(i) }, func(b []byte) (closed, error) { var v Mode; err := v.UnmarshalText(b); return v, err }},
		{"attestation", numAttestations, func(i int) closed { return Attestation(i) }, func(b []byte) (closed, error) { var v Attestation; err := v.UnmarshalText(b); return v, err }},
		{"lifecycle", numLifecycles, func(i int) closed { return Lifecycle(i) }, func(b []byte) (closed, error) { var v Lifecycle; err := v.UnmarshalText(b); return v, err }},
		{"unavailable", numUnavailables, func(i int) closed { return Unavailable(i) }, func(b []byte) (closed, error) { var v Unavailable; err := v.UnmarshalText(b); return v, err }},
		{"effect", numEffects, func(i int) closed { return Effect(i) }, func(b []byte) (closed, error) { var v Effect; err := v.UnmarshalText(b); return v, err }},
		{"change kind", numChangeKinds, func(i int) closed { return ChangeKind(i) }, func(b []byte) (closed, error) { var v ChangeKind; err := v.UnmarshalText(b); return v, err }},
	}
	for _, l := range lists {
		t.Run(l.name, func(t *testing.T) {
			for i := 1; i < l.n; i++ {
				text, err := l.at(i).MarshalText()
				if err != nil || string(text) != l.at(i).String() {
					t.Fatalf("%d: %q %v", i, text, err)
				}
				if l.decode == nil {
					continue
				}
				if back, err := l.decode(text); err != nil || back != l.at(i) {
					t.Fatalf("%q reads back as %v, %v", text, back, err)
				}
			}
			for _, i := range []int{0, l.n, 255} {
				if text, err := l.at(i).MarshalText(); err == nil {
					t.Errorf("%d marshals as %q; only the closed list may", i, text)
				}
				if s := l.at(i).String(); !strings.HasPrefix(s, "unknown(") {
					t.Errorf("%d prints as %q", i, s)
				}
			}
			if l.decode == nil {
				return
			}
			for _, s := range []string{"", "unknown(1)", secret, "SEALED "} {
				if _, err := l.decode([]byte(s)); err == nil || s == secret && strings.Contains(err.Error(), s) {
					t.Errorf("%q: %v", s, err)
				}
			}
		})
	}
}

func TestFieldClasses(t *testing.T) {
	for c, personal := range map[FieldClass]bool{DirectID: true, QuasiID: true, Content: true, Sensitive: true, Operational: false, OpaqueID: false} {
		if !c.Valid() || c.Personal() != personal {
			t.Errorf("%v: valid %v, personal %v", c, c.Valid(), c.Personal())
		}
	}
	if FieldClass(0).Valid() || !FieldClass(0).Personal() {
		t.Error("a field without a class must count as personal and not as classified")
	}
}

func TestKeyRoles(t *testing.T) {
	for _, r := range []KeyRole{RoleIngest, RoleReader, RoleAdmin, RoleRecipient} {
		if !r.Valid() {
			t.Errorf("%s is not valid", r)
		}
	}
	if KeyRole("root").Valid() {
		t.Error("an unknown role is valid")
	}
}

func TestRowKeys(t *testing.T) {
	for want, row := range map[string]Row{
		"":                        {},
		"r/ie1":                   {Region: &ireland},
		"t/" + string(tenantN(1)): {Tenant: &TenantRow{ID: tenantN(1)}},
		"p/" + string(tenantN(1)) + "/" + string(recipientN(2)): {Pair: &InboundPair{Tenant: tenantN(1), Recipient: recipientN(2)}},
	} {
		if got := row.RowKey(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNewID(t *testing.T) {
	id, err := NewID(KindTenant, bytes.NewReader(make([]byte, 16)))
	if err != nil || id != "TN"+strings.Repeat("0", 32) || !ValidID(KindTenant, id) {
		t.Errorf("%q %v", id, err)
	}
	if _, err := NewID(KindTenant, io.LimitReader(bytes.NewReader(make([]byte, 16)), 15)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("without enough randomness: %v", err)
	}
}

func TestStringsHaveForms(t *testing.T) {
	type parser func(string) error
	region := func(s string) error { _, err := ParseRegionID(s); return err }
	boundary := func(s string) error { _, err := ParseBoundary(s); return err }
	slug := func(s string) error { _, err := ParseSlug(s); return err }
	tenant := func(s string) error { _, err := ParseTenantID(s); return err }
	basis := func(s string) error { _, err := ParseBasisID(s); return err }
	entity := func(s string) error { _, err := ParseEntityCode(s); return err }
	hex32 := strings.Repeat("0f", 16)
	for _, c := range []struct {
		name    string
		parse   parser
		good    []string
		refused []string
	}{
		{"region", region, []string{"ie1", "us12"}, []string{"", "ie", "IE1", "ie123", "ie1\n", "xie1"}},
		{"boundary", boundary, []string{"eu", "gdprarea"}, []string{"", "e", "EU", "eu1"}},
		{"slug", slug, []string{"clinic", "a1234", "a-1-2-3-4-b"}, []string{"", "a", "Clinic", "1clinic", "p353861234567", "p-35-38-61", "a12345", strings.Repeat("a", 33)}},
		{"tenant", tenant, []string{"TN" + hex32}, []string{"", "CA" + hex32, "TN" + strings.ToUpper(hex32), "TN" + hex32 + "0", "tn" + hex32, "TN" + hex32[:31] + "g", "TN" + hex32[:31] + "/"}},
		{"basis", basis, []string{"SCC", "ADEQUACY-DPF"}, []string{"", "scc", "S C", strings.Repeat("A", 33)}},
		{"entity", entity, []string{"DOM-IE"}, []string{"", "D", "dom-ie", "1DOM", "Dom Ltd"}},
	} {
		for _, s := range c.good {
			if err := c.parse(s); err != nil {
				t.Errorf("%s %q: %v", c.name, s, err)
			}
		}
		for _, s := range c.refused {
			if err := c.parse(s); err == nil {
				t.Errorf("%s %q was accepted", c.name, s)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("disk on fire")
	e := Errorf(NotFound, "no %s", "tenant").With("a", "1").With("b", "2")
	e.Cause = cause
	wrapped := fmt.Errorf("read: %w", e)
	if e.Error() != "NOT_FOUND: no tenant" || e.Metadata["a"] != "1" || e.Metadata["b"] != "2" {
		t.Errorf("%v %v", e, e.Metadata)
	}
	if !errors.Is(wrapped, &Error{Reason: NotFound}) || errors.Is(wrapped, &Error{Reason: Internal}) || !errors.Is(wrapped, cause) {
		t.Error("errors.Is does not see the reason or the cause")
	}
}

func TestEveryRuleIsDescribed(t *testing.T) {
	seen := map[string]RuleCode{}
	for c := RuleCode(1); c < 255; c++ {
		info, ok := ruleInfos[c]
		known := c <= ruleLastDeny || c >= RuleAtHome && c <= RuleMustPassSinglingOut
		if ok != known {
			t.Errorf("rule %d: described %v, known %v", c, ok, known)
		}
		if !ok {
			continue
		}
		if other, twice := seen[info.name]; twice {
			t.Errorf("rules %d and %d are both called %s", c, other, info.name)
		}
		seen[info.name] = c
		if c.String() != info.name || c.Explanation() == "" || c.Denies() != (info.reason != "") {
			t.Errorf("rule %d: %q %q denies %v reason %q", c, c, c.Explanation(), c.Denies(), info.reason)
		}
		if info.reason != "" && !ranked(info.reason) {
			t.Errorf("%s: reason %s has no rank in errorOrder", c, info.reason)
		}
	}
	if len(seen) >= maxReasons {
		t.Errorf("%d rules do not fit a decision's %d reasons", len(seen), maxReasons)
	}
	if s := RuleCode(200); s.String() != "UNKNOWN_RULE_200" || !strings.Contains(s.Explanation(), "upgrade") {
		t.Errorf("%q %q", s, s.Explanation())
	}
}

func ranked(r Reason) bool {
	for _, x := range errorOrder {
		if x == r {
			return true
		}
	}
	return false
}
