package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // a client that compresses
	"google.golang.org/grpc/metadata"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/data"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/policy"
)

type clientStream = grpc.BidiStreamingClient[ingestv1.StreamRequest, ingestv1.StreamResponse]

// dialIngest is an ordinary gRPC client of the region.
func (r *region) dialIngest(sni string) *grpc.ClientConn {
	r.t.Helper()
	config := &tls.Config{RootCAs: r.roots, ServerName: sni}
	cc, err := grpc.NewClient(r.ingest, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	must(r.t, err)
	r.t.Cleanup(func() { _ = cc.Close() })
	return cc
}

// stream opens one; its error, if any, comes with the first answer.
func (r *region) stream(key string, header ...string) clientStream {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	r.t.Cleanup(cancel)
	if key != "" {
		header = append(header, "authorization", "Bearer "+key)
	}
	st, err := ingestv1.NewIngestServiceClient(r.dialIngest("")).Stream(metadata.AppendToOutgoingContext(ctx, header...))
	must(r.t, err)
	return st
}

func (r *region) acked(st clientStream, sequence uint64, records string) *ingestv1.StreamResponse {
	r.t.Helper()
	must(r.t, st.Send(&ingestv1.StreamRequest{Sequence: sequence, Records: []byte(records)}))
	out, err := st.Recv()
	must(r.t, err)
	if out.GetSequence() != sequence {
		r.t.Fatalf("batch %d is answered as %d", sequence, out.GetSequence())
	}
	return out
}

// refusedStream wants the stream to end with this reason.
func (r *region) refusedStream(st clientStream, want policy.Reason) *policy.Error {
	r.t.Helper()
	for {
		_, err := st.Recv()
		if err == nil {
			continue
		}
		var e *policy.Error
		head, _ := st.Header()
		if !errors.As(api.FromGRPC(err), &e) || e.Reason != want || len(head.Get("x-request-id")) != 1 && e.Metadata["request_id"] == "" {
			r.t.Fatalf("want the stream to end with %s, got %v", want, err)
		}
		return e
	}
}

// mixed has good records, one of them twice, a new version, and two that go into quarantine.
func mixed() string {
	good := strings.Split(strings.TrimSpace(lines(3)), "\n")
	version := strings.Replace(good[0], `{`, `{"caller_name":"Aoife",`, 1)
	return strings.Join([]string{good[0], good[1], good[0], "not json", version, `{"native_id":"x","unknown":1}`, good[2]}, "\n")
}

// A batch of a stream has the outcomes that the same body of calls:batch has.
func TestAStreamKeepsWhatABatchKeeps(t *testing.T) {
	byStream, byBatch := start(t), start(t)
	st := byStream.stream(writer)
	var want data.Counts
	for i, body := range []string{mixed(), mixed(), lines(2500), ""} {
		status, _, raw := byBatch.ask(http.MethodPost, "/v1/calls:batch", writer, strings.NewReader(body))
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, raw)
		}
		want = data.Counts{}
		must(t, json.Unmarshal(raw, &want))
		out := byStream.acked(st, uint64(i+7), body)
		got := data.Counts{}
		for _, o := range out.GetOutcomes() {
			switch o.GetState() {
			case ingestv1.OutcomeState_OUTCOME_STATE_STORED, ingestv1.OutcomeState_OUTCOME_STATE_NEW_VERSION:
				got.Accepted++
			case ingestv1.OutcomeState_OUTCOME_STATE_DUPLICATE:
				got.Duplicates++
			case ingestv1.OutcomeState_OUTCOME_STATE_QUARANTINED:
				got.Quarantined++
			}
			if quarantined := o.GetState() == ingestv1.OutcomeState_OUTCOME_STATE_QUARANTINED; quarantined == (o.GetCall() != "") || quarantined != (o.GetProblem() != "") {
				t.Errorf("batch %d: outcome %v", i, o)
			}
		}
		if got.Accepted != want.Accepted || got.Duplicates != want.Duplicates || got.Quarantined != want.Quarantined || (len(out.GetReceipts()) > 0) != (len(want.Receipts) > 0) {
			t.Errorf("batch %d: a stream answers %+v, calls:batch %+v", i, got, want)
		}
		if i == 0 {
			var order []string
			for _, o := range out.GetOutcomes() {
				order = append(order, strings.TrimPrefix(o.GetState().String(), "OUTCOME_STATE_"))
			}
			if want := []string{"STORED", "STORED", "DUPLICATE", "QUARANTINED", "NEW_VERSION", "QUARANTINED", "STORED"}; !slices.Equal(order, want) {
				t.Errorf("outcomes are %v, want %v", order, want)
			}
		}
	}
	must(t, st.CloseSend())
	if _, err := st.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream's end is %v", err)
	}
	reader := key("ie1", "a", policy.RoleReader)
	var one, other data.Calls
	byStream.get("/v1/calls?page_size=1000", reader, &one)
	byBatch.get("/v1/calls?page_size=1000", reader, &other)
	if len(one.Calls) == 0 || len(one.Calls) != len(other.Calls) {
		t.Fatalf("%d calls by stream, %d by batch", len(one.Calls), len(other.Calls))
	}
	for i := range one.Calls {
		a, b := one.Calls[i], other.Calls[i]
		if a.NativeID != b.NativeID || a.Versions != b.Versions || a.CallerName != b.CallerName || a.From.E164 != b.From.E164 {
			t.Errorf("call %d: %+v by stream, %+v by batch", i, a, b)
		}
	}
	var in int64
	for _, e := range byStream.door.Entries() {
		if e.Tenant == tenantID("a") {
			in += e.BytesIn
		}
	}
	if in < int64(len(lines(2500))) {
		t.Errorf("INV05: the ledger has %d bytes of the tenant", in)
	}
}

