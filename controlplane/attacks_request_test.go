package controlplane_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Attacks on the gateway with requests that net/http would send (04 sections 5
// and 7). What they have in common: no effect, a problem document, nothing of
// the request in the answer or the log.

const tenantBody = `{"slug":"smuggled","home_region":"ie1","billing_country":"IE"}`

// refused checks an answer to an attack.
func (x *target) refused(t *testing.T, attack string, a answer, statuses ...int) {
	t.Helper()
	if x.without(a) {
		return
	}
	if !slices.Contains(statuses, a.Status) {
		t.Errorf("%s: %d %s, want one of %v", attack, a.Status, a.Raw, statuses)
	}
	if a.Status != 200 && a.str("reason") == "" {
		t.Errorf("%s: %d is no problem document: %s", attack, a.Status, a.Raw)
	}
	if strings.Contains(a.Raw, private) || strings.Contains(a.Raw, "smuggled") {
		t.Errorf("%s: the answer repeats the request: %s", attack, a.Raw)
	}
	for name := range a.Header {
		if strings.HasPrefix(name, "Access-Control-") || strings.HasPrefix(name, "Grpc-") || name == "Location" || name == "Server" {
			t.Errorf("%s: the answer has a header %s", attack, name)
		}
	}
	x.unharmed(t, attack)
}

func TestINV12_MetadataIsNotSmuggled(t *testing.T) { newTarget(t).metadataIsNotSmuggled(t) }

func (x *target) metadataIsNotSmuggled(t *testing.T) {
	t.Helper()
	auditor := "Bearer " + x.auditor
	operator := "Bearer " + operatorToken
	together(x, []headers{
		{"Grpc-Metadata-Authorization": operator},
		{"Grpc-Metadata-authorization": operator, "Authorization": ""},
		{"Grpcgateway-Authorization": operator, "Authorization": ""},
		{"Grpc-Metadata-Grpcgateway-Authorization": operator},
		{"Grpc-Metadata-X-Domicile-Forwarded": "cp1"},
		{"X-Domicile-Forwarded": "cp1"},
		{"Grpc-Metadata-X-Request-Id": private},
		{"Proxy-Authorization": operator, "Authorization": ""},
		{"X-Original-Authorization": operator, "Authorization": ""},
		{"Cookie": "authorization=" + operator, "Authorization": ""},
		{"X-Http-Status": "200", "Grpc-Metadata-X-Http-Status": "200"},
		{"Te": "trailers", "Trailer": "Authorization"},
		{"Connection": "Authorization"},
	}, func(h headers) {
		if _, own := h["Authorization"]; !own {
			h["Authorization"] = auditor
		}
		x.refused(t, fmt.Sprint(h), x.do(0, "POST", "/v1/tenants", tenantBody, h), 401, 403)
	})
	// Times, names and addresses that the client claims mean nothing.
	together(x, []headers{
		{"Grpc-Timeout": "1n"}, {"Grpc-Timeout": "99999999H"}, {"Grpc-Timeout": "x"},
		{"X-Forwarded-For": private}, {"X-Forwarded-Host": "api.us1.example.com"}, {"X-Forwarded-Proto": "http"}, {"Forwarded": "for=" + private},
		{"X-Original-Url": "/v1/nodes"}, {"X-Rewrite-Url": "/v1/nodes"}, {"Origin": "https://evil.example"}, {"Range": "bytes=0-1"},
		{"Accept-Encoding": "gzip, br"}, {"Accept": "application/grpc"}, {"X-Request-Id": private}, {"Expect": ""},
	}, func(h headers) {
		a := x.do(0, "GET", "/v1/regions", nil, h)
		x.refused(t, fmt.Sprint(h), a, 200)
		if list, _ := a.Body["regions"].([]any); a.Status == 200 && len(list) < 3 {
			t.Errorf("%v changed the answer: %s", h, a.Raw)
		}
	})
}

func TestINV12_AMethodIsWhatTheRequestLineSays(t *testing.T) {
	newTarget(t).aMethodIsWhatTheLineSays(t)
}

func (x *target) aMethodIsWhatTheLineSays(t *testing.T) {
	t.Helper()
	path := "/v1/tenants/" + x.victim.slug
	key := path + "/keys/" + x.victim.key
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override"} {
		for _, verb := range []string{"DELETE", "PUT", "PATCH", "GET"} {
			h := headers{name: verb, "If-Match": `"1"`, "Content-Type": "application/x-www-form-urlencoded"}
			x.refused(t, name+" "+verb, x.do(0, "POST", key, nil, h), 405)
			x.refused(t, name+" "+verb+" on a form", x.do(0, "POST", path, "billing_country=DE", h), 400, 405, 415)
		}
	}
	for _, verb := range []string{"delete", "DELETE ", "TRACE", "OPTIONS", "CONNECT", "PROPFIND", "HEAD", "POST"} {
		if strings.HasSuffix(verb, " ") {
			continue // net/http does not send it; attacks_raw_test.go does
		}
		a, err := x.try(0, verb, key, nil, nil)
		if err != nil {
			continue // the answer to CONNECT has no form that a client takes
		}
		if a.Status < 400 || strings.Contains(a.Raw, operatorToken) {
			t.Errorf("%s: %d %s", verb, a.Status, a.Raw)
		}
		x.unharmed(t, verb)
	}
}

