package control

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

var home = policy.Region{ID: "ie1", Boundary: "eu", Country: "IE", Cloud: "aws-eu-west-1", BackupRegion: "none", Lifecycle: policy.Active}

func full() policy.ResidencyPolicy {
	p := policy.DefaultPolicy("TN00000000000000000000000000000000", home, "DOM-IE")
	p.Recipients = policy.Recipients{List: []policy.Recipient{{ID: "RP00000000000000000000000000000000", Region: "us1", Purpose: "fraud", Transforms: "standard",
		Threshold: 12, Colluding: 4, AssessmentHash: strings.Repeat("a", 64), AssessmentExpiry: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}}}
	p.Consent = map[policy.DataClass][]string{policy.Recording: {"training"}}
	p.Egress[policy.Aggregate] = policy.EgressRule{Effect: policy.Cap, PerDay: 3, Basis: "SCC"}
	p.Access.AllowedReasons = []string{"CUSTOMER_INITIATED_SUPPORT"}
	p.AllowRegionChange = true
	return p
}

// What is read and written back unchanged must not change the policy: else a
// client that edits one field would loosen another.
func TestRulesSurviveARoundTrip(t *testing.T) {
	p := full()
	got, err := ApplyRules(p, RulesOf(&p), "rules")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, got); d != "" {
		t.Errorf("changed on the way (-was +is):\n%s", d)
	}
	if kind, _ := policy.Classify(&p, &got); kind != policy.Neutral {
		t.Errorf("a round trip is %s", kind)
	}
}

func TestApplyRulesNamesEveryBadFieldAndNoValue(t *testing.T) {
	p := full()
	_, err := ApplyRules(p, &controlv1.PolicyRules{
		Classes: map[string]*controlv1.ClassRule{"Aoife": {Mode: "sealed"}, "recording": {Mode: "Aoife"}},
		Egress:  map[string]*controlv1.EgressRule{"Aoife": {}, "MOVE": {Effect: "Aoife"}},
		Consent: map[string]*controlv1.Purposes{"Aoife": {}},
	}, "rules")
	var e *policy.Error
	if !errors.As(err, &e) || e.Reason != policy.InvalidArgument || len(e.Fields) != 6 {
		t.Fatalf("%v: %+v", err, e)
	}
	for _, f := range e.Fields {
		if strings.Contains(f.Field+f.Message, "Aoife") || !strings.HasPrefix(f.Field, "rules.") {
			t.Errorf("field error %+v", f)
		}
	}
}

func TestRegionsSurviveARoundTrip(t *testing.T) {
	got, err := RegionFrom("ie1", RegionOf(home, "1"))
	if err != nil || got != home {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := RegionFrom("us1", RegionOf(home, "1")); err == nil {
		t.Error("a body may name another region than its path")
	}
}
