package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/audit/verify"
)

// liesAboutLeaves serves a log of 2500 records as a control plane does, and then lets lie
// change each page; asked counts the pages.
func liesAboutLeaves(t *testing.T, lie func(page int, p *controlv1.ListLeavesResponse)) (cp *client.Control, asked *int) {
	asked = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if *asked++; *asked > 50 {
			panic(http.ErrAbortHandler) // it would go on for ever
		}
		at, _ := strconv.Atoi(r.URL.Query().Get("page_token"))
		p := &controlv1.ListLeavesResponse{Size: 2500}
		for n := at; n < min(at+auditPage, 2500); n++ {
			p.Leaves = append(p.Leaves, leafNumber(t, uint64(n)))
		}
		if at+auditPage < 2500 {
			p.NextPageToken = strconv.Itoa(at + auditPage)
		}
		lie(*asked, p)
		out, err := protojson.Marshal(p)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out)
	}))
	t.Cleanup(s.Close)
	return &client.Control{BaseURL: s.URL, HTTP: s.Client()}, asked
}

func leafNumber(t *testing.T, n uint64) *controlv1.Leaf {
	record, err := json.Marshal(verify.Leaf{Format: 1, Index: n, Time: time.Unix(int64(n), 0).UTC(), Actor: "bootstrap", Action: "policy.put",
		Resource: "TN000000000000000000000000000000aa", Revision: n + 1, Command: strings.Repeat("0", 64), Outcome: "applied"})
	if err != nil {
		t.Fatal(err)
	}
	return &controlv1.Leaf{Record: string(record), Index: n}
}

// A server that goes in a circle, leaves a number out, or gives one twice is told of, with
// what to do; it is never followed for ever, and never believed.
func TestINV26_AServersOrderAndPageTokensAreNotBelieved(t *testing.T) {
	type lie = func(int, *controlv1.ListLeavesResponse)
	for name, c := range map[string]struct {
		filter string
		lie    lie
		kind   verify.Kind
		why    string
	}{
		"the truth":           {"", func(int, *controlv1.ListLeavesResponse) {}, "", ""},
		"the truth, filtered": {`action = "key.delete"`, func(_ int, p *controlv1.ListLeavesResponse) { p.Leaves = nil }, "", ""},
		"the first page again, and again": {"", func(_ int, p *controlv1.ListLeavesResponse) { p.NextPageToken = "0" },
			verify.OutOfOrder, "gave record 0 again"},
		"empty pages in a circle": {`action = "key.delete"`, func(_ int, p *controlv1.ListLeavesResponse) { p.Leaves, p.NextPageToken = nil, "0" },
			verify.OutOfOrder, "page token twice"},
		"empty pages, always another token": {"", func(n int, p *controlv1.ListLeavesResponse) { p.Leaves, p.NextPageToken = nil, strconv.Itoa(n) },
			verify.Truncated, "an empty page"},
		"a record left out":          {"", func(_ int, p *controlv1.ListLeavesResponse) { p.Leaves = append(p.Leaves[:7:7], p.Leaves[8:]...) }, verify.OutOfOrder, "passed over record 7"},
		"a record twice":             {"", func(_ int, p *controlv1.ListLeavesResponse) { p.Leaves[8] = p.Leaves[7] }, verify.OutOfOrder, "gave record 7 again"},
		"a record twice, filtered":   {`action = "policy.put"`, func(_ int, p *controlv1.ListLeavesResponse) { p.Leaves[8] = p.Leaves[7] }, verify.OutOfOrder, "gave record 7 again"},
		"another's number beside it": {"", func(_ int, p *controlv1.ListLeavesResponse) { p.Leaves[7].Record = p.Leaves[9].GetRecord() }, verify.OutOfOrder, "number 7 that says of itself that it is number 9"},
		"a number beyond the end":    {"", func(_ int, p *controlv1.ListLeavesResponse) { p.Leaves[0] = leafNumber(t, 9000) }, verify.OutOfOrder, "passed over record 0"},
		"an early end":               {"", func(_ int, p *controlv1.ListLeavesResponse) { p.NextPageToken = "" }, verify.Truncated, "before record 2499"},
		"an early end, filtered":     {`action = "key.delete"`, func(_ int, p *controlv1.ListLeavesResponse) { p.Leaves, p.NextPageToken = nil, "" }, verify.Truncated, "before record 2499"},
	} {
		t.Run(name, func(t *testing.T) {
			cp, asked := liesAboutLeaves(t, c.lie)
			took := uint64(0)
			err := eachLeaf(context.Background(), cp, 0, 2500, c.filter, func(l *controlv1.Leaf) error {
				if l.GetIndex() != took {
					return fmt.Errorf("took %d after %d records", l.GetIndex(), took)
				}
				took++
				return nil
			})
			if *asked > 3 {
				t.Errorf("%d pages were asked for; the log has three", *asked)
			}
			var f *verify.Finding
			if c.kind == "" {
				if err != nil || c.filter == "" && took != 2500 {
					t.Errorf("%d records, then %v", took, err)
				}
			} else if !errors.As(err, &f) || f.Kind != c.kind || !strings.Contains(f.Why, c.why) || !strings.Contains(f.Why, "ask another voter") {
				t.Errorf("it said %v; want %s, %q, and what to do", err, c.kind, c.why)
			}
		})
	}
}