func TestINV08_ARefusedStreamBringsNothing(t *testing.T) {
	r := start(t)
	for _, c := range []struct {
		name, key string
		reason    policy.Reason
		header    []string
	}{
		{"key of another region", key("us1", "a", policy.RoleAdmin), policy.WrongRegion, nil},
		{"moved tenant", key("ie1", "c", policy.RoleAdmin), policy.WrongRegion, nil},
		{"no key", "", policy.Unauthenticated, nil},
		{"unknown key", "sk_ie1_" + strings.Repeat("0", 32) + "_" + strings.Repeat("0", 64), policy.Unauthenticated, nil},
		{"role that may not", key("ie1", "a", policy.RoleReader), policy.PermissionDenied, nil},
		{"a policy that has not come", writer, policy.PolicyStale, []string{"x-policy-token", api.PolicyToken(9)}},
		{"no policy token", writer, policy.InvalidArgument, []string{"x-policy-token", "nonsense"}},
	} {
		st := r.stream(c.key, c.header...)
		body := strings.Repeat(marker+"\n", maxBatch/(len(marker)+1))
		_ = st.Send(&ingestv1.StreamRequest{Sequence: 1, Records: []byte(body)})
		e := r.refusedStream(st, c.reason)
		if c.reason == policy.WrongRegion && e.Metadata["base_url"] != usURL {
			t.Errorf("%s: the answer names %q, want %s", c.name, e.Metadata["base_url"], usURL)
		}
		if at := e.Metadata["ingest_address"]; (c.reason == policy.WrongRegion) != (at == usIngest) || at != "" && at != usIngest {
			t.Errorf("%s: the answer says that streams go to %q, want %s", c.name, at, usIngest)
		}
	}
	if n := r.counter("domicile_ingest_unasked_bytes_total"); n != 0 {
		t.Errorf("%v bytes of refused bodies were taken", n)
	}
	var in int64
	for _, e := range r.door.Entries() {
		in += e.BytesIn
	}
	if in > 40<<10 { // seven handshakes and seven heads
		t.Errorf("the node's ledger says that %d bytes were read", in)
	}
	if strings.Contains(r.log.String(), marker) {
		t.Error("a refused body stands in the log")
	}
}

func TestAStreamIsHeldToTheHost(t *testing.T) {
	r := start(t)
	for _, c := range []struct {
		sni, authority string
		want           policy.Reason
	}{
		{"api.ie1.example.test", "api.ie1.example.test:443", ""},
		{"api.ie1.example.test", "api.us1.example.test", policy.WrongRegion},
		{"api.ie1.example.test", "127.0.0.1", policy.WrongRegion},
	} {
		cc, err := grpc.NewClient(r.ingest, grpc.WithAuthority(c.authority), grpc.WithTransportCredentials(dialAs(&tls.Config{RootCAs: r.roots}, c.sni)))
		must(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		st, err := ingestv1.NewIngestServiceClient(cc).Stream(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+writer))
		must(t, err)
		if c.want == "" {
			r.acked(st, 1, lines(1))
		} else {
			r.refusedStream(st, c.want)
		}
		cancel()
		must(t, cc.Close())
	}
}

// named shakes hands under one name whatever :authority says.
type named struct {
	credentials.TransportCredentials
	config *tls.Config
}

func dialAs(config *tls.Config, sni string) credentials.TransportCredentials {
	config.ServerName, config.NextProtos = sni, []string{"h2"}
	return named{credentials.NewTLS(config), config}
}

func (n named) Clone() credentials.TransportCredentials { return n }

