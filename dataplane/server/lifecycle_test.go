package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// eachRoute asks every route that needs a credential, with a key that may.
func (r *region) eachRoute(ask func(row route, method, at, key string)) {
	for _, row := range routes {
		if row.public != nil || row.pattern == "GET /v1/received" {
			continue
		}
		method, pattern, _ := strings.Cut(row.pattern, " ")
		at := strings.NewReplacer("{source}", "kamailio", "{name}", "edge", "{part}", "acc", "{id}", "CA"+strings.Repeat("0", 32)).Replace(pattern)
		ask(row, method, at, admin)
	}
}

// A region answers 501 on every path of a feature that it has not got, and only
// on those; without a word about features nothing is refused.
func TestAbsentFeatureIs501OnEachOfItsPaths(t *testing.T) {
	for _, stage := range []policy.Stage{"", policy.StageNone, policy.StagePilot} {
		r := start(t)
		if stage != "" {
			stages := map[policy.Feature]policy.Stage{policy.Voice: stage, policy.RecordingFeature: policy.StageNone}
			r.bundle.view.Store(newView(t, 2, append(rows(), policy.Row{Format: policy.FormatVersion, Features: &policy.RegionFeatures{Region: "ie1", Stages: stages}})))
		}
		seen := 0
		r.eachRoute(func(row route, method, at, key string) {
			status, h, raw := r.ask(method, at, key, nil)
			absent := stage != "" && (row.feature == policy.RecordingFeature || row.feature == policy.TranscriptFeature || row.feature == policy.Voice && stage == policy.StageNone)
			if got := status == http.StatusNotImplemented && strings.Contains(string(raw), string(policy.FeatureNotInRegion)); got != absent {
				t.Errorf("voice at %q: %s answers %d %s", stage, row.pattern, status, raw)
			}
			if absent {
				seen++
				r.problem(policy.FeatureNotInRegion, status, h, raw)
			}
			r.refusal(policy.Unauthenticated, method, at, "", "") // nobody learns what the region has without a key
		})
		if stage == policy.StageNone && seen < 12 {
			t.Errorf("only %d paths belong to a feature", seen)
		}
	}
}

// The keys of a suspended or ending tenant get 403 on every path; another
// tenant's are served.
func TestSuspendedTenantsKeysAreRefusedEverywhere(t *testing.T) {
	for _, state := range []policy.TenantState{policy.TenantSuspended, policy.TenantPurging} {
		r := start(t)
		all := rows()
		all[0].Tenant.State = state
		r.bundle.view.Store(newView(t, 2, all))
		r.eachRoute(func(row route, method, at, key string) {
			p := r.refusal(policy.PermissionDenied, method, at, key, "")
			if p.Metadata["state"] != string(state) || p.Metadata["rules"] != "TENANT_SUSPENDED" {
				t.Errorf("%s: %+v", row.pattern, p)
			}
		})
		r.refusal(policy.Unauthenticated, http.MethodGet, "/v1/calls", strings.Replace(admin, "sk_ie1_", "sk_ie1_0", 1)[:len(admin)], "")
		if status, _, raw := r.ask(http.MethodGet, "/v1/rollups?day=2026-01-01", key("ie1", "b", policy.RoleReader), nil); status != http.StatusOK {
			t.Errorf("another tenant: %d %s", status, raw)
		}
	}
}
