package server

import (
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/policy"
)

// zerosZipped are so many zero bytes in a gzip member.
func zerosZipped(t *testing.T, size int) string {
	t.Helper()
	var out strings.Builder
	w := gzip.NewWriter(&out)
	zero := make([]byte, 1<<20)
	for left := size; left > 0; left -= len(zero) {
		_, err := w.Write(zero[:min(left, len(zero))])
		must(t, err)
	}
	must(t, w.Close())
	return out.String()
}

// A bomb of zeros once was answered 200, because a zero byte was taken for the end of
// the body. It is one line of more than a record may have; one that is short enough
// is a payload that cannot be parsed, and is kept as one.
func TestINV41_ABombOfZerosIsRefusedAndAFewAreQuarantined(t *testing.T) {
	r := start(t)
	for _, size := range []int{2 << 20, 64 << 20, 256 << 20} {
		bomb := zerosZipped(t, size)
		status, h, raw := r.ask(http.MethodPost, "/v1/calls:batch", writer, strings.NewReader(bomb), "Content-Encoding", "gzip")
		if p := r.problem(policy.PayloadTooLarge, status, h, raw); p.Metadata["accepted"] != "0" || p.Metadata["quarantined"] != "0" {
			t.Errorf("%d zeros: %v", size, p.Metadata)
		}
	}
	for _, size := range []int{1, 4096, 1 << 20} {
		status, _, raw := r.ask(http.MethodPost, "/v1/calls:batch", writer, strings.NewReader(zerosZipped(t, size)), "Content-Encoding", "gzip")
		var got data.Counts
		must(t, json.Unmarshal(raw, &got))
		if status != http.StatusOK || got.Accepted != 0 || got.Quarantined != 1 {
			t.Errorf("%d zeros: %d %s", size, status, raw)
		}
	}
	status, _, raw := r.ask(http.MethodPost, "/v1/calls:batch", writer, strings.NewReader(lines(3)+strings.Repeat("\x00", 4096)+"\n"+strings.ReplaceAll(lines(4), "native_id\":\"", "native_id\":\"later")))
	var got data.Counts
	must(t, json.Unmarshal(raw, &got))
	if status != http.StatusOK || got.Accepted != 7 || got.Quarantined != 1 {
		t.Errorf("a hole in a file: %d %s", status, raw)
	}
}

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
