package controlplane_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// ids reads one field of each element of a list.
func ids(a answer, list, field string) []string {
	var out []string
	for _, x := range a.Body[list].([]any) {
		id, _ := x.(map[string]any)[field].(string)
		out = append(out, id)
	}
	return out
}

func TestINV10_PageTokensBelongToOneQuery(t *testing.T) {
	c := newCluster(t, 1)
	mine, other := c.furnished("mine-alone"), c.furnished("other-alone")
	c.furnished("third-alone")
	get := func(path string, h headers) answer { return c.do(0, "GET", path, nil, h) }
	first := c.want(get("/v1/tenants?page_size=1&filter=home_region+%3D+%22ie1%22", nil), 200, "")
	token := first.str("next_page_token")
	if token == "" {
		t.Fatalf("no next page: %s", first.Raw)
	}
	// The same query goes on, whatever its page size and mask.
	second := c.want(get("/v1/tenants?page_size=2&read_mask=id&filter=home_region+%3D+%22ie1%22&page_token="+token, nil), 200, "")
	if got := append(ids(first, "tenants", "id"), ids(second, "tenants", "id")...); len(got) != 3 || got[0] == got[1] || got[1] == got[2] {
		t.Errorf("pages: %v", got)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	forged := base64.RawURLEncoding.EncodeToString(append([]byte("12345678"), raw[8:]...))
	bare := base64.RawURLEncoding.EncodeToString(raw[8:])
	admin := c.token("tenant_admin", mine.id)
	for name, path := range map[string]string{
		"another filter":       "/v1/tenants?filter=home_region+%3D+%22us1%22&page_token=" + token,
		"no filter":            "/v1/tenants?page_token=" + token,
		"another parameter":    "/v1/tenants?home_region=ie1&page_token=" + token,
		"another list":         "/v1/regions?page_token=" + token,
		"another tenant's":     "/v1/tenants/" + other.slug + "/keys?page_token=" + token,
		"a forged binding":     "/v1/tenants?filter=home_region+%3D+%22ie1%22&page_token=" + forged,
		"a cursor of no query": "/v1/tenants?filter=home_region+%3D+%22ie1%22&page_token=" + bare,
	} {
		a := c.want(get(path, nil), 400, policy.InvalidArgument)
		if !strings.Contains(a.Raw, "page_token") {
			t.Errorf("%s: %s", name, a.Raw)
		}
	}
	c.want(get("/v1/tenants?filter=home_region+%3D+%22ie1%22&page_token="+token, admin), 400, policy.InvalidArgument) // the operator's view
	// Paging through one's own, a tenant never sees where another's are.
	for token := ""; ; {
		a := c.want(get("/v1/changes?page_size=1"+token, admin), 200, "")
		inner, err := base64.RawURLEncoding.DecodeString(a.str("next_page_token"))
		if err != nil {
			t.Fatal(err)
		}
		if len(inner) > 8 { // behind the binding stands the handler's own cursor
			cursor, err := base64.RawURLEncoding.DecodeString(string(inner[8:]))
			if err != nil {
				t.Fatal(err)
			}
			inner = cursor
		}
		for _, name := range other.names() {
			if strings.Contains(a.Raw, name) || strings.Contains(string(inner), name) {
				t.Errorf("a page of one tenant holds %s of another", name)
			}
		}
		if len(inner) == 0 {
			break
		}
		token = "&page_token=" + a.str("next_page_token")
	}
}

func TestFilters(t *testing.T) {
	c := newCluster(t, 1)
	c.tenant("irish", "ie1")
	c.tenant("american", "us1")
	list := func(path, filter string) answer {
		return c.do(0, "GET", path+"?filter="+url.QueryEscape(filter), nil, nil)
	}
	for filter, want := range map[string]string{
		`slug = "irish"`:                                    "irish",
		`slug=irish`:                                        "irish",
		`home_region = "us1"`:                               "american",
		`home_region != "us1"`:                              "irish",
		`home_region = "us1" AND slug = "irish"`:            "",
		`home_region = "us1" AND state = active`:            "american",
		`home_epoch = 1 AND slug != irish`:                  "american",
		`contracting_entity != "X" AND boundary = "eu"`:     "irish",
		`assurance = "operator" AND billing_country = "ZZ"`: "",
	} {
		a := c.want(list("/v1/tenants", filter), 200, "")
		if got := strings.Join(ids(a, "tenants", "slug"), ","); got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	a := c.want(list("/v1/regions", `lifecycle = "active" AND boundary = "eu"`), 200, "")
	if got := ids(a, "regions", "id"); len(got) != 1 || got[0] != "ie1" {
		t.Errorf("active regions of eu: %v", got)
	}
	for _, bad := range []string{`owner = "x"`, `slug`, `slug ~ "x"`, `slug = "a" OR slug = "b"`, `slug = "+353861234567"`, `create_time = "x"`, `NOT slug = "x"`, `slug = "x" AND`,
		`slug = "` + strings.Repeat("a", 65) + `"`, `slug = "x"` + strings.Repeat(` AND slug = "x"`, 9), `secret = ""; --`} {
		c.want(list("/v1/tenants", bad), 400, policy.InvalidArgument)
	}
}

func TestFieldMasks(t *testing.T) {
	c := newCluster(t, 1)
	made := c.tenant("acme", "ie1")
	one := c.want(c.do(0, "GET", "/v1/tenants/acme?read_mask=slug,home_epoch", nil, nil), 200, "")
	if len(one.Body) != 2 || one.str("slug") != "acme" || one.Body["home_epoch"] != 1.0 || one.Header.Get("ETag") == "" {
		t.Errorf("read_mask: %s", one.Raw)
	}
	list := c.want(c.do(0, "GET", "/v1/tenants?read_mask=id", nil, nil), 200, "")
	element := list.Body["tenants"].([]any)[0].(map[string]any)
	if len(element) != 1 || element["id"] != made.str("id") {
		t.Errorf("read_mask of a list: %s", list.Raw)
	}
	if _, ok := list.Body["next_page_token"]; !ok {
		t.Errorf("a mask took the page's token: %s", list.Raw)
	}
	for _, bad := range []string{"owner", "id,", "id,owner", "*", "policy.rules", "id;slug"} {
		c.want(c.do(0, "GET", "/v1/tenants/acme?read_mask="+url.QueryEscape(bad), nil, nil), 400, policy.InvalidArgument)
	}
	patch := func(body map[string]any, tag string) answer {
		return c.do(0, "PATCH", "/v1/tenants/acme", body, headers{"If-Match": tag})
	}
	tag := made.str("etag")
	c.want(patch(map[string]any{"billing_country": "DE", "update_mask": "slug"}, tag), 400, policy.InvalidArgument)
	c.want(patch(map[string]any{"billing_country": "DE", "update_mask": "id"}, tag), 400, policy.InvalidArgument)
	c.want(patch(map[string]any{"update_mask": "billing_country"}, tag), 400, policy.InvalidArgument)
	a := c.want(patch(map[string]any{"billing_country": "GB", "update_mask": "billing_country"}, tag), 200, "")
	if a.str("billing_country") != "GB" {
		t.Errorf("masked update: %s", a.Raw)
	}
}
