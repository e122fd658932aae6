package server

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/domicile-io/domicile/api/data"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/policy"
)

// watched is a clock that stands, and counts how often it was read.
type watched struct {
	now   atomic.Int64 // nanoseconds
	reads atomic.Int64
}

func (w *watched) read() time.Time {
	w.reads.Add(1)
	return time.Unix(0, w.now.Load())
}

// A batch that stops in the middle is given up after a minute, and its stream with it:
// nothing of it is stored, and nothing is held for it. A stream that says nothing at
// all lives on, for a day.
func TestAStreamThatStopsInMidBatchIsEnded(t *testing.T) {
	r := start(t)
	clock := &watched{}
	clock.now.Store(time.Now().UnixNano())
	r.server.now, r.server.streamCheck = clock.read, time.Millisecond
	looked := func() { // at the one stream that is open
		t.Helper()
		until := clock.reads.Load() + 3
		r.until("the stream is looked after", func() bool { return clock.reads.Load() >= until })
	}
	half := r.halfBatch(native("half", "completed", 2) + "\n" + native("other", "completed", 3))
	looked()
	clock.now.Add(int64(batchPatience))
	looked()
	if n := r.server.streaming.Load(); n != 1 {
		t.Fatal("the stream has ended before the minute was over")
	}
	clock.now.Add(int64(time.Second))
	if status, message := half.ended(); status != "3" || !strings.Contains(message, "has not come to its end within 1m0s") {
		t.Errorf("the stream ended with status %s: %s", status, message)
	}
	r.until("the node has let it go", func() bool { return r.server.streaming.Load() == 0 })
	silent := r.stream(writer)
	r.acked(silent, 1, native("before", "completed", 1))
	looked()
	clock.now.Add(int64(24 * time.Hour))
	looked()
	r.acked(silent, 2, native("after", "completed", 4))
	var calls data.Calls
	r.get("/v1/calls", key("ie1", "a", policy.RoleReader), &calls)
	if len(calls.Calls) != 2 {
		t.Errorf("%d calls are there, of two that were acknowledged", len(calls.Calls))
	}
	again := r.stream(writer)
	out := r.acked(again, 1, native("half", "completed", 2)+"\n"+native("other", "completed", 3))
	for i, o := range out.GetOutcomes() {
		if o.GetState() != ingestv1.OutcomeState_OUTCOME_STATE_STORED {
			t.Errorf("record %d, sent again, is %v", i, o.GetState())
		}
	}
	for _, st := range []clientStream{silent, again} {
		must(t, st.CloseSend())
		if _, err := st.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("a stream that is closed says %v", err)
		}
	}
	r.until("nothing is held any more", func() bool { return r.counter("domicile_requests_memory_bytes") == 0 && r.server.streaming.Load() == 0 })
}

// rawStream is a stream of a client that stops where gRPC's own never would.
type rawStream struct {
	r *region
	f *http2.Framer
}

// halfBatch opens a stream and sends the first half of a batch; it returns when the
// node has it.
func (r *region) halfBatch(records string) *rawStream {
	t := r.t
	t.Helper()
	conn, err := tls.Dial("tcp", r.ingest, &tls.Config{RootCAs: r.roots, NextProtos: []string{"h2"}})
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(conn, http2.ClientPreface)
	must(t, err)
	s := &rawStream{r: r, f: http2.NewFramer(conn, conn)}
	s.f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	must(t, s.f.WriteSettings())
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", r.ingest}, {":path", ingestv1.IngestService_Stream_FullMethodName},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"authorization", "Bearer " + writer}} {
		must(t, e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}))
	}
	must(t, s.f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true}))
	for open := false; !open; { // it is admitted
		f, err := s.f.ReadFrame()
		must(t, err)
		w, ok := f.(*http2.WindowUpdateFrame)
		open = ok && w.StreamID == 1
	}
	body := append([]byte{0x08, 1, 0x12}, binary.AppendUvarint(nil, uint64(len(records)))...)
	body = append(body, records...)
	message := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	must(t, s.f.WriteData(1, false, message[:len(message)-len(message)/4]))
	must(t, s.f.WritePing(false, [8]byte{1}))
	for {
		f, err := s.f.ReadFrame()
		must(t, err)
		if p, ok := f.(*http2.PingFrame); ok && p.IsAck() { // it has read what came before
			return s
		}
	}
}

// ended is the status with which the node ends the stream.
func (s *rawStream) ended() (status, message string) {
	s.r.t.Helper()
	for {
		f, err := s.f.ReadFrame()
		must(s.r.t, err)
		h, ok := f.(*http2.MetaHeadersFrame)
		if !ok || !h.StreamEnded() {
			continue
		}
		for _, field := range h.Fields {
			switch field.Name {
			case "grpc-status":
				status = field.Value
			case "grpc-message":
				message = field.Value
			}
		}
		return status, message
	}
}
