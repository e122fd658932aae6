package modules_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
)

// results are what one `terraform test` of a folder said.
type results struct {
	status          string
	passed, skipped int
	problems        string                                // diagnostics
	outputs         map[string]map[string]json.RawMessage // of each run that applied
}

var (
	testedMu sync.Mutex
	testedOf = map[string]*results{}
)

// tested runs the tests of a folder, once for all tests here that ask.
func tested(t *testing.T, folder string) *results {
	t.Helper()
	testedMu.Lock()
	defer testedMu.Unlock()
	if testedOf[folder] == nil {
		testedOf[folder] = open(t).test(folder)
	}
	return testedOf[folder]
}

// test runs `terraform test`.
func (s *space) test(folder string, args ...string) *results {
	s.t.Helper()
	s.init(folder)
	out, _ := s.run(folder, append([]string{"test", "-json", "-verbose"}, args...)...)
	r := &results{outputs: map[string]map[string]json.RawMessage{}}
	for line := range strings.Lines(out) {
		var event struct {
			Type    string `json:"type"`
			Run     string `json:"@testrun"`
			Message string `json:"@message"`
			State   struct {
				Outputs map[string]struct {
					Value json.RawMessage `json:"value"`
				} `json:"outputs"`
			} `json:"test_state"`
			Diagnostic struct {
				Severity string `json:"severity"`
				Summary  string `json:"summary"`
				Detail   string `json:"detail"`
			} `json:"diagnostic"`
			Summary struct {
				Status  string `json:"status"`
				Passed  int    `json:"passed"`
				Skipped int    `json:"skipped"`
			} `json:"test_summary"`
		}
		if json.Unmarshal([]byte(line), &event) != nil {
			r.problems += line
			continue
		}
		switch event.Type {
		case "diagnostic":
			r.problems += event.Run + ": " + event.Diagnostic.Severity + ": " + event.Diagnostic.Summary + ": " + event.Diagnostic.Detail + "\n"
		case "test_state":
			r.outputs[event.Run] = map[string]json.RawMessage{}
			for name, o := range event.State.Outputs {
				r.outputs[event.Run][name] = o.Value
			}
		case "test_summary":
			r.status, r.passed, r.skipped = event.Summary.Status, event.Summary.Passed, event.Summary.Skipped
		}
	}
	return r
}
