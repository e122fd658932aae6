package server

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

const giB = 1 << 30

// marker stands in refused bodies; it must never be found in the log.
const marker = "refused-body-marker"

// upload speaks raw HTTP/1.1: a request with a body of 1 GiB, sent until the
// server has had enough. It returns the answer and how long it took.
func (r *region) upload(sni, head string, chunked bool) (*http.Response, time.Duration) {
	r.t.Helper()
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: r.roots, ServerName: sni, InsecureSkipVerify: sni == ""}) // an address is no SNI
	must(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	must(r.t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	began := time.Now()
	_, err = io.WriteString(conn, head)
	must(r.t, err)
	r.cut = make(chan struct{})
	go func() {
		defer close(r.cut)
		block := []byte(strings.Repeat(marker+"\n", 1<<15/len(marker)))
		for sent := 0; sent < giB; sent += len(block) {
			out := block
			if chunked {
				out = fmt.Appendf(nil, "%x\r\n%s\r\n", len(block), block)
			}
			if _, err := conn.Write(out); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(r.t, err)
	return resp, time.Since(began)
}

func TestINV08RefusedUploadIsAnsweredWithItsBodyUnread(t *testing.T) {
	for _, who := range []struct {
		name, key string
		reason    policy.Reason
	}{
		{"key of another region", key("us1", "a", policy.RoleAdmin), policy.WrongRegion},
		{"moved tenant", key("ie1", "c", policy.RoleAdmin), policy.WrongRegion},
		{"unknown key", "sk_ie1_" + strings.Repeat("0", 32) + "_" + strings.Repeat("0", 64), policy.Unauthenticated},
		{"no key", "", policy.Unauthenticated},
		{"role that may not", key("ie1", "a", policy.RoleReader), policy.PermissionDenied},
	} {
		for _, framing := range []string{
			"Content-Length: 1073741824", "Transfer-Encoding: chunked",
			"Content-Length: 1073741824\r\nExpect: 100-continue", "Transfer-Encoding: chunked\r\nExpect: 100-continue",
		} {
			t.Run(who.name+"/"+strings.ReplaceAll(framing, "\r\n", " "), func(t *testing.T) {
				r := start(t)
				head := "POST /v1/calls:batch HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + who.key + "\r\n" + framing + "\r\n\r\n"
				resp, took := r.upload("", head, strings.HasPrefix(framing, "Transfer"))
				raw, err := io.ReadAll(resp.Body)
				must(t, err)
				p := r.problem(who.reason, resp.StatusCode, resp.Header, raw)
				if who.reason == policy.WrongRegion && p.Metadata["base_url"] != usURL {
					t.Errorf("the answer names %q, want the right base URL %s", p.Metadata["base_url"], usURL)
				}
				if took > 2*time.Second {
					t.Errorf("the answer took %v", took)
				}
				read := r.counter("domicile_refused_read_bytes_total", string(who.reason))
				if read == 0 || read > 4<<10 {
					t.Errorf("the process read %v bytes (handshake and headers included), want at most 4096", read)
				}
				if strings.Contains(r.log.String(), marker) {
					t.Error("the log holds the refused body")
				}
			})
		}
	}
}

// What is measured above is what the process reads, so it must not go on
// reading behind the answer either.
func TestINV08NothingIsReadAfterTheRefusal(t *testing.T) {
	r := start(t)
	head := "POST /v1/calls:batch HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + key("us1", "a", policy.RoleAdmin) +
		"\r\nTransfer-Encoding: chunked\r\n\r\n"
	began := time.Now()
	resp, _ := r.upload("", head, true)
	_, err := io.Copy(io.Discard, resp.Body)
	must(t, err)
	<-r.cut
	if held := time.Since(began); held > 3*time.Second {
		t.Errorf("the connection was held for %v", held)
	}
	var in int64
	for _, e := range r.door.Entries() {
		in += e.BytesIn
	}
	if in > 4<<10 {
		t.Errorf("the node's ledger says that %d bytes were read", in)
	}
}

func TestINV08MisdirectedUploadOfAnOrdinaryClient(t *testing.T) {
	r := start(t)
	req, err := http.NewRequest(http.MethodPost, "https://"+r.addr+"/v1/calls:batch", io.LimitReader(zeros{}, giB))
	must(t, err)
	req.ContentLength = giB
	req.Header.Set("Authorization", "Bearer "+key("us1", "a", policy.RoleAdmin))
	resp, err := r.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Fatalf("got %d, want 421", resp.StatusCode)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// A second request on a connection that has carried a body is measured alone.
func TestINV08RefusalOnAConnectionInUse(t *testing.T) {
	r := start(t)
	ok := key("ie1", "a", policy.RoleReader)
	r.get("/v1/egress", ok, new(any))
	r.refusal(policy.WrongRegion, http.MethodPost, "/v1/calls:batch", key("us1", "a", policy.RoleAdmin), strings.Repeat("x", 100_000))
	if read := r.counter("domicile_refused_read_bytes_total", string(policy.WrongRegion)); read > 32<<10 {
		t.Errorf("the process read %v bytes", read)
	}
}

func TestHostMatrix(t *testing.T) {
	r := start(t)
	good := key("ie1", "a", policy.RoleReader)
	for _, c := range []struct {
		sni, host, key string
		want           int
		base           string
	}{
		{"", "127.0.0.1", good, 200, ""},
		{"", "127.0.0.1:8443", good, 200, ""},
		{"api.ie1.example.test", "api.ie1.example.test", good, 200, ""},
		{"api.ie1.example.test", "API.IE1.example.test.:443", good, 200, ""},
		{"api.ie1.example.test", "api.us1.example.test", good, 421, ieURL},
		{"", "api.ie1.example.test", good, 421, ieURL},
		{"api.ie1.example.test", "127.0.0.1", good, 421, ieURL},
		{"", "127.0.0.2", good, 421, ieURL},
		{"", "[::1]", good, 421, ieURL},
		{"", "localhost", key("us1", "a", policy.RoleReader), 421, usURL},
		{"", "127.0.0.1", key("us1", "a", policy.RoleReader), 421, usURL},
		{"", "127.0.0.1", strings.ReplaceAll(key("us1", "a", policy.RoleReader), "_", "Z"), 421, usURL},
		{"", "127.0.0.1", strings.ReplaceAll(good, "_", "Z"), 200, ""},
		{"", "127.0.0.1", key("zz9", "a", policy.RoleReader), 401, ""},
		{"", "127.0.0.1", key("ie1", "c", policy.RoleReader), 421, usURL},
		{"", "", good, 421, ieURL},
	} {
		conn, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: r.roots, ServerName: c.sni, InsecureSkipVerify: c.sni == ""})
		must(t, err)
		_, err = fmt.Fprintf(conn, "GET /v1/egress HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", c.host, c.key)
		must(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		must(t, err)
		raw, err := io.ReadAll(resp.Body)
		must(t, err)
		_ = conn.Close()
		if resp.StatusCode != c.want {
			t.Errorf("sni %q host %q: %d %s, want %d", c.sni, c.host, resp.StatusCode, raw, c.want)
		}
		if c.base != "" && !strings.Contains(string(raw), `"base_url":"`+c.base+`"`) {
			t.Errorf("sni %q host %q: %s does not name %s", c.sni, c.host, raw, c.base)
		}
	}
}

func TestOnlyHTTP1IsOffered(t *testing.T) {
	r := start(t)
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: r.roots, ServerName: "api.ie1.example.test", NextProtos: []string{"h2", "http/1.1"}})
	must(t, err)
	defer conn.Close()
	if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("negotiated %q, want http/1.1", got)
	}
}

func TestBeforeTheFirstBundle(t *testing.T) {
	r := start(t)
	r.bundle.view.Store(nil)
	r.refusal(policy.WrongRegion, http.MethodGet, "/v1/egress", key("us1", "a", policy.RoleReader), "")
	r.refusal(policy.NotReady, http.MethodGet, "/v1/egress", key("ie1", "a", policy.RoleReader), "")
	r.refusal(policy.Unauthenticated, http.MethodGet, "/v1/egress", "", "")
}
