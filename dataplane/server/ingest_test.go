package server

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// Two bytes of a body can be one payload in quarantine, with a key of its own: one
// request puts there what a mistake may, and no more. What is good before that is kept.
func TestINV41_QuarantineOfARequestIsBounded(t *testing.T) {
	r := start(t)
	body := "[" + strings.ReplaceAll(strings.TrimSpace(lines(3)), "\n", ",") + strings.Repeat(",0", 4*maxQuarantined) + "]"
	status, h, raw := r.ask(http.MethodPost, "/v1/calls:batch", writer, strings.NewReader(body))
	p := r.problem(policy.InvalidArgument, status, h, raw)
	if n, _ := strconv.Atoi(p.Metadata["quarantined"]); n < maxQuarantined || n > maxQuarantined+chunkRecords || p.Metadata["accepted"] != "3" {
		t.Errorf("%v", p.Metadata)
	}
}