func TestINV12_PathsHaveOneReading(t *testing.T) { newTarget(t).pathsHaveOneReading(t) }

func (x *target) pathsHaveOneReading(t *testing.T) {
	t.Helper()
	id, change := x.victim.id, x.victim.change
	together(x, []string{
		"//v1/regions", "/v1//regions", "/v1/./regions", "/v1/../v1/regions", "/v1/tenants/../regions", "/./v1/regions", "/v1/regions/", "/v1/regions/.",
		"/V1/regions", "/v1/Regions", "/v1/regions;x=y", "/v1/regions/;/ie1", "/v1/regions%20", "/v1/regions%00", "/v1/regions%0a", "/v1%2fregions",
		"/v1/tenants/%2e%2e/regions", "/v1/tenants/%2e%2e%2fregions", "/v1/tenants/..%5cregions", "/v1/%74enants", "/%76%31/regions", "/v1/regions%3f",
		"/v1/tenants/" + id + "%2fpolicy", "/v1/tenants/" + id + "%252fpolicy", "/v1/tenants/" + id + "%23", "/v1/tenants/" + strings.ToLower(id),
		"/v1/tenants/vi%D1%81tim", "/v1/tenants/v%C4%B1ctim", "/v1/tenants/victim%E2%80%8D", "/v1/tenants/VICTIM", "/v1/tenants/%EF%BD%96ictim", "/v1/tenants/victim%CC%81",
		"/v1/tenants/victim%0d%0aX-Evil:%201", "/v1/tenants/%ff%fe", "/v1/tenants/%c0%af", "/v1/tenants/*", "/v1/tenants/-", "/v1/tenants/{tenant}",
		"/v1/tenants/" + id + "/keys/" + x.victim.key + "/", "/v1/tenants/" + id + "/keys/../policy", "/v1/tenants/" + id + "//policy",
		"/domicile.control.v1.TenantService/ListTenants", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/debug/pprof/", "/debug/vars", "/metrics", "/debug/pprof/heap", "/.git/config", "/openapi.json/../v1/tenants", "/docs/", "/healthz/", "/readyz%2f",
		"/v1/tenants/" + strings.Repeat("a", 4096), "/v1/tenants/" + strings.Repeat("a/", 2000),
	}, func(path string) { x.refused(t, "GET "+path, x.do(0, "GET", path, nil, nil), 404, 400, 405) })
	together(x, []string{
		"/v1/changes/" + change + "%3Areject", "/v1/changes/" + change + ":reject:approve", "/v1/changes/" + change + ":reject/", "/v1/changes/" + change + ":Reject",
		"/v1/changes/" + change + ":rej%65ct", "/v1/changes/" + change + "::reject", "/v1/changes/" + change + "/:reject", "/v1/changes/" + change + ":reject%00",
		"/v1/changes/" + change + "%EF%BC%9Areject", "/v1/changes/" + change + "%E2%80%8B:reject", "/v1/changes:reject", "/v1/changes/:reject", "/v1/changes/*:reject",
		"/v1/tenants/victim:delete", "/v1/tenants:batchDelete", "/v1/changes/" + x.victim.settled + "," + change + ":reject",
		"/v1/changes/" + strings.ToLower(change) + ":reject",
	}, func(path string) {
		x.refused(t, "POST "+path, x.do(0, "POST", path, map[string]any{}, nil), 404, 400, 405)
	})
}

func TestINV12_QueriesAndHeadersHaveOneReading(t *testing.T) { newTarget(t).queriesHaveOneReading(t) }

func (x *target) queriesHaveOneReading(t *testing.T) {
	t.Helper()
	together(x, []string{"page_size=1&page_size=2", "page_size=1&page%5Fsize=2", "pageSize=1", "page_size=1;page_size=2", "page_size=%zz", "page_size=-1", "page_size=1001",
		"page_size=1e3", "page_size=0x10", "page_size=٣", "page_size=1%00", "page_token=" + private, "page_token=%ff", "access_token=" + operatorToken, "token=x", "_method=DELETE",
		"callback=evil", "tenant=" + x.victim.id, "spec.id=ie1", "page_size", "&&&page_size=1&page_size", "home_region=IE1", "home_region=ie1%27--", strings.Repeat("a=b&", 2000)}, func(query string) {
		x.refused(t, "query "+query[:min(len(query), 40)], x.do(0, "GET", "/v1/tenants?"+query, nil, nil), 400)
	})
	// Two values of one header: which one would another reader take?
	for _, name := range []string{"Authorization", "If-Match", "Idempotency-Key", "X-Policy-Token", "X-Consistency", "X-Request-Id"} {
		req, err := http.NewRequest("POST", "https://"+x.configs[0].RESTAddress+"/v1/tenants", strings.NewReader(tenantBody))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+x.auditor)
		req.Header.Add(name, "Bearer "+operatorToken)
		if name != "Authorization" {
			req.Header.Add(name, "0b0e7c2e-6a0c-4c57-9d5f-52b7bd2dd1c4")
		}
		resp, err := x.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("two values of %s: %d", name, resp.StatusCode)
		}
		x.unharmed(t, "two values of "+name)
	}
	x.refused(t, "a list of tokens", x.do(0, "POST", "/v1/tenants", tenantBody, headers{"Authorization": "Bearer " + x.auditor + ", Bearer " + operatorToken}), 401)
	x.refused(t, "a token with a NUL", x.do(0, "GET", "/v1/tenants", nil, headers{"Authorization": "Bearer " + strings.Repeat("a", 600)}), 401)
	x.refused(t, "long headers", x.do(0, "GET", "/v1/regions", nil, headers{"X-Policy-Token": strings.Repeat("a", 8<<10)}), 400)
}