func (n named) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (n named) ClientHandshake(ctx context.Context, _ string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c := tls.Client(raw, n.config)
	return c, credentials.TLSInfo{State: c.ConnectionState(), CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, c.HandshakeContext(ctx)
}

func TestABadBatchEndsItsStreamAndNothingBeforeIt(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  *ingestv1.StreamRequest
		want policy.Reason
		call []grpc.CallOption
	}{
		{"a gap", &ingestv1.StreamRequest{Sequence: 3, Records: []byte(lines(1))}, policy.InvalidArgument, nil},
		{"too large", &ingestv1.StreamRequest{Sequence: 2, Records: make([]byte, maxBatch+1)}, policy.PayloadTooLarge, nil},
		{"far too large", &ingestv1.StreamRequest{Sequence: 2, Records: make([]byte, 3<<20)}, policy.PayloadTooLarge, nil},
		{"too many", &ingestv1.StreamRequest{Sequence: 2, Records: []byte(strings.Repeat("0\n", maxBatchRecords+1))}, policy.PayloadTooLarge, nil},
		{"an array without an end", &ingestv1.StreamRequest{Sequence: 2, Records: []byte(`[{"native_id":"z"}`)}, policy.InvalidArgument, nil},
		{"compressed", &ingestv1.StreamRequest{Sequence: 2, Records: []byte(lines(1000))}, policy.UnsupportedMediaType, []grpc.CallOption{grpc.UseCompressor("gzip")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			st, err := ingestv1.NewIngestServiceClient(r.dialIngest("")).Stream(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+writer), c.call...)
			must(t, err)
			if len(c.call) == 0 {
				r.acked(st, 1, lines(1))
			}
			_ = st.Send(c.bad)
			r.refusedStream(st, c.want)
		})
	}
}

func TestWhoMovesAwayInMidStreamIsTold(t *testing.T) {
	r := start(t)
	silent, busy := r.stream(writer), r.stream(writer)
	r.acked(silent, 1, lines(1))
	r.acked(busy, 1, lines(2))
	moved := rows()
	moved[0].Tenant.Home, moved[0].Tenant.HomeEpoch, moved[0].Tenant.HomeURL, moved[0].Tenant.Policy = "us1", 2, usURL, nil
	r.bundle.view.Store(newView(t, 2, moved))
	must(t, busy.Send(&ingestv1.StreamRequest{Sequence: 2, Records: []byte(lines(3))}))
	for _, st := range []clientStream{busy, silent} { // who sends nothing is told within seconds
		if e := r.refusedStream(st, policy.WrongRegion); e.Metadata["base_url"] != usURL {
			t.Errorf("the answer names %q", e.Metadata["base_url"])
		}
	}
}

// The home may change between the write and its acknowledgement (INV01).
func TestNoBatchIsAcknowledgedByAFormerHome(t *testing.T) {
	r := start(t)
	st := r.stream(writer)
	r.acked(st, 1, lines(1))
	move := func() {
		moved := rows()
		moved[0].Tenant.Home, moved[0].Tenant.HomeEpoch, moved[0].Tenant.HomeURL, moved[0].Tenant.Policy = "us1", 2, usURL, nil
		r.bundle.view.Store(newView(t, 2, moved))
	}
	r.store.after.Store(&move)
	must(t, st.Send(&ingestv1.StreamRequest{Sequence: 2, Records: []byte(lines(2))}))
	r.refusedStream(st, policy.OutcomeUnknown)
}

func TestANodeThatStopsAcknowledgesWhatItTook(t *testing.T) {
	r := start(t)
	st := r.stream(writer)
	r.acked(st, 1, lines(1))
	entered, release := make(chan struct{}), make(chan struct{})
	hold := func() error { close(entered); <-release; return nil }
	r.store.before.Store(&hold)
	must(t, st.Send(&ingestv1.StreamRequest{Sequence: 2, Records: []byte(lines(2))}))
	<-entered
	r.store.before.Store(nil)
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		stopped <- r.server.Shutdown(ctx)
	}()
	<-r.server.draining
	close(release)
	out, err := st.Recv()
	if err != nil || out.GetSequence() != 2 {
		t.Fatalf("batch 2 was taken and is not acknowledged: %v", err)
	}
	r.refusedStream(st, policy.NotReady)
	must(t, <-stopped)
}

// Batches that wait together are stored together, and each is answered in its order.
func TestBatchesThatWaitShareAnAppend(t *testing.T) {
	r := start(t)
	st := r.stream(writer)
	r.acked(st, 0, lines(1))
	const many = 40
	entered, release := make(chan struct{}), make(chan struct{})
	hold := func() error { close(entered); <-release; return nil }
	r.store.before.Store(&hold)
	for i := range many {
		must(t, st.Send(&ingestv1.StreamRequest{Sequence: uint64(i + 1), Records: fmt.Appendf(nil, `{"native_id":"shared-%d","from":"+35315550000"}`, i)}))
		if i == 0 {
			<-entered
			r.store.before.Store(nil)
		}
	}
	close(release)
	for i := range many {
		out, err := st.Recv()
		must(t, err)
		if out.GetSequence() != uint64(i+1) || len(out.GetOutcomes()) != 1 || out.GetOutcomes()[0].GetState() != ingestv1.OutcomeState_OUTCOME_STATE_STORED {
			t.Fatalf("answer %d: %v", i, out)
		}
	}
	if groups := r.counter("domicile_ingest_groups_total"); groups > many {
		t.Errorf("%v groups for %d batches", groups, many+1)
	}
}
