package export

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/policy"
)

var (
	simulations    = flag.Int("simulations", 24, "proposed policies that are simulated and then put in force")
	simulationSeed = flag.Int("simulations.seed", 100, "of the first of them; the next has the next seed")
)

// proposed is a policy that somebody may propose, as an edit of the one under
// which everything left, and how much there was.
type proposed struct {
	transfers int
	rule      policy.EgressRule
	nobody    bool // may receive
	purpose   string
	to        policy.RegionID
	threshold int
	expires   time.Duration // the assessment, from the beginning of the day's transfers on
	proof     policy.Attestation
}

func proposal(seed int) proposed {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	p := proposed{
		transfers: 2 + r.IntN(3),
		rule:      policy.EgressRule{Effect: among(r, policy.Allow, policy.Allow, policy.Cap, policy.Cap, policy.Cap, policy.Deny)},
		nobody:    r.IntN(12) == 0,
		purpose:   among(r, "analytics", "analytics", "analytics", "analytics", "analytics", "analytics", "analytics", "billing"),
		to:        among[policy.RegionID](r, "us1", "us1", "us1", "us1", "us1", "us1", "us1", "us1", "ie1"),
		threshold: among(r, 10, 10, 10, 10, 10, 10, 15, 30),
		expires:   among(r, -time.Hour, 30*time.Second, 1000*time.Hour, 1000*time.Hour, 1000*time.Hour),
		proof:     among(r, policy.Declared, policy.Declared, policy.Declared, policy.Declared, policy.OperatorSigned),
	}
	if p.rule.Effect != policy.Deny {
		p.rule.Basis = among(r, "PSEUDONYMISED-UC2", "SCC", "SCC", "SCC", "NOBODY-KNOWS")
	}
	if p.rule.Effect == policy.Cap {
		p.rule.PerDay = 1 + r.Uint64N(3)
	}
	return p
}

