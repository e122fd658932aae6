package export

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/policy"
)

// sends makes n transfers of 20 rows each, one a window.
func (r *region) sends(name string, n int) {
	r.t.Helper()
	for i := range n {
		r.ingest(fmt.Sprint(name, i), 20, "IE")
		r.after(window + 2*grace)
		check(r.t, r.round())
	}
}

// proposal is the policy in force, changed by edit.
func (r *region) proposal(edit func(*policy.ResidencyPolicy)) *gate.Trial {
	r.t.Helper()
	p := policy.DefaultPolicy(tenant, policy.Region{ID: "ie1", Boundary: "eu"}, "DOM-IE")
	base, err := r.gate.Base(tenant)
	check(r.t, err)
	p.Revision = base.Revision
	p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Allow, Basis: "PSEUDONYMISED-UC2"}
	p.Recipients = policy.Recipients{List: []policy.Recipient{{ID: recipient, Region: "us1", Purpose: "analytics", Transforms: "standard",
		Threshold: 10, Colluding: 3, AssessmentHash: strings.Repeat("a", 64), AssessmentExpiry: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}}}
	edit(&p)
	trial, err := r.gate.Propose(&p, "policy")
	check(r.t, err)
	return trial
}

func (r *region) simulate(trial *gate.Trial, days int) (Simulation, Simulated) {
	r.t.Helper()
	s, err := r.exporter.Simulate(context.Background(), trial, days)
	check(r.t, err)
	if len(s.Flows) != 1 {
		r.t.Fatalf("%+v", s)
	}
	return s, s.Flows[0]
}

func TestSimulationJudgesByTheProposedPolicy(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.sends("a", 3)
	capped := func(n uint64) func(*policy.ResidencyPolicy) {
		return func(p *policy.ResidencyPolicy) {
			p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Cap, PerDay: n, Basis: "SCC"}
		}
	}
	for name, c := range map[string]struct {
		edit    func(*policy.ResidencyPolicy)
		allowed int64
		basis   string
		reasons []string
	}{
		"the same": {func(*policy.ResidencyPolicy) {}, 3, "PSEUDONYMISED-UC2", nil},
		"another basis": {func(p *policy.ResidencyPolicy) {
			p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Allow, Basis: "SCC"}
		}, 3, "SCC", nil},
		"an unknown basis and a closed assessment, both named": {func(p *policy.ResidencyPolicy) {
			p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Allow, Basis: "NOBODY-KNOWS"}
			p.Recipients.List[0].AssessmentExpiry = r.now.Add(-24 * time.Hour)
		}, 0, "", []string{"ASSESSMENT_EXPIRED", "BASIS_UNKNOWN"}},
		"closed": {func(p *policy.ResidencyPolicy) {
			p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Deny}
		}, 0, "", []string{"EGRESS_DENIED"}},
		"cap of two":        {capped(2), 2, "SCC", []string{"EGRESS_CAP"}},
		"cap of three":      {capped(3), 3, "SCC", nil},
		"nobody":            {func(p *policy.ResidencyPolicy) { p.Recipients = policy.Recipients{DenyAll: true} }, 0, "", []string{"UNKNOWN_RECIPIENT"}},
		"another purpose":   {func(p *policy.ResidencyPolicy) { p.Recipients.List[0].Purpose = "billing" }, 0, "", []string{"PURPOSE_MISMATCH"}},
		"another place":     {func(p *policy.ResidencyPolicy) { p.Recipients.List[0].Region = "ie1" }, 0, "", []string{"RECIPIENT_CHANGED"}},
		"a higher gate":     {func(p *policy.ResidencyPolicy) { p.Recipients.List[0].Threshold = 30 }, 0, "", []string{"THRESHOLD_RAISED"}},
		"stronger evidence": {func(p *policy.ResidencyPolicy) { p.MinAttestation = policy.OperatorSigned }, 0, "", []string{"ATTESTATION_TOO_WEAK"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := r.simulate(r.proposal(c.edit), 1)
			if s.Replayed != 3 || s.Cut || f.Happened[Acknowledged].Rows != 60 || f.Basis != "PSEUDONYMISED-UC2" || f.Happened[Acknowledged].Bytes == 0 {
				t.Errorf("what happened: %+v", s)
			}
			if f.Allowed.Transfers != c.allowed || f.Allowed.Rows != 20*c.allowed || f.Denied.Transfers != 3-c.allowed || f.NewBasis != c.basis || len(f.Reasons) != len(c.reasons) {
				t.Errorf("what would have: %+v, want %+v", f, c)
			}
			for _, reason := range c.reasons {
				if f.Reasons[reason].Transfers != 3-c.allowed {
					t.Errorf("reasons: %+v, want %v", f.Reasons, c.reasons)
				}
			}
		})
	}
}

