package replica

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A reader of answers that has ended must not hold up the sender: that was a
// deadlock in which a follower got nothing more and Shutdown never returned.
func TestPipelineWithoutReaderDoesNotBlockItsSender(t *testing.T) {
	c := startCluster(t, 3, nil)
	leader := c.leader()
	var peer Voter
	for _, v := range c.voters {
		if v.Name != leader.o.Name {
			peer = v
		}
	}
	p, err := leader.transport.AppendEntriesPipeline(raft.ServerID(peer.Name), raft.ServerAddress(peer.Address))
	check(t, err)
	defer func() { check(t, p.Close()) }()
	sent := make(chan error, 1)
	go func() {
		for range 16 { // of term 0: the peer refuses each
			req := &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
			if _, err := p.AppendEntries(req, new(raft.AppendEntriesResponse)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	select {
	case err := <-sent:
		check(t, err)
	case <-time.After(patience):
		t.Fatal("the sender is blocked although the peer answers")
	}
	for range 16 { // a reader that comes late still gets every answer
		select {
		case <-p.Consumer():
		case <-time.After(patience):
			t.Fatal("an answer was lost")
		}
	}
}