func among[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func (x proposed) edit(begin time.Time) func(*policy.ResidencyPolicy) {
	return func(p *policy.ResidencyPolicy) {
		p.Egress[policy.PseudonymisedExport] = x.rule
		to := &p.Recipients.List[0]
		to.AssessmentExpiry, to.Threshold, to.Purpose, to.Region = begin.Add(x.expires), x.threshold, x.purpose, x.to
		p.MinAttestation = x.proof
		if x.nobody {
			p.Recipients = policy.Recipients{DenyAll: true}
		}
	}
}

// What a simulation says of a day is what happens on such a day when the proposed
// policy is in force: as much leaves, in as many transfers and on the same basis,
// and whatever rule denies in the one denies in the other. Of transfers that would
// have been others, to another region, for another purpose or past a higher
// threshold, it says no more than that they would not have been these.
func TestASimulationIsWhatHappensWhenItIsApplied(t *testing.T) {
	alone := map[string]int{} // transfers that one rule alone denied, by it; "" are those that were allowed
	replaced := 0             // transfers that left in the place of those that would have been others
	for i := range *simulations {
		x := proposal(*simulationSeed + i)
		t.Run(fmt.Sprintf("seed %d", *simulationSeed+i), func(t *testing.T) {
			t.Logf("%+v", x)
			was := newRegion(t)
			begin := was.now
			edit := x.edit(begin)
			check(t, was.round())
			was.sends("a", x.transfers)
			trial := was.proposal(edit)
			said, flow := was.simulate(trial, 1)
			if said.Replayed != x.transfers || flow.Allowed.Transfers+flow.Denied.Transfers != int64(x.transfers) {
				t.Fatalf("of %d transfers: %+v", x.transfers, said)
			}

			want := flow.Allowed
			if x.others() {
				if flow.Allowed.Transfers > 0 {
					t.Errorf("they would have been others, and the simulation lets some go as they were: %+v", flow)
				}
				want = was.inTheirPlace(x, begin)
				replaced += int(want.Transfers)
			}

			is := newRegion(t)
			is.declare(1, x.rule, edit)
			// Under a rule that forbids, a round fails, or sends nothing.
			_ = is.round()
			for i := range x.transfers {
				now := is.view // the records are there, whether or not the rules would take more in
				is.policy(1, allowed)
				is.ingest(fmt.Sprint("a", i), 20, "IE")
				is.view = now
				is.after(window + 2*grace)
				_ = is.round()
			}
			is.sameRules(trial)
			alone[""] += int(flow.Allowed.Transfers)
			for rule, n := range flow.Reasons {
				if len(flow.Reasons) == 1 {
					alone[rule] += int(n.Transfers)
				}
			}
			if got := int64(is.road.rows); got != want.Rows {
				t.Errorf("the simulation lets %d rows go, and in force it lets %d: %+v", want.Rows, got, flow)
			}
			if got := int64(len(is.road.payloads)); got != want.Transfers {
				t.Errorf("the simulation lets %d transfers go, and in force it lets %d: %+v", want.Transfers, got, flow)
			}
			if flow.Allowed.Transfers > 0 && flow.NewBasis != x.rule.Basis {
				t.Errorf("on the basis %q, want %q", flow.NewBasis, x.rule.Basis)
			}
		})
	}
	t.Logf("transfers by the one rule that denied them: %v; %d left in the place of others", alone, replaced)
	if *simulations >= 24 && *simulationSeed == 100 && replaced == 0 {
		t.Error("none left in the place of others: it shows little")
	}
	for _, rule := range []policy.RuleCode{policy.RuleEgressDenied, policy.RuleEgressCap, policy.RuleAssessmentExpired, policy.RuleAttestation} {
		if *simulations >= 24 && *simulationSeed == 100 && (alone[rule.String()] == 0 || alone[""] == 0) {
			t.Errorf("no transfer was denied by %v alone, or none allowed: it shows little", rule)
		}
	}
}

// others reports whether transfers would have been others.
func (x proposed) others() bool {
	return !x.nobody && (x.to != "us1" || x.purpose != "analytics" || x.threshold != 10)
}

// inTheirPlace is what leaves when transfers would have been others.
func (r *region) inTheirPlace(x proposed, begin time.Time) Tally {
	r.t.Helper()
	const rows, colluding = 20, 3 // of each transfer, and of the recipient
	if x.threshold+colluding > rows {
		return Tally{}
	}
	x.to, x.purpose, x.threshold = "us1", "analytics", 10
	_, flow := r.simulate(r.proposal(x.edit(begin)), 1)
	return flow.Allowed
}

// sameRules asks the gate in force what the trial was asked: each rule that denies
// in one denies in the other.
func (r *region) sameRules(trial *gate.Trial) {
	r.t.Helper()
	for _, q := range []gate.Question{
		{Op: policy.Export, Class: policy.CallRecord, Egress: policy.PseudonymisedExport, Recipient: recipient, Purpose: "analytics"},
		{Op: policy.Export, Class: policy.CallRecord, Egress: policy.PseudonymisedExport, Recipient: recipient, Purpose: "billing", SentToday: 3},
		{Op: policy.Export, Class: policy.Recording, Egress: policy.PseudonymisedExport, Recipient: recipient, Purpose: "analytics"},
		{Op: policy.Export, Class: policy.CallRecord, Egress: policy.Aggregate, Recipient: recipient, Purpose: "analytics"},
		{Op: policy.View, Class: policy.CallRecord}, {Op: policy.Ingest, Class: policy.CallRecord}, {Op: policy.Erase, Class: policy.Transcript},
	} {
		verdict := trial.Ask(q, r.now)
		q.Tenant = tenant
		_, err := r.gate.Check(q)
		var said []string
		for _, code := range verdict.Denied {
			said = append(said, code.String())
		}
		got := rulesOf(err)
		slices.Sort(said)
		slices.Sort(got)
		if strings.Join(said, " ") != strings.Join(got, " ") || verdict.Allowed() != (err == nil) {
			r.t.Errorf("%v %v: the trial denies by %v, the gate in force by %v (%v)", q.Op, q.Class, said, got, err)
		}
	}
}