// What is simulated neither counts against the cap in force nor writes a byte,
// and the cap of a day is not used up by another day's.
func TestSimulationChangesNothing(t *testing.T) {
	r := newRegion(t)
	r.policy(1, policy.EgressRule{Effect: policy.Cap, PerDay: 3, Basis: "PSEUDONYMISED-UC2"})
	check(t, r.round())
	r.sends("a", 2)
	before, err := os.ReadFile(filepath.Join(r.dir, "outbox.db"))
	check(t, err)
	trial := r.proposal(func(p *policy.ResidencyPolicy) {
		p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Cap, PerDay: 2, Basis: "SCC"}
	})
	first, f := r.simulate(trial, 1)
	for range 5 {
		if again, _ := r.simulate(trial, 1); !reflect.DeepEqual(first, again) {
			t.Errorf("%+v became %+v", first, again)
		}
	}
	if f.Allowed.Transfers != 2 {
		t.Errorf("%+v", f)
	}
	after, err := os.ReadFile(filepath.Join(r.dir, "outbox.db"))
	check(t, err)
	if string(before) != string(after) {
		t.Error("a simulation wrote to the outbox")
	}
	r.sends("b", 1) // the third of the day that the policy in force allows
	if r.road.rows != 60 {
		t.Fatalf("%d rows left, want 60: a simulation used up the day's cap", r.road.rows)
	}
	r.after(24 * time.Hour)
	r.sends("c", 2)
	if s, f := r.simulate(trial, 2); s.Replayed != 5 || f.Allowed.Transfers != 4 || f.Reasons["EGRESS_CAP"].Transfers != 1 {
		t.Errorf("two days: %+v", s)
	}
	if s, f := r.simulate(trial, 1); s.Replayed != 2 || f.Allowed.Transfers != 2 {
		t.Errorf("the last day: %+v", s)
	}
}

func TestSimulationIsBounded(t *testing.T) {
	r := newRegion(t)
	check(t, r.round())
	r.sends("a", 3)
	trial := r.proposal(func(*policy.ResidencyPolicy) {})
	list, _, err := r.exporter.Outbox().Transfers(tenant, 10, "")
	check(t, err)
	s, err := r.exporter.replay(context.Background(), trial, r.now.Add(-time.Hour), r.now, 2)
	check(t, err)
	if !s.Cut || s.Replayed != 2 || !s.Until.Equal(list[1].CreatedAt) {
		t.Errorf("more than the most: %+v", s)
	}
	s, err = r.exporter.replay(context.Background(), trial, r.now.Add(-time.Hour), r.now, 3)
	check(t, err)
	if s.Cut || s.Replayed != 3 || !s.Until.Equal(r.now) {
		t.Errorf("just the most: %+v", s)
	}
	r.exporter.simulating.Lock()
	if _, err := r.exporter.Simulate(context.Background(), trial, 1); !errors.Is(err, &policy.Error{Reason: policy.Overloaded}) {
		t.Errorf("two at once: %v", err)
	}
	r.exporter.simulating.Unlock()
	for _, days := range []int{-1, 0, MaxSimulatedDays + 1} {
		if _, err := r.exporter.Simulate(context.Background(), trial, days); !errors.Is(err, &policy.Error{Reason: policy.InvalidArgument}) {
			t.Errorf("%d days: %v", days, err)
		}
	}
}
