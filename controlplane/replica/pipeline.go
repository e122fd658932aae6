package replica

import (
	"sync"

	"github.com/hashicorp/raft"
)

// transport is Raft's, but for one thing: its pipelines cannot block for ever.
//
// In v1.7.3 the goroutine that sends to a follower hands each request to a
// decoder, and that decoder hands each answer to a reader. The reader ends at an
// answer of a newer term or a refusal; then the decoder waits for the reader,
// and the sender, if it is just handing over, waits for the decoder. Nobody
// comes: the follower gets nothing more while its heartbeats look healthy
// (hashicorp/raft#612), and Shutdown waits for the sender. DESIGN.md has the
// command that showed it.
type transport struct {
	*raft.NetworkTransport
	held *holds // hold.go

	// durable is the last entry that our own disk holds for good. No other voter is
	// told of a commit beyond it (ahead.go).
	durable func() uint64
}

// AppendEntriesPipeline implements raft.Transport.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: inner, id: id, held: t.held, durable: t.durable, answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
	go p.carry()
	return p, nil
}

// pipeline takes every answer off the decoder at once and keeps it until the
// reader comes. It holds few: a sender whose reader has ended stops at its next
// look.
type pipeline struct {
	raft.AppendPipeline
	id      raft.ServerID
	held    *holds
	durable func() uint64
	answers chan raft.AppendFuture
	closed  chan struct{}
	once    sync.Once
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	capCommit(args, p.durable)
	return p.AppendPipeline.AppendEntries(args, resp)
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.AppendPipeline.Close()
}

func (p *pipeline) carry() {
	var waiting []raft.AppendFuture
	for {
		var next raft.AppendFuture
		var to chan<- raft.AppendFuture // nil, so never ready, while nothing waits
		if len(waiting) > 0 {
			next, to = waiting[0], p.answers
		}
		select {
		case f := <-p.AppendPipeline.Consumer():
			p.held.appended(p.id, f.Request(), f.Response())
			waiting = append(waiting, f)
		case to <- next:
			waiting = waiting[1:]
		case <-p.closed:
			return
		}
	}
}