func TestINV04_BodiesHaveOneReading(t *testing.T) { newTarget(t).bodiesHaveOneReading(t) }

func (x *target) bodiesHaveOneReading(t *testing.T) {
	t.Helper()
	start := `{"slug":"smuggled","home_region":"ie1","billing_country":"IE"`
	rules := func(s string) string { return start + `,"policy":{` + s + `}}` }
	bodies := map[string]string{
		"a key twice":                     start + `,"slug":"other"}`,
		"a key twice, once escaped":       start + `,"\u0073lug":"other"}`,
		"a key of a map twice":            rules(`"classes":{"call_record":{"mode":"sealed"},"call_record":{"mode":"restricted"}}`),
		"a key twice inside":              rules(`"recipients":{"deny_all":true,"deny_all":false}`),
		"an unknown field":                start + `,"owner":"` + private + `"}`,
		"an unknown field inside":         rules(`"recipients":{"deny_all":true,"allow_all":true}`),
		"a field of the answer":           start + `,"id":"` + x.victim.id + `"}`,
		"mass assignment":                 start + `,"state":"active","contracting_entity":"X","home_epoch":9}`,
		"two values":                      start + `}` + tenantBody,
		"a byte-order mark":               "\ufeff" + tenantBody,
		"NUL behind it":                   tenantBody + "\x00",
		"a comment":                       start + `/* x */}`,
		"a trailing comma":                start + `,}`,
		"single quotes":                   `{'slug':'smuggled'}`,
		"NaN":                             rules(`"max_policy_staleness":NaN`),
		"a number as text with a sign":    rules(`"max_policy_staleness":"+5"`),
		"an exponent beyond 32 bits":      rules(`"max_policy_staleness":1e99`),
		"a fraction":                      rules(`"max_policy_staleness":1.5`),
		"a homoglyph":                     `{"slug":"smugg1еd","home_region":"ie1","billing_country":"IE"}`,
		"a zero-width joiner":             `{"slug":"smuggled` + "\u200d" + `","home_region":"ie1","billing_country":"IE"}`,
		"full-width letters":              `{"slug":"ｓmuggled","home_region":"ie1","billing_country":"IE"}`,
		"invalid UTF-8":                   "{\"slug\":\"smuggled\xff\",\"home_region\":\"ie1\",\"billing_country\":\"IE\"}",
		"half a surrogate":                `{"slug":"smuggled\ud800","home_region":"ie1","billing_country":"IE"}`,
		"a name":                          `{"slug":"` + private + `","home_region":"ie1","billing_country":"IE"}`,
		"ten thousand levels":             strings.Repeat(`{"policy":`, 10_000) + "1" + strings.Repeat("}", 10_000),
		"a long list of classes":          rules(`"classes":{` + strings.TrimSuffix(strings.Repeat(`"a":{"mode":"sealed"},`, 2000), ",") + `}`),
		"an Any":                          start + `,"@type":"type.googleapis.com/google.protobuf.Any"}`,
		"a prototype":                     start + `,"__proto__":{"role":"operator"}}`,
		"a gzip body under a JSON header": "\x1f\x8b\x08\x00",
	}
	together(x, slices.Collect(maps.Keys(bodies)), func(name string) {
		a := x.do(0, "POST", "/v1/tenants", bodies[name], headers{"Content-Type": "application/json"})
		x.refused(t, name, a, 400)
	})
	for _, ct := range []string{"text/xml", "multipart/form-data; boundary=x", "application/grpc", "application/x-protobuf", "text/html", "application/json; charset", "image/png"} {
		x.refused(t, ct, x.do(0, "POST", "/v1/tenants", tenantBody, headers{"Content-Type": ct}), 415)
	}
	x.refused(t, "a large body", x.do(0, "POST", "/v1/tenants", `{"slug":"`+strings.Repeat("a", 1<<20)+`"}`, nil), 413)
	x.refused(t, "a body that names the path's tenant", x.do(0, "POST", "/v1/tenants/"+x.victim.slug+"/keys", map[string]any{"tenant": x.victim.id, "region": "ie1", "role": "admin"}, nil), 400)
}
