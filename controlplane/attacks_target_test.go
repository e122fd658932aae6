package controlplane_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// target is a voter under attack: everything it logs is kept, and after each
// attack it must be what it was before.
type target struct {
	*cluster
	victim  fixture
	auditor string // a token that may write nothing
	logged  *logged
	before  string
	procs   *processes // the voters, when they are processes and the leader is lost or changes; else nil
}

// logged keeps everything that was logged, at every level.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// private is what attackers put into requests and nobody may find in a log.
const private = "Aoife-353861234567"

func newTarget(t *testing.T) *target {
	t.Helper()
	x := &target{cluster: prepare(t, 1), logged: &logged{}}
	x.log = slog.New(slog.NewJSONHandler(x.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	x.startAll()
	x.victim = x.furnished("victim")
	x.auditor = strings.TrimPrefix(x.token("auditor", "")["Authorization"], "Bearer ")
	x.before = x.state()
	return x
}

func (x *target) state() string { return (&world{c: x.cluster}).state() }

// do asks as a good client does. While the leader is lost it asks once: to wait for
// one is what the voter does, and what it says then is what is looked at.
func (x *target) do(voter int, method, path string, body any, h headers) answer {
	if x.procs == nil {
		x.t.Helper()
		return x.cluster.do(voter, method, path, body, h)
	}
	a, err := x.try(voter, method, path, body, keyed(method, h))
	if err != nil {
		x.t.Errorf("%s %s: %v", method, path, err)
	}
	shown, given := h["Authorization"]
	a.known = !given || mayBeKnown(shown)
	return a
}

// without reports whether an attack was answered that there is no leader, and
// nothing was done. Only who shows what some state may know is answered so.
func (x *target) without(a answer) bool {
	return x.procs != nil && a.known && leaderless(a.Status, a.str("reason"), a.Header)
}

// unharmed fails when the attack left anything behind. Of processes it is looked at
// when all attacks are over: processes.unharmed.
func (x *target) unharmed(t *testing.T, attack string) {
	t.Helper()
	if x.procs != nil {
		return
	}
	if now := x.state(); now != x.before {
		t.Errorf("%s changed the state", attack)
		x.before = now
	}
	if err := x.planes[0].Err(); err != nil {
		t.Fatalf("%s stopped the voter: %v", attack, err)
	}
	if err := x.planes[0].Ready(); err != nil {
		t.Errorf("%s: the voter is not ready afterwards: %v", attack, err)
	}
	text := x.logged.String()
	for _, secret := range []string{operatorToken, x.auditor, private, "353861234567"} {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("%s: the log holds a secret or what the client sent", attack)
		}
	}
	if strings.Contains(text, "panicked") {
		t.Errorf("%s made a request panic", attack)
	}
}

// raw sends bytes over TLS as they are and gives everything that comes back
// until the voter closes, or until it has been silent for a moment.
func (x *target) raw(t *testing.T, request string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", x.configs[0].RESTAddress, &tls.Config{RootCAs: x.roots(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Error(err)
		return ""
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return "" // refused while it was sent
	}
	var out bytes.Buffer
	chunk := make([]byte, 4096)
	silence := 300 * time.Millisecond
	if x.procs != nil {
		silence = 4 * time.Second // longer than a voter waits for a leader
	}
	for {
		n, err := conn.Read(chunk)
		out.Write(chunk[:n])
		if err != nil {
			return out.String()
		}
		if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			t.Error(err)
		}
	}
}

// rawAll sends several, a few at once, and gives what came back by name.
func (x *target) rawAll(t *testing.T, requests map[string]string) map[string]string {
	t.Helper()
	out := map[string]string{}
	var mu sync.Mutex
	var all errgroup.Group
	all.SetLimit(6)
	if x.procs != nil {
		all.SetLimit(len(requests))
	}
	for name, request := range requests {
		all.Go(func() error {
			got := x.raw(t, request)
			mu.Lock()
			defer mu.Unlock()
			out[name] = got
			return nil
		})
	}
	_ = all.Wait() // nothing fails
	return out
}

// together makes one kind of attack many times: one after the other, so that each
// harm has its name, or at once, where each may wait for a leader.
func together[T any](x *target, list []T, do func(T)) {
	var all errgroup.Group
	all.SetLimit(1)
	if x.procs != nil {
		all.SetLimit(48)
	}
	for _, one := range list {
		all.Go(func() error { do(one); return nil })
	}
	_ = all.Wait() // nothing fails
}

// answers reads every HTTP answer of a raw exchange.
func answers(raw string) []*http.Response {
	var out []*http.Response
	r := bufio.NewReader(strings.NewReader(raw))
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return out
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return out
		}
		_ = resp.Body.Close()
		out = append(out, resp)
	}
}
