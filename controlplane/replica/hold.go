package replica

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// A voter that was sent a snapshot needs the log from there on. Under load that
// log was cut off before the snapshot was in place, so that the voter was sent the
// next one, and so for ever; and a voter that was merely slower than the others
// came into the same loop. So the log is held for every voter that answers, from
// what it has reached on, and from a snapshot on while one is being sent. One that
// does not answer gets TrailingLogs and no more.

const (
	heldIdle = 10 * time.Second // how long the log is held for a voter that does not answer
	heldMost = 1 << 30          // bytes of log, about, that are held for one voter
)

// holds says from where on the log is held, and for whom.
type holds struct {
	log   *slog.Logger
	count atomic.Uint64 // snapshots that arrived

	mu sync.Mutex
	of map[raft.ServerID]*hold
}

type hold struct {
	from    uint64    // the entry before the first that is needed: its term is asked for with that one
	sending bool      // a snapshot is on its way, or is being put in place
	heard   time.Time // when the voter last took something
}

func newHolds(log *slog.Logger) *holds { return &holds{log: log, of: map[raft.ServerID]*hold{}} }

// begin holds the log from a snapshot on.
func (h *holds) begin(id raft.ServerID, snapshot uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of[id] = &hold{from: snapshot, sending: true, heard: time.Now()}
}

// sent ends the sending. A snapshot that did not arrive is sent again, and is the
// newest by then.
func (h *holds) sent(id raft.ServerID, arrived bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	have := h.of[id]
	if have == nil {
		return
	}
	have.sending, have.heard = false, time.Now()
	if !arrived {
		delete(h.of, id)
		return
	}
	h.count.Add(1)
}

// answered notes that a voter has said that it has all entries up to index.
func (h *holds) answered(id raft.ServerID, index uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	have := h.of[id]
	switch {
	case have == nil:
		h.of[id] = &hold{from: index, heard: time.Now()}
	case !have.sending:
		have.from, have.heard = max(have.from, index), time.Now()
	}
}

// silent notes that a voter did not answer. A snapshot's sending ends by itself.
func (h *holds) silent(id raft.ServerID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if have := h.of[id]; have != nil && !have.sending {
		delete(h.of, id)
	}
}

// cut lowers the last entry that the beginning of the log may lose. behind gives
// about how many bytes follow an entry. The entry asked for always stays: it may
// be the newest snapshot's, and that of whoever is sent it next.
func (h *holds) cut(to uint64, behind func(uint64) uint64) uint64 {
	to--
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, have := range h.of {
		switch {
		case have.from > to:
		case !have.sending && time.Since(have.heard) > heldIdle:
			delete(h.of, id)
		case behind(have.from) > heldMost:
			h.log.Warn("a voter is so far behind that the log is no longer held for it: it will be sent a snapshot", "voter", id, "at", have.from)
			delete(h.of, id)
		default:
			to = have.from - 1
		}
	}
	return to
}

// InstallSnapshot implements raft.Transport.
func (t *transport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	t.held.begin(id, args.LastLogIndex)
	err := t.NetworkTransport.InstallSnapshot(id, target, args, resp, data)
	t.held.sent(id, err == nil && resp.Success)
	return err
}

// AppendEntries implements raft.Transport.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	capCommit(args, t.durable)
	err := t.NetworkTransport.AppendEntries(id, target, args, resp)
	if err != nil {
		t.held.silent(id)
	} else {
		t.held.appended(id, args, resp)
	}
	return err
}

// appended notes an answer of either way of sending entries.
func (h *holds) appended(id raft.ServerID, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) {
	if resp.Success && args.PrevLogEntry > 0 { // a heartbeat says nothing of the log
		h.answered(id, args.PrevLogEntry+uint64(len(args.Entries)))
	}
}
