package policy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write what Decide answers into testdata/scenarios instead of comparing")

// TestScenarios runs testdata/scenarios/*.txt: stories that a lawyer can read.
// A file sets a stage (lines "region", "tenant", "class", "egress",
// "recipient", "rule"), then asks; the lines that begin with "=>" or "  -" are
// the answer and are what -rewrite writes.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := play(string(want))
			if err != nil {
				t.Fatal(err)
			}
			if *rewrite {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("answers changed; if that is meant, run go test ./policy -run TestScenarios -rewrite and review the difference\n%s", got)
			}
		})
	}
}

// stage is the world of one scenario.
type stage struct {
	regions []Region
	policy  ResidencyPolicy
	bases   []TransferBasis
	state   TenantState
}

// play repeats the script with every answer put after its question.
func play(script string) (string, error) {
	st := stage{state: TenantActive}
	var out strings.Builder
	for i, line := range strings.Split(strings.TrimSuffix(script, "\n"), "\n") {
		if strings.HasPrefix(line, "=>") || strings.HasPrefix(line, "  -") {
			continue
		}
		fmt.Fprintln(&out, line)
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if words[0] != "ask" {
			if err := st.set(words); err != nil {
				return "", fmt.Errorf("line %d: %w", i+1, err)
			}
			continue
		}
		answer, err := st.ask(words[1:])
		if err != nil {
			return "", fmt.Errorf("line %d: %w", i+1, err)
		}
		out.WriteString(answer)
	}
	return out.String(), nil
}

func (st *stage) set(w []string) (err error) {
	p := &st.policy
	switch {
	case w[0] == "region" && len(w) == 4: // region ie1 eu active
		r := Region{ID: RegionID(w[1]), Boundary: Boundary(w[2]), Country: strings.ToUpper(w[1][:2]), Cloud: "test", BackupRegion: "none"}
		err = r.Lifecycle.UnmarshalText([]byte(w[3]))
		st.regions = append(st.regions, r)
	case w[0] == "tenant" && len(w) == 4: // tenant at home ie1
		for _, r := range st.regions {
			if r.ID == RegionID(w[3]) {
				*p = DefaultPolicy(tenantN(1), r, "DOM-IE")
			}
		}
	case w[0] == "tenant" && len(w) == 3: // tenant is suspended
		st.state = TenantState(w[2])
	case w[0] == "class" && len(w) == 3: // class transcript restricted | absent
		c, classErr := ParseDataClass(w[1])
		rule := ClassRule{}
		if w[2] == "absent" {
			delete(p.Classes, c)
			return classErr
		}
		err = rule.Mode.UnmarshalText([]byte(w[2]))
		p.Classes[c] = rule
	case w[0] == "egress" && len(w) >= 3: // egress PSEUDONYMISED_EXPORT cap SCC 2
		c, _ := ParseEgressClass(w[1])
		rule := EgressRule{}
		err = rule.Effect.UnmarshalText([]byte(w[2]))
		if len(w) > 3 {
			rule.Basis = w[3]
		}
		if len(w) > 4 {
			rule.PerDay, err = strconv.ParseUint(w[4], 10, 64)
		}
		p.Egress[c] = rule
	case w[0] == "recipient" && len(w) == 6: // recipient us1 for fraud until 2027-01-01
		until, timeErr := time.Parse(time.DateOnly, w[5])
		err = timeErr
		p.Recipients.DenyAll = false
		p.Recipients.List = append(p.Recipients.List, Recipient{ID: recipientN(len(p.Recipients.List) + 1), Region: RegionID(w[1]), Purpose: w[3],
			Transforms: DefaultTransforms, Threshold: DefaultThreshold, Colluding: DefaultColluding,
			AssessmentHash: strings.Repeat("0", 64), AssessmentExpiry: until})
	case w[0] == "consent" && len(w) == 4: // consent needed transcript analytics
		c, _ := ParseDataClass(w[2])
		p.Consent = map[DataClass][]string{c: {w[3]}}
	case w[0] == "basis" && len(w) >= 3: // basis SCC active [until 2027-01-01]
		b := TransferBasis{ID: w[1], State: BasisState(w[2])}
		if len(w) == 5 {
			until, timeErr := time.Parse(time.DateOnly, w[4])
			b.ExpiresAt, err = &until, timeErr
		}
		st.bases = append(st.bases, b)
	case w[0] == "attestation" && len(w) == 2:
		err = p.MinAttestation.UnmarshalText([]byte(w[1]))
	default:
		err = fmt.Errorf("%q is not understood", strings.Join(w, " "))
	}
	return err
}

// ask: OPERATION CLASS in REGION [as EGRESS to N for PURPOSE] [on DATE] [policy-age DURATION] [attested HOW] [sent N] [CONDITION…]
func (st *stage) ask(w []string) (string, error) {
	top, err := NewTopology(st.regions)
	if err != nil {
		return "", err
	}
	top = top.WithBases(append([]TransferBasis{{ID: "SCC", State: BasisActive}}, st.bases...)) // a later line for SCC replaces the first
	if problems := st.policy.Validate(top); len(problems) > 0 && st.policy.NotYet() == nil {
		return "", fmt.Errorf("the scenario's policy is not valid: %v", problems)
	}
	q := Request{Tenant: st.policy.Tenant, Now: testNow, Attestation: Declared, Egress: PseudonymisedExport, Recipient: recipientN(1)}
	if q.Op, err = ParseOperation(w[0]); err != nil {
		return "", err
	}
	if q.Class, err = ParseDataClass(w[1]); err != nil {
		return "", err
	}
	for i := 2; i < len(w) && err == nil; i++ {
		if on, ok := map[string]*bool{"audit-down": &q.AuditDown, "clock-jumped": &q.ClockSuspect, "keys-down": &q.KeysDown,
			"disk-full": &q.DiskFull, "unclassified-field": &q.FieldsUnknown}[w[i]]; ok {
			*on = true
			continue
		}
		if i+1 == len(w) {
			return "", fmt.Errorf("%q needs a value", w[i])
		}
		value := w[i+1]
		switch w[i] {
		case "in":
			q.Region = RegionID(value)
		case "by":
			q.Tenant = map[string]TenantID{"stranger": tenantN(2)}[value]
		case "as":
			q.Egress, err = ParseEgressClass(value)
		case "to":
			n, _ := strconv.Atoi(value)
			q.Recipient = recipientN(n)
		case "for":
			q.Purpose = value
		case "on":
			q.Now, err = time.Parse(time.DateOnly, value)
		case "policy-age":
			if value == "unknown" {
				q.BundleAge = AgeUnknown
			} else {
				q.BundleAge, err = time.ParseDuration(value)
			}
		case "attested":
			err = q.Attestation.UnmarshalText([]byte(value))
		case "sent":
			q.SentToday, err = strconv.ParseUint(value, 10, 64)
		default:
			err = fmt.Errorf("%q is not understood", w[i])
		}
		i++
	}
	if err != nil {
		return "", err
	}
	var empty *Set
	d := Decide(empty.With(1, []*Rules{Compile(&st.policy, st.state)}, nil), top, q)
	return tell(&d), nil
}

func tell(d *Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "=> %s", d.Effect)
	if err := d.Err(); err != nil {
		fmt.Fprintf(&b, " (%s)", err.Reason)
	}
	b.WriteByte('\n')
	for _, c := range d.Reasons() {
		if d.Effect == Allow || c.Denies() {
			fmt.Fprintf(&b, "  - %s: %s\n", c, c.Explanation())
		}
	}
	return b.String()
}
