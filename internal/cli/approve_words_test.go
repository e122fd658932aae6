package cli

import (
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

const (
	wordsCluster = "CL000000000000000000000000000000aa"
	wordsTenant  = "TN000000000000000000000000000000aa"
	wordsPartner = "RP000000000000000000000000000000aa"
)

// said is one thing that somebody may change, what it does, and what a person must
// read of it. It is written from the contract (03 section 2) and shares nothing
// with what computes the difference.
type said struct {
	edit  func(*policy.ResidencyPolicy)
	there string // what the change does; the way back does the opposite, unless back says
	back  string
	words string // which the line holds, and no other line does
	move  string // from → to
}

func partner(f func(*policy.Recipient)) func(*policy.ResidencyPolicy) {
	return func(p *policy.ResidencyPolicy) { f(&p.Recipients.List[0]) }
}

func class(c policy.DataClass, f func(*policy.ClassRule)) func(*policy.ResidencyPolicy) {
	return func(p *policy.ResidencyPolicy) { r := p.Classes[c]; f(&r); p.Classes[c] = r }
}

var sayings = []said{
	{class(policy.CallRecord, func(r *policy.ClassRule) { r.Mode = policy.Restricted }), "loosens", "", "where call_record may be processed", "sealed → restricted"},
	{class(policy.CallRecord, func(r *policy.ClassRule) { r.Retention = 7200 }), "loosens", "", "how many seconds call_record is kept", "3600 → 7200"},
	{class(policy.Recording, func(r *policy.ClassRule) { r.Retention = 0 }), "loosens", "", "how many seconds recording is kept (0: until erased; no longer than its call_record)", "3600 → 0"},
	{class(policy.Recording, func(r *policy.ClassRule) { r.RedactProfile = "" }), "loosens", "", "blacked out of recording", "strict → nothing"},
	{func(p *policy.ResidencyPolicy) { delete(p.Classes, policy.Transcript) }, "tightens", "", "whether transcript may be kept", "sealed → nothing"},
	{func(p *policy.ResidencyPolicy) {
		p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Cap, PerDay: 6, Basis: "SCC"}
	}, "loosens", "", "how often a day PSEUDONYMISED_EXPORT", "5 → 6"},
	{func(p *policy.ResidencyPolicy) {
		p.Egress[policy.Aggregate] = policy.EgressRule{Effect: policy.Allow, Basis: "BCR"}
	}, "loosens", "loosens", "legal basis on which AGGREGATE", "SCC → BCR"},
	{partner(func(r *policy.Recipient) { r.Threshold = 11 }), "loosens", "", "threshold of recipient " + wordsPartner, "20 → 11"},
	{partner(func(r *policy.Recipient) { r.Colluding = 5 }), "tightens", "", "colluding of recipient " + wordsPartner, "3 → 5"},
	{partner(func(r *policy.Recipient) { r.Region = "us1" }), "loosens", "loosens", "region of recipient " + wordsPartner, "de1 → us1"},
	{partner(func(r *policy.Recipient) { r.Purpose = "fraud" }), "loosens", "loosens", "purpose of recipient " + wordsPartner, "analytics → fraud"},
	{partner(func(r *policy.Recipient) { r.AssessmentHash = strings.Repeat("b", 64) }), "loosens", "loosens", "assessment_hash of recipient " + wordsPartner, strings.Repeat("a", 64) + " → " + strings.Repeat("b", 64)},
	{partner(func(r *policy.Recipient) { r.AssessmentExpiry = r.AssessmentExpiry.AddDate(1, 0, 0) }), "loosens", "", "assessment_expiry of recipient " + wordsPartner, "2030-01-01T00:00:00Z → 2031-01-01T00:00:00Z"},
	{func(p *policy.ResidencyPolicy) {
		other := unchanged().Recipients.List[0]
		other.ID = "RP000000000000000000000000000000bb"
		p.Recipients.List = append(p.Recipients.List, other)
	}, "loosens", "", "recipient RP000000000000000000000000000000bb, in region", ""},
	{func(p *policy.ResidencyPolicy) { p.OnUnavailable = policy.FailoverInBoundary }, "loosens", "", "while its region is away", "fail_closed → failover_in_boundary"},
	{func(p *policy.ResidencyPolicy) { p.MaxStaleness = 30 }, "tightens", "", "policy that it cannot refresh", "60 → 30"},
	{func(p *policy.ResidencyPolicy) { p.MinAttestation = policy.CloudSigned }, "tightens", "", "proved where it stands", "declared → cloud_signed"},
	{func(p *policy.ResidencyPolicy) { p.AllowRegionChange = true }, "loosens", "", "move to another home", "false → true"},
	{func(p *policy.ResidencyPolicy) { p.Access.MaxDuration = 7200 }, "loosens", "", "staff access, max_duration", "3600 → 7200"},
	{func(p *policy.ResidencyPolicy) { p.Access.ScopeWidth = "day" }, "loosens", "", "staff access, scope_width", "record → day"},
	{func(p *policy.ResidencyPolicy) {
		p.Consent = map[policy.DataClass][]string{policy.Derived: {"analytics"}}
	}, "tightens", "", "a purpose for which derived needs consent", "nothing → analytics"},
}

