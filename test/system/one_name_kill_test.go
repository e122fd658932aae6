package system

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
)

// taken is what a stream was acknowledged, by the node that did.
type taken struct {
	mu      sync.Mutex
	batches uint64
	by      map[string]int
}

func (k *taken) count() (uint64, map[string]int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	by := map[string]int{}
	for node, batches := range k.by {
		by[node] = batches
	}
	return k.batches, by
}

func (n *oneName) stream(t *testing.T) (*client.Stream, *taken) {
	t.Helper()
	trust, err := client.HTTPOptions{CAFile: n.c.Env.CAFile()}.TLS()
	check(t, err)
	k := &taken{by: map[string]int{}}
	st, err := client.OpenStream(n.ctx, client.StreamOptions{Addresses: []string{n.streams.address()}, ServerName: regionName, Key: n.region.Key, TLS: trust,
		Acknowledged: func(out *ingestv1.StreamResponse) {
			node := n.streams.newest() // this stream's, where there is one at a time
			k.mu.Lock()
			defer k.mu.Unlock()
			k.batches, k.by[node] = out.GetSequence(), k.by[node]+1
		}})
	check(t, err)
	return st, k
}

func (n *oneName) send(t *testing.T, st *client.Stream, k *taken, batch string) {
	t.Helper()
	body, _ := n.lines(batch)
	sequence, err := st.Send(n.ctx, []byte(body))
	check(t, err)
	until(t, 30*time.Second, "the batch is acknowledged", func() error {
		if got, _ := k.count(); got < sequence {
			return fmt.Errorf("%d of %d", got, sequence)
		}
		return nil
	})
}

// reconnects is a stream whose connection the balancer cuts, again and again: it
// goes on at the next node.
func (n *oneName) reconnects(t *testing.T) {
	st, k := n.stream(t)
	for b := range 4 {
		n.send(t, st, k, fmt.Sprint("stream-", b))
		n.streams.cut()
	}
	check(t, st.Close(n.ctx))
	_, by := k.count()
	for _, node := range n.nodes {
		if by[node] == 0 {
			t.Errorf("%s acknowledged nothing", node)
		}
	}
	if st.Cuts() == 0 {
		t.Error("the stream was never cut")
	}
	n.whole(t, n.each(t))
	t.Logf("batches: %v over %d cuts", by, st.Cuts())
}

// halfway is a file that stops in its middle until it may go on.
type halfway struct {
	*bytes.Reader
	reached chan struct{}
	goes    chan struct{}
	once    sync.Once
}

func (h *halfway) Read(p []byte) (int, error) {
	left := h.Reader.Len()
	if left <= int(h.Size())/2 {
		h.once.Do(func() { close(h.reached); <-h.goes })
	}
	return h.Reader.Read(p[:min(len(p), 32<<10)])
}

// kill kills the node that a recording goes to, in its middle, under load: what
// goes on through the name loses nothing.
func (n *oneName) kill(t *testing.T) {
	load := &relay{nodes: []*client.Region{n.region}, acknowledged: map[string]bool{}}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for w := range 2 {
		all.Go(func() { load.run(n.ctx, w, stop) })
	}
	until(t, 30*time.Second, "load", func() error { return atLeast(load.count(), 4*crashBatch) })
	st, k := n.stream(t)
	n.send(t, st, k, "before")
	other, its := n.stream(t) // at the other node: one of them is cut
	n.send(t, other, its, "beside")
	wav := sound(600_000)
	file := &halfway{Reader: bytes.NewReader(wav), reached: make(chan struct{}), goes: make(chan struct{})}
	carrier := newCaller(t, n.rest, n.c.Env.CAFile())
	var recording data.Recording
	var failed error
	all.Go(func() {
		recording, failed = n.by(carrier, n.region.Key).UploadRecording(n.ctx, "", file, int64(len(wav)), nil)
	})
	select {
	case <-file.reached:
	case <-n.ctx.Done():
		t.Fatal(n.ctx.Err())
	}
	victim := carrier.lately()
	check(t, n.c.Process(victim).Kill())
	close(file.goes)
	before, answers := load.count(), n.caller.counts()
	n.send(t, st, k, "after")
	n.send(t, other, its, "after too")
	until(t, 30*time.Second, "load without "+victim, func() error { return atLeast(load.count()-before, 4*crashBatch) })
	close(stop)
	all.Wait()
	check(t, st.Close(n.ctx))
	check(t, other.Close(n.ctx))
	if st.Cuts()+other.Cuts() == 0 {
		t.Error("neither stream was cut")
	}
	check(t, failed)
	media, err := n.region.RecordingMedia(n.ctx, recording.ID, 0)
	check(t, err)
	defer media.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, media)
	check(t, err)
	if want := sha256.Sum256(wav); !bytes.Equal(sum.Sum(nil), want[:]) || recording.SHA256 != hex.EncodeToString(want[:]) {
		t.Errorf("the recording is not what was sent: %+v", recording)
	}
	for id := range load.acknowledged {
		n.sent[id] = true
	}
	n.whole(t, n.each(t))
	after := n.caller.counts()
	for _, node := range n.nodes {
		if node != victim && after[node] == answers[node] {
			t.Errorf("%s answered nothing", node)
		}
	}
	t.Logf("%s was killed; %d records of the load, %d cuts of streams, the recording by %v, answers before %v and in all %v", victim, len(load.acknowledged), st.Cuts()+other.Cuts(), carrier.counts(), answers, after)
}
