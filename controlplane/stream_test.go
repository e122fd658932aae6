package controlplane_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/api/bundle"
)

// tenants creates n in a region, many at once, and gives their ids.
func (c *cluster) tenants(n int, region string) (ids []string) {
	c.t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan int)
	for range 32 {
		wg.Go(func() {
			for i := range next {
				slug := "many-" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26))
				a, err := c.settled(0, "POST", "/v1/tenants", map[string]any{"slug": slug, "home_region": region, "billing_country": "IE"}, nil)
				if err != nil || a.Status != 201 {
					c.t.Errorf("tenant %d: %v %s", i, err, a.Raw)
					continue
				}
				mu.Lock()
				ids = append(ids, a.str("id"))
				mu.Unlock()
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	slices.Sort(ids)
	return ids
}

// A bundle larger than one part comes in parts, of which only the last is
// sealed; the pages of a list hold every tenant once.
func TestABundleOfManyTenants(t *testing.T) {
	c := newCluster(t, 1)
	ids := c.tenants(1100, "ie1")
	n := c.subscribe(0, "ie1", 0, "")
	var sizes []int
	for sealed := false; !sealed; {
		p := n.next()
		part := p.GetPart()
		if part == nil || int(part.GetNumber()) != len(sizes) || part.GetLast() != (p.GetSeal() != nil) {
			t.Fatalf("push %d: part %d, last %v, sealed %v", len(sizes), part.GetNumber(), part.GetLast(), p.GetSeal() != nil)
		}
		size := 0
		for _, r := range part.GetRows() {
			size += len(r)
		}
		sizes, sealed = append(sizes, size), p.GetSeal() != nil
	}
	if len(sizes) < 2 || slices.Max(sizes) > bundle.MaxPartBytes {
		t.Errorf("parts of %v bytes", sizes)
	}
	for _, id := range ids {
		if _, ok := n.rows["t/"+id]; !ok {
			t.Fatalf("the bundle has no tenant %s", id)
		}
	}
	var listed []string
	path := "/v1/tenants?page_size=300"
	for token := ""; ; {
		a := c.want(c.do(0, "GET", path+token, nil, nil), 200, "")
		for _, x := range a.Body["tenants"].([]any) {
			listed = append(listed, x.(map[string]any)["id"].(string))
		}
		if a.str("next_page_token") == "" {
			break
		}
		token = "&page_token=" + a.str("next_page_token")
	}
	if !slices.Equal(listed, ids) {
		t.Errorf("%d tenants listed, %d made", len(listed), len(ids))
	}
}

// A node that does not read for a while holds up nobody, and catches up when it
// reads again. That one which never reads is cut off is tested in package server,
// with a shorter patience.
func TestASlowNodeHoldsUpNobodyAndCatchesUp(t *testing.T) {
	c := newCluster(t, 1)
	slow, quick := c.subscribe(0, "ie1", 0, ""), c.subscribe(0, "ie1", 0, "")
	for slow.next().GetSeal() == nil {
	}
	var last string
	// One change after another, so that each is a push; far more than a stream's
	// window holds.
	for i := range 250 {
		slug := "one-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		last = c.tenant(slug, "ie1").str("id")
		quick.until("t/"+last, true)
	}
	slow.until("t/"+last, true)
	if slow.revision != quick.revision || slow.state.Hash() != quick.state.Hash() {
		t.Errorf("the slow node holds revision %d, the quick one %d, or other rows", slow.revision, quick.revision)
	}
}

// A region's new address is in every row that names it, which is too much for a
// delta: connected nodes get the whole bundle over the stream they have.
func TestARegionsNewAddressReachesConnectedNodes(t *testing.T) {
	c := newCluster(t, 1)
	n := c.subscribe(0, "us1", 0, "")
	for n.next().GetSeal() == nil {
	}
	ie1 := c.want(c.do(0, "GET", "/v1/regions/ie1", nil, nil), 200, "")
	spec := map[string]any{"base_url": "https://127.0.0.1:7999"}
	for _, k := range []string{"boundary", "country", "cloud", "backup_region", "lifecycle"} {
		spec[k] = ie1.str(k)
	}
	c.want(c.do(0, "PUT", "/v1/regions/ie1", spec, headers{"If-Match": ie1.str("etag")}), 200, "")
	for !strings.Contains(string(n.rows["r/ie1"]), ":7999") {
		n.next() // fails when the stream ends
	}
	if n.kinds[len(n.kinds)-1] != "snapshot" {
		t.Errorf("pushes: %v", n.kinds)
	}
	made := c.tenant("after", "us1")
	n.until("t/"+made.str("id"), true)
}