// unchanged is a policy of which everything in sayings can be changed.
func unchanged() policy.ResidencyPolicy {
	p := policy.DefaultPolicy(wordsTenant, policy.Region{ID: "ie1", Boundary: "eu"}, "DOM-IE")
	p.Revision, p.MaxStaleness = 1, 60
	for _, c := range []policy.DataClass{policy.CallRecord, policy.Recording, policy.Transcript} {
		p.Classes[c] = policy.ClassRule{Mode: policy.Sealed, Retention: 3600, RedactProfile: "strict"}
	}
	p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Cap, PerDay: 5, Basis: "SCC"}
	p.Egress[policy.Aggregate] = policy.EgressRule{Effect: policy.Allow, Basis: "SCC"}
	p.Recipients = policy.Recipients{List: []policy.Recipient{{ID: wordsPartner, Region: "de1", Purpose: "analytics", Transforms: "standard",
		Threshold: 20, Colluding: 3, AssessmentHash: strings.Repeat("a", 64), AssessmentExpiry: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}}}
	p.Access.MaxDuration, p.Access.ScopeWidth = 3600, "record"
	return p
}

// Whatever is changed together, and in whichever direction, whoever is to sign
// reads one line for each thing, of what it does and from what to what, and no
// line of anything else.
func TestPlainWordsNameEachChangeAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := unchanged(), unchanged()
		var want []string
		back := rapid.Bool().Draw(t, "back")
		for i, x := range sayings {
			if rapid.IntRange(0, 2).Draw(t, x.words) == 0 {
				x.edit(&to)
				want = append(want, sayings[i].line(back))
			} else if rapid.Bool().Draw(t, "both have it") {
				x.edit(&from)
				x.edit(&to)
			}
		}
		if back {
			from, to = to, from
		}
		hash, err := policy.PolicyHash(&to)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		a := &app{out: screen.New(io.Discard), err: screen.New(&out)}
		ch := &controlv1.Change{Id: "CH1", Tenant: wordsTenant, Hash: hex.EncodeToString(hash[:]), Sequence: 5, Proposed: control.RulesOf(&to)}
		if _, err := a.reviewed(&pin{Cluster: wordsCluster, Tenant: wordsTenant}, &policy.TenantRow{ID: wordsTenant, Policy: &from, Signers: &policy.Signers{Sequence: 4}}, ch); err != nil {
			t.Fatal(err)
		}
		lines := changesSaid(out.String())
		if len(lines) != len(want) {
			t.Fatalf("%d changes, %d lines: want %q\n%s", len(want), len(lines), want, out.String())
		}
		for _, w := range want {
			p := strings.SplitN(w, "|", 3)
			if n := len(slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
				return !strings.HasPrefix(l, p[0]) || !strings.Contains(l, p[1]) || !strings.HasSuffix(l, p[2])
			})); n != 1 {
				t.Fatalf("%d lines say that it %s %q (%s), want one:\n%s", n, p[0], p[1], p[2], out.String())
			}
		}
	})
}

// line is what must be read: effect, words, and from what to what.
func (x said) line(back bool) string {
	if !back {
		return fmt.Sprintf("%s|%s|%s", x.there, x.words, x.move)
	}
	effect := x.back
	if effect == "" {
		effect = map[string]string{"loosens": "tightens", "tightens": "loosens"}[x.there]
	}
	from, to, ok := strings.Cut(x.move, " → ")
	if !ok {
		return effect + "|" + x.words + "|"
	}
	return effect + "|" + x.words + "|" + to + " → " + from
}

// changesSaid are the lines about changes: those between the first and the next
// empty one.
func changesSaid(out string) (lines []string) {
	_, body, _ := strings.Cut(out, "\n\n")
	body, _, _ = strings.Cut(body, "\n\n")
	for l := range strings.Lines(body) {
		lines = append(lines, strings.TrimSpace(l))
	}
	return slices.DeleteFunc(lines, func(l string) bool { return l == "" })
}
