package system

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/twilio"
	"github.com/domicile-io/domicile/policy"
)

const oneBatch = 10 // records

// lines are a batch, and its first record alone.
func (n *oneName) lines(batch string) (all, first string) {
	for i := range oneBatch {
		id := fmt.Sprintf("%s-%d", batch, i)
		n.sent[id] = true
		all += fmt.Sprintf("{\"native_id\":%q,\"from\":\"+35319100001\",\"to\":\"+35315551234\",\"status\":\"completed\"}\n", id)
	}
	return all, all[:strings.Index(all, "\n")]
}

// batches sends each batch to both nodes, in turn and at once.
func (n *oneName) batches(t *testing.T) {
	for b := range 3 {
		body, first := n.lines(fmt.Sprint("turn-", b))
		for i, want := range []data.Counts{{Accepted: oneBatch}, {Duplicates: oneBatch}} {
			got, err := n.region.Batch(n.ctx, client.Upload{Body: strings.NewReader(body)})
			check(t, err)
			if b == 0 && i == 0 && len(got.Receipts) == 1 {
				n.receipt, n.body = got.Receipts[0], first
			}
			if got.Accepted != want.Accepted || got.Duplicates != want.Duplicates || got.Quarantined != 0 {
				t.Errorf("batch %d, time %d: %+v", b, i, got)
			}
		}
	}
	body, _ := n.lines("once")
	var mu sync.Mutex
	var sum data.Counts
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			got, err := n.region.Batch(n.ctx, client.Upload{Body: strings.NewReader(body)})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("at once: %v", err)
			}
			sum.Accepted, sum.Duplicates = sum.Accepted+got.Accepted, sum.Duplicates+got.Duplicates
		})
	}
	all.Wait()
	if sum.Accepted != oneBatch || sum.Duplicates != 3*oneBatch {
		t.Errorf("four times at once: %+v", sum)
	}
}

func (n *oneName) pages(t *testing.T) { n.whole(t, n.each(t)) }

// twilio follows next_page_uri, which is relative to the name.
func (n *oneName) twilio(t *testing.T) {
	account := twilio.Account(policy.TenantID(n.tenant.GetId()))
	uri, seen := "/2010-04-01/Accounts/"+account+"/Calls.json?PageSize=7", map[string]bool{}
	rows := 0
	for uri != "" {
		r, err := http.NewRequestWithContext(n.ctx, http.MethodGet, n.region.BaseURL+uri, nil)
		check(t, err)
		r.SetBasicAuth(account, strings.ReplaceAll(n.region.Key, "_", "Z"))
		var page twilio.Calls
		_, text := n.ask(t, r, http.StatusOK)
		check(t, json.Unmarshal(text, &page))
		for _, c := range page.Calls {
			rows, seen[*c.Sid] = rows+1, true
		}
		if uri = ""; page.NextPageURI != nil {
			uri = *page.NextPageURI
		}
	}
	if rows != len(n.sent) || len(seen) != rows {
		t.Errorf("%d rows of %d calls, %d were sent", rows, len(seen), len(n.sent))
	}
}

// ask sends one request and wants a status.
func (n *oneName) ask(t *testing.T, r *http.Request, status int) (http.Header, []byte) {
	t.Helper()
	resp, err := n.region.HTTP.Do(r)
	check(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(t, err)
	if resp.StatusCode != status {
		t.Fatalf("%s: %d %s, want %d", r.Method, resp.StatusCode, b, status)
	}
	return resp.Header, b
}

// receipts are given by either node, and hold without any.
func (n *oneName) receipts(t *testing.T) {
	d := desk{t: t, c: n.c, dir: t.TempDir()}
	check(t, os.WriteFile(d.path("body.json"), []byte(n.body), 0o600))
	for i := range n.nodes {
		var form data.Receipt
		until(t, 30*time.Second, "the receipt", func() (err error) { form, err = n.region.Receipt(n.ctx, n.receipt); return err })
		text, err := json.Marshal(form)
		check(t, err)
		file := d.path(fmt.Sprint(i, ".json"))
		check(t, os.WriteFile(file, text, 0o600))
		if out := d.must("receipts", "verify", file, "--region", "ie1", "--ca", n.c.Env.CAFile(), "--body", d.path("body.json")); !strings.Contains(out, "10 records of tenant") {
			t.Errorf("%s", out)
		}
	}
}

// holds are placed and released at either node; the other knows at once.
func (n *oneName) holds(t *testing.T) {
	const person = "+353865550142"
	by := map[string]bool{}
	for i := range n.nodes {
		if i > 0 { // one request more, and it is the other's turn
			_, err := n.region.Holds(n.ctx, "")
			check(t, err)
		}
		_, err := n.region.CreateCall(n.ctx, data.NewCall{NativeID: fmt.Sprint("held-", i), From: person, Status: "completed"})
		check(t, err)
		hold, err := n.region.PutHold(n.ctx, data.HoldRequest{SubjectRef: data.SubjectRef{Number: person}, Reason: "LITIGATION"})
		check(t, err)
		placed := n.caller.lately()
		by[placed] = true
		_, err = n.region.EraseSubject(n.ctx, data.SubjectRef{Number: person})
		if !errors.Is(err, &policy.Error{Reason: policy.LegalHold}) || n.caller.lately() == placed {
			t.Errorf("a hold of %s, an erasure at %s: %v", placed, n.caller.lately(), err)
		}
		_, err = n.region.ReleaseHold(n.ctx, hold.ID)
		check(t, err)
		n.sent[fmt.Sprint("held-", i)] = true
	}
	if len(by) != len(n.nodes) {
		t.Errorf("holds were placed at %v alone", by)
	}
}

// erasures are asked for at one node and followed at both; who was held is erased.
func (n *oneName) erasures(t *testing.T) {
	who := data.SubjectRef{Number: "+353865550142"}
	certificate, err := n.region.EraseSubject(n.ctx, who)
	check(t, err)
	said := map[string]bool{}
	until(t, 60*time.Second, "the erasure, as both nodes tell it", func() error {
		got, err := n.region.Certificate(n.ctx, certificate.ID)
		if err == nil && got.State == "pending" {
			return fmt.Errorf("it is at step %s (%s)", got.Step, got.Problem)
		}
		if said[n.caller.lately()] = err == nil; len(said) < len(n.nodes) {
			return errors.Join(err, errors.New("one node has not said so"))
		}
		return err
	})
	for range n.nodes {
		found, err := n.region.SearchCalls(n.ctx, data.Search{Number: who.Number})
		if check(t, err); len(found.Calls) != 0 {
			t.Errorf("%s finds %d calls", n.caller.lately(), len(found.Calls))
		}
	}
	delete(n.sent, "held-0")
	delete(n.sent, "held-1")
	n.whole(t, n.each(t))
}
