package provider_test

import (
	"net/http"
	"testing"
	"time"
)

// An answer that does not come ends the run at the limit that was set, says so, and
// leaves no state; the run after it finds what was done meanwhile.
func TestATimeoutEndsARunAndTheNextConverges(t *testing.T) {
	s := open(t)
	release := make(chan struct{})
	g := s.gate("cp1")
	g.hold = func(r *http.Request) <-chan struct{} {
		if r.Method == http.MethodPost && r.URL.Path == "/v1/tenants" {
			return release
		}
		return nil
	}
	s.config(clinic("tf-slow", "ie1", "IE", "  timeouts = { create = \"3s\" }"))
	began := time.Now()
	out, code := s.apply()
	if took := time.Since(began); took > 90*time.Second { // 2 minutes, if the limit were not heard
		t.Errorf("it took %s to give up after 3s", took)
	}
	close(release)
	s.refused(out, code, "The tenant was not placed")
	if got := s.state("domicile_tenant", "t"); got != nil {
		t.Errorf("the state knows of it: %v", got)
	}
	s.config(clinic("tf-slow", "ie1", "IE", ""))
	s.applied()

	s.config(clinic("tf-slow", "ie1", "IE", "  timeouts = { create = \"soon\" }"))
	out, code = s.plan()
	s.refused(out, code, "It must be a duration")
}
