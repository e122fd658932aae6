package selftest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/domicile-io/domicile/api"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// world is a node's certificate and its door.
type world struct {
	t        *testing.T
	ca       *mtls.Authority
	dir      string
	material *mtls.Material
	door     *egress.Door
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	var err error
	if w.ca, err = mtls.OpenAuthority(filepath.Join(w.dir, "ca")); err != nil {
		t.Fatal(err)
	}
	w.material = w.of("ie1")
	if w.door, err = egress.New(egress.Options{Region: "ie1", Dir: filepath.Join(w.dir, "ledger")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.door.Close() })
	return w
}

func (w *world) of(region policy.RegionID) *mtls.Material {
	w.t.Helper()
	files, err := w.ca.Issue(filepath.Join(w.dir, string(region)), mtls.Identity{Cluster: "CL" + strings.Repeat("0", 32), Region: region, Role: mtls.DataPlane,
		Node: policy.NodeID("ND" + strings.Repeat("1", 32))}, "127.0.0.1")
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := mtls.Load(files)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) listen() net.Listener {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = l.Close() })
	return l
}

// ask sends one canary of us1 to a listener.
func (w *world) ask(of Listener, at net.Addr) error {
	w.t.Helper()
	config := w.material.Client(mtls.Peer{Roles: []mtls.Role{mtls.DataPlane}, Region: "ie1"})
	config.GetClientCertificate = nil
	p, err := New(of, Options{Door: w.door, Region: "ie1", Address: at, Host: "127.0.0.1", TLS: config})
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Refuses(w.t.Context(), "us1")
}

// web answers requests at an address of its own.
func (w *world) web(config *tls.Config, handler http.HandlerFunc) net.Addr {
	l := w.listen()
	s := &http.Server{Handler: handler}
	go func() { _ = s.Serve(tls.NewListener(l, config)) }()
	w.t.Cleanup(func() { _ = s.Close() })
	return l.Addr()
}

func refusal(region string) error {
	return policy.Errorf(policy.WrongRegion, "this is elsewhere").With("home_region", region)
}

func answers(err error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { api.WriteProblem(w, err, "r") }
}

// Only the refusal of the contract, from the headers and by the region itself, passes.
func TestINV08_RequestsPassOnlyWhenTheyAreRefused(t *testing.T) {
	w := newWorld(t)
	own := w.material.PublicServer()
	for name, c := range map[string]struct {
		at   net.Addr
		want string // "" passes
	}{
		"refused": {w.web(own, func(rw http.ResponseWriter, r *http.Request) {
			region, _, _, err := policy.ParseKeyString(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			if err != nil || region != "us1" || r.Method != http.MethodPost || r.URL.Path != "/v1/calls" || r.ContentLength <= 0 || r.Host != "127.0.0.1" {
				t.Errorf("the canary is %s %s of %q at %q: %v", r.Method, r.URL.Path, region, r.Host, err)
			}
			answers(refusal("us1"))(rw, r)
		}), ""},
		"accepted":       {w.web(own, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusCreated) }), "answered 201"},
		"a guess":        {w.web(own, answers(policy.Errorf(policy.Unauthenticated, "no"))), "answered 401"},
		"a failure":      {w.web(own, answers(policy.Errorf(policy.NotReady, "no"))), "answered 503"},
		"sent to nobody": {w.web(own, answers(policy.Errorf(policy.WrongRegion, "no"))), "does not send it to region us1"},
		"another reason": {w.web(own, func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(421)
			_, _ = io.WriteString(rw, `{"reason":"NOT_FOUND"}`)
		}), "answered NOT_FOUND"},
		"no reason": {w.web(own, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(421) }), "without a problem"},
		"its body is read": {w.web(own, func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			answers(refusal("us1"))(rw, r)
		}), "asked for its body"},
		"nobody is there":    {nowhere(w), "dial"},
		"another region":     {w.web(w.of("us1").PublicServer(), answers(refusal("us1"))), "peer is of region us1"},
		"another authority":  {w.web(newWorld(t).material.PublicServer(), answers(refusal("us1"))), "verify peer"},
		"the wrong redirect": {w.web(own, answers(refusal("ie1"))), "does not send it to region us1"},
	} {
		t.Run(name, func(t *testing.T) { judge(t, w.ask(REST, c.at), c.want) })
	}
}

func nowhere(w *world) net.Addr {
	l := w.listen()
	_ = l.Close()
	return l.Addr()
}

func judge(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) || errors.Is(err, ErrUnasked) {
		t.Errorf("the listener's answer is %v, want %q", err, want)
	}
}

// streams answers streams of records by one function.
type streams struct {
	ingestv1.UnimplementedIngestServiceServer
	f func(grpc.BidiStreamingServer[ingestv1.StreamRequest, ingestv1.StreamResponse]) error
}

func (s streams) Stream(g grpc.BidiStreamingServer[ingestv1.StreamRequest, ingestv1.StreamResponse]) error {
	return s.f(g)
}

func TestINV08_StreamsPassOnlyWhenTheyAreRefused(t *testing.T) {
	w := newWorld(t)
	serve := func(f func(grpc.BidiStreamingServer[ingestv1.StreamRequest, ingestv1.StreamResponse]) error) net.Addr {
		l := w.listen()
		s := grpc.NewServer(grpc.Creds(credentials.NewTLS(w.material.PublicServer())))
		ingestv1.RegisterIngestServiceServer(s, streams{f: f})
		go func() { _ = s.Serve(l) }()
		t.Cleanup(s.Stop)
		return l.Addr()
	}
	with := func(err error) net.Addr {
		return serve(func(g grpc.BidiStreamingServer[ingestv1.StreamRequest, ingestv1.StreamResponse]) error {
			md, _ := metadata.FromIncomingContext(g.Context())
			if a := md.Get("authorization"); len(a) != 1 || !strings.HasPrefix(a[0], "Bearer sk_us1_") {
				t.Error("the canary is not of us1")
			}
			return api.GRPCStatus(err).Err()
		})
	}
	for name, c := range map[string]struct {
		at   net.Addr
		want string
	}{
		"refused":         {with(refusal("us1")), ""},
		"a guess":         {with(policy.Errorf(policy.Unauthenticated, "no")), "UNAUTHENTICATED"},
		"sent to nobody":  {with(refusal("ie1")), "does not send it"},
		"nobody is there": {nowhere(w), "UNAVAILABLE"},
		"acknowledged": {serve(func(g grpc.BidiStreamingServer[ingestv1.StreamRequest, ingestv1.StreamResponse]) error {
			return g.Send(&ingestv1.StreamResponse{})
		}), "not refused"},
	} {
		t.Run(name, func(t *testing.T) { judge(t, w.ask(Stream, c.at), c.want) })
	}
}

// A node whose ledger cannot be written has asked nothing, and found nothing.
func TestWhatCannotLeaveIsNoFinding(t *testing.T) {
	w := newWorld(t)
	at := w.web(w.material.PublicServer(), answers(refusal("us1")))
	_ = w.door.Close()
	if err := w.ask(REST, at); !errors.Is(err, ErrUnasked) {
		t.Errorf("got %v", err)
	}
}

func TestReachable(t *testing.T) {
	for at, want := range map[string]string{"0.0.0.0:8443": "127.0.0.1:8443", "[::]:8443": "[::1]:8443", "10.0.0.7:8443": "10.0.0.7:8443"} {
		a, err := net.ResolveTCPAddr("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(a); got != want {
			t.Errorf("%s is reached at %s, want %s", at, got, want)
		}
	}
}
