package replica

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/controlplane/store"
)

// fsm carries committed entries into the store. It decides nothing.
type fsm struct{ r *Replica }

var _ raft.BatchingFSM = fsm{}

// Apply implements raft.FSM.
func (f fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM: all of the batch or nothing. Each
// response is a store.Result, or the error that ends this node.
func (f fsm) ApplyBatch(logs []*raft.Log) []any {
	responses := make([]any, len(logs))
	results, err := f.apply(logs)
	if err != nil {
		f.r.fatal(err)
		for i := range responses {
			responses[i] = err
		}
		return responses
	}
	for i := range results {
		responses[i] = results[i]
	}
	f.r.advance(logs[len(logs)-1].Index)
	return responses
}

func (f fsm) apply(logs []*raft.Log) ([]store.Result, error) {
	// A leader's own copy counts once it is durable, so nothing is applied, and
	// nobody is answered, before (ahead.go).
	if last := logs[len(logs)-1].Index; f.r.disk != nil {
		if err := f.r.disk.log.Await(last); err != nil {
			return nil, fmt.Errorf("entry %d is not durable here: %w", last, err)
		}
	}
	entries := make([]store.Entry, len(logs))
	for i, l := range logs {
		entries[i] = store.Entry{Index: l.Index, Term: l.Term}
		if l.Type != raft.LogCommand { // a change of members: only its index matters to the state
			continue
		}
		command, err := checkSum(l.Data)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", l.Index, err)
		}
		entries[i].Data = command
	}
	return f.r.o.Store.Apply(entries)
}

// Snapshot implements raft.FSM. Raft dates it by the last entry that passed here,
// which may be a barrier that our disk does not hold yet: it does before the
// snapshot says so.
func (f fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.r.disk != nil {
		if err := f.r.disk.sync(); err != nil {
			return nil, err
		}
	}
	s, err := f.r.o.Store.Snapshot()
	if err != nil {
		return nil, err
	}
	return &snapshot{Snapshot: s}, nil
}

// Restore implements raft.FSM. Raft only logs its error and would go on, so it
// is fatal here.
func (f fsm) Restore(from io.ReadCloser) error {
	err := errors.Join(f.r.o.Store.Restore(bufio.NewReaderSize(from, 1<<20)), from.Close())
	if err != nil {
		f.r.fatal(err)
		return err
	}
	if f.r.disk != nil {
		f.r.snapshotAt.Store(f.r.disk.bytes.Load())
	}
	index, _ := f.r.o.Store.Applied()
	f.r.advance(index)
	return nil
}

// snapshot writes a snapshot of the store to Raft's sink.
type snapshot struct{ *store.Snapshot }

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	w := bufio.NewWriterSize(sink, 1<<20)
	if err := errors.Join(s.Write(w), w.Flush()); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() { _ = s.Close() }
