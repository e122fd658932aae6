package controlplane_test

import (
	"fmt"
	"strings"
	"testing"
)

// Attacks that no HTTP library would send, written to the socket byte by byte:
// requests whose end two servers would see in different places, and lines that
// are no HTTP. A smuggled request carries no token, so that it could at most
// show that it was read as one of its own.
func TestINV12_RequestsAreNotSmuggledInsideOthers(t *testing.T) {
	newTarget(t).requestsAreNotSmuggled(t)
}

func (x *target) requestsAreNotSmuggled(t *testing.T) {
	t.Helper()
	head := "POST /v1/tenants HTTP/1.1\r\nHost: control\r\nAuthorization: Bearer " + x.auditor + "\r\nContent-Type: application/json\r\n"
	inner := "POST /v1/tenants HTTP/1.1\r\nHost: control\r\nAuthorization: Bearer " + operatorToken + "\r\nContent-Type: application/json\r\nContent-Length: " + fmt.Sprint(len(tenantBody)) + "\r\n\r\n" + tenantBody
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(tenantBody), tenantBody)
	requests := map[string]string{
		"two lengths":                  head + "Content-Length: 0\r\nContent-Length: 60\r\n\r\n" + inner,
		"two lengths in one":           head + "Content-Length: 0, 60\r\n\r\n" + inner,
		"a negative length":            head + "Content-Length: -1\r\n\r\n" + inner,
		"a length with a sign":         head + "Content-Length: +0\r\n\r\n" + inner,
		"a hexadecimal length":         head + "Content-Length: 0x0\r\n\r\n" + inner,
		"a length beyond 64 bits":      head + "Content-Length: 99999999999999999999\r\n\r\n" + inner,
		"an unknown transfer encoding": head + "Transfer-Encoding: xchunked\r\n\r\n" + inner,
		"two transfer encodings":       head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunk + inner,
		"chunked, then identity":       head + "Transfer-Encoding: chunked, identity\r\n\r\n" + chunk + inner,
		"a space before the colon":     head + "Content-Length : 0\r\n\r\n" + inner,
		// A folded line belongs to the one before it (RFC 9112 section 5.2), so what follows is the next request, and has no token.
		"a folded header":                       head + "X-Filler: a\r\n Content-Length: 0\r\n\r\n" + strings.Replace(inner, operatorToken, "x", 1),
		"a NUL in a header":                     head + "X-Filler: a\x00b\r\nContent-Length: 0\r\n\r\n" + inner,
		"a bare CR in a header":                 head + "X-Filler: a\rContent-Length: 0\r\n\r\n" + inner,
		"a chunk size beyond 64 bits":           head + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + inner,
		"a negative chunk size":                 head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + inner,
		"two hosts":                             "GET /v1/regions HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + inner,
		"no host":                               "GET /v1/regions HTTP/1.1\r\n\r\n" + inner,
		"HTTP/2 by force":                       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + inner,
		"a version of its own":                  "GET /v1/regions HTTP/9.9\r\nHost: control\r\n\r\n" + inner,
		"a tab in the request line":             "POST\t/v1/tenants\tHTTP/1.1\r\nHost: control\r\n\r\n" + inner,
		"a method with a space":                 "DELETE  /v1/tenants/victim HTTP/1.1\r\nHost: control\r\n\r\n" + inner,
		"a path without a slash":                "GET v1/regions HTTP/1.1\r\nHost: control\r\n\r\n" + inner,
		"headers beyond the bound":              "GET /v1/regions HTTP/1.1\r\nHost: control\r\nX-Filler: " + strings.Repeat("a", 64<<10) + "\r\n\r\n" + inner,
		"a request line beyond":                 "GET /v1/" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: control\r\n\r\n" + inner,
		"a thousand headers beyond the bound":   "GET /v1/regions HTTP/1.1\r\nHost: control\r\n" + strings.Repeat("X-A: aaaaaaaaaaaaaaaa\r\n", 2000) + "\r\n" + inner,
		"no HTTP at all":                        strings.Repeat("\x16\x03\x01\x02\x00", 100),
		"a line that never ends, then silence":  "GET /v1/regions",
		"an upgrade to plain HTTP/2":            "GET /v1/nothing HTTP/1.1\r\nHost: control\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
		"an upgrade to a web socket":            "GET /v1/nothing HTTP/1.1\r\nHost: control\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
		"another host's name in the line":       "GET https://api.us1.example.com/v1/nothing HTTP/1.1\r\nHost: control\r\n\r\n",
		"a tunnel":                              "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n",
		"a star":                                "OPTIONS * HTTP/1.1\r\nHost: control\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"a trace":                               "TRACE /v1/regions HTTP/1.1\r\nHost: control\r\nAuthorization: Bearer " + operatorToken + "\r\nX-Filler: " + private + "\r\n\r\n",
		"raw UTF-8 that looks like a tenant":    "GET /v1/tenants/vі" + "ctim HTTP/1.1\r\nHost: control\r\nAuthorization: Bearer " + operatorToken + "\r\n\r\n",
		"a fragment":                            "GET /v1/tenants/victim#/../../regions HTTP/1.1\r\nHost: control\r\nAuthorization: Bearer " + operatorToken + "\r\n\r\n",
		"trailers that would authorize":         "POST /v1/tenants HTTP/1.1\r\nHost: control\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n" + strings.TrimSuffix(chunk, "\r\n") + "Authorization: Bearer " + operatorToken + "\r\n\r\n",
		"a length and chunks: the chunks count": head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk,
	}
	for name, raw := range x.rawAll(t, requests) {
		got := answers(raw)
		if len(got) > 1 && name != "a folded header" {
			t.Errorf("%s: %d answers, so it was read as several requests:\n%s", name, len(got), raw)
		}
		for _, a := range got {
			if a.StatusCode < 400 && name != "a star" {
				t.Errorf("%s: %s", name, a.Status)
			}
		}
		if strings.Contains(raw, operatorToken) || strings.Contains(raw, private) {
			t.Errorf("%s: the answer repeats the request:\n%s", name, raw)
		}
		x.unharmed(t, name)
	}
}
