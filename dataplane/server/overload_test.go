package server

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/admission"
	"github.com/domicile-io/domicile/policy"
)

func (r *region) limit(l admission.Limits) {
	r.server.admits = admission.New(admission.Options{Limits: l})
}

// occupied is a region whose store holds one request of tenant a; free lets it go
// and wants it stored.
func occupied(t *testing.T, l admission.Limits) (r *region, free func()) {
	t.Helper()
	r = start(t)
	r.limit(l)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	hold := func() error { entered <- struct{}{}; <-release; return nil }
	r.store.before.Store(&hold)
	done := make(chan int, 1)
	go func() {
		status, _ := r.post("/v1/calls", writer, native("held", "completed", 1))
		done <- status
	}()
	<-entered
	r.store.before.Store(nil)
	free = sync.OnceFunc(func() {
		close(release)
		if status := <-done; status != http.StatusCreated {
			t.Errorf("the request in flight got %d", status)
		}
	})
	t.Cleanup(free)
	return r, free
}

func (r *region) dial() net.Conn {
	r.t.Helper()
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: r.roots, ServerName: "api.ie1.example.test"})
	must(r.t, err)
	must(r.t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func head(path string, length int64, more ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: api.ie1.example.test\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n%s\r\n", path, writer, length, strings.Join(more, ""))
}

// The answer comes before a byte of the body was sent; a small body is dropped
// afterwards and the connection goes on.
func TestINV41_ARefusalComesBeforeTheBody(t *testing.T) {
	r, free := occupied(t, admission.Limits{Tenant: admission.Quota{Concurrent: 1}})
	answer := func(in *bufio.Reader) *http.Response {
		t.Helper()
		resp, err := http.ReadResponse(in, nil)
		must(t, err)
		_, err = io.ReadAll(resp.Body)
		must(t, err)
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("got %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
		return resp
	}
	large := r.dial()
	_, err := large.Write([]byte(head("/v1/calls:batch", 100<<20)))
	must(t, err)
	if resp := answer(bufio.NewReader(large)); !resp.Close {
		t.Error("a connection with 100 MiB to come is kept")
	}
	small := r.dial()
	in := bufio.NewReader(small)
	body := lines(3)
	for range 3 {
		_, err = small.Write([]byte(head("/v1/calls:batch", int64(len(body)))))
		must(t, err)
		if resp := answer(in); resp.Close {
			t.Error("the connection of a small body is closed")
		}
		_, err = small.Write([]byte(body))
		must(t, err)
	}
	free()
	_, err = small.Write([]byte(head("/v1/calls:batch", int64(len(body))) + body))
	must(t, err)
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("on the same connection, afterwards: %+v %v", resp, err)
	}
}

// A tenant over every quota, on a node whose lanes are full, may still erase.
func TestINV41_WhatDestroysIsAdmittedWhenNothingElseIs(t *testing.T) {
	r, _ := occupied(t, admission.Limits{Ingest: 1, Read: 1, Requests: 2, Tenant: admission.Quota{Requests: 1, Records: 1, Bytes: 1}})
	r.refusal(policy.Overloaded, http.MethodPost, "/v1/calls", admin, native("x", "completed", 1))
	r.refusal(policy.Overloaded, http.MethodGet, "/v1/calls", admin, "")
	for range 3 {
		r.refusal(policy.NotFound, http.MethodDelete, "/v1/recordings/RE"+strings.Repeat("0", 32), admin, "")
		r.refusal(policy.NotYet, http.MethodPost, "/v1/subjects:erase", admin, `{"number":"+353861234567"}`) // here nobody can, but it was taken up
	}
}

// Who sends slowly keeps its place, and no turn.
func TestINV41_ASlowClientHoldsNoTurn(t *testing.T) {
	r := start(t)
	r.limit(admission.Limits{Ingest: 1}) // one at a time
	slow := r.dial()
	body := lines(2)
	_, err := slow.Write([]byte(head("/v1/calls:batch", int64(len(body))) + body[:len(body)/2]))
	must(t, err)
	for r.server.admits.InFlight() == 0 {
		time.Sleep(time.Millisecond)
	}
	for i := range 3 {
		if status, raw := r.post("/v1/calls", writer, native(fmt.Sprint("quick", i), "completed", 1)); status != http.StatusCreated {
			t.Fatalf("beside a slow client: %d %s", status, raw)
		}
	}
	_, err = slow.Write([]byte(body[len(body)/2:]))
	must(t, err)
	if resp, err := http.ReadResponse(bufio.NewReader(slow), nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the slow one: %+v %v", resp, err)
	}
}

// Every route that takes records or sound in, and none else, is in the lane of
// ingest; every one that destroys in that of erasure.
func TestLanesOfRoutes(t *testing.T) {
	lanes := map[admission.Lane][]string{}
	for i := range routes {
		if routes[i].public == nil {
			lanes[routes[i].lane()] = append(lanes[routes[i].lane()], routes[i].pattern)
		}
	}
	if got := strings.Join(lanes[admission.Ingest], ", "); got != "POST /v1/calls, POST /v1/calls:batch, POST /v1/feeds/{source}/{name}, POST /v1/feeds/{source}/{name}/{part}, POST /v1/recordings, POST /v1/uploads, PATCH /v1/uploads/{id}, POST /v1/transcripts" {
		t.Errorf("ingest: %s", got)
	}
	if got := strings.Join(lanes[admission.Erase], ", "); got != "DELETE /v1/calls/{id}, DELETE /v1/recordings/{id}, DELETE /v1/uploads/{id}, DELETE /v1/transcripts/{id}, POST /v1/subjects:reassign, POST /v1/subjects:erase, POST /v1/holds, POST /v1/holds:release"+
		", DELETE /2010-04-01/Accounts/{account}/Calls/{file}, DELETE /2010-04-01/Accounts/{account}/Calls/{call}/Recordings/{file}, DELETE /2010-04-01/Accounts/{account}/Recordings/{file}" {
		t.Errorf("erase: %s", got)
	}
	for pattern := range heavy {
		if routeByPattern[pattern] == nil {
			t.Errorf("there is no route %s", pattern)
		}
	}
}
