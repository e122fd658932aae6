package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/mtls"
)

// What is done to a voter's files while no process runs on them: the end of a
// restore, and the recovery from a lost quorum.

// TermJump separates the terms of a restored or recovered cluster from every
// term that its former voters can have had. An entry is known by index and
// term: without the jump, one that a lost voter wrote could pass for ours.
const TermJump = 1_000_000

var keyTerm = []byte("CurrentTerm") // of hashicorp/raft's stable store

// Seed makes the Raft folder of a voter, which must not exist, for a state that
// is complete: a snapshot of it, in which the voter is the only member. Others
// join with empty folders.
func Seed(dir string, s *store.Store, v Voter, log *slog.Logger) error {
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("seed Raft: %s is already there", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("seed Raft: %w", err)
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, keepSnapshots, raftLogger(log))
	if err != nil {
		return fmt.Errorf("seed Raft: open snapshots: %w", err)
	}
	index, term := s.Applied()
	_, transport := raft.NewInmemTransport("")
	sink, err := snaps.Create(raft.SnapshotVersionMax, index, term, only(v), 1, transport)
	if err != nil {
		return fmt.Errorf("seed Raft: create snapshot: %w", err)
	}
	state, err := s.Snapshot()
	if err != nil {
		return errors.Join(fmt.Errorf("seed Raft: %w", err), sink.Cancel())
	}
	snap := &snapshot{Snapshot: state}
	defer snap.Release()
	if err := snap.Persist(sink); err != nil {
		return fmt.Errorf("seed Raft: write snapshot: %w", err)
	}
	failed := newFailure()
	d, err := openDisk(dir, defaultTimeout, failed.note)
	if err != nil {
		return err
	}
	return errors.Join(d.SetUint64(keyTerm, term), d.Close(), failed.err())
}

func only(v Voter) raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(v.Name), Address: raft.ServerAddress(v.Address)}}}
}

// End is where a voter's Raft log ends, committed or not, and who the members
// were as of there.
type End struct {
	Index, Term uint64
	Members     []Voter // with a vote
	Command     []byte  // the last entry, if it is a command
	Compacted   bool    // nothing stands behind the newest snapshot
}

// ReadEnd reads the end of the log in a stopped voter's Raft folder.
func ReadEnd(dir string, log *slog.Logger) (End, error) {
	f, err := openFiles(dir, log)
	if err != nil {
		return End{}, err
	}
	end, err := f.end()
	return end, errors.Join(err, f.close())
}

// Reload brings a stopped voter's state to its newest snapshot, when it is behind:
// after a power cut it begins empty. Then to where its process had shown it, when
// that was killed. What else the log has is not applied, because nobody knows which
// of it is committed.
func Reload(dir string, s *store.Store, log *slog.Logger) (err error) {
	f, err := openFiles(dir, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close(), f.failed.err()) }()
	list, err := f.snaps.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	if applied, _ := s.Applied(); len(list) == 0 || applied >= list[0].Index {
		return replay(f.disk, s)
	}
	_, from, err := f.snaps.Open(list[0].ID)
	if err != nil {
		return fmt.Errorf("open the newest snapshot: %w", err)
	}
	return errors.Join(s.Restore(from), from.Close())
}

// Recover makes a stopped voter the only member of its cluster. It appends the
// given command behind everything that the voter's log holds, committed or not,
// and commits all of it. When that command already stands at the end, a recovery
// that was cut short goes on. What has been done when it fails does no harm: the
// voter still has no quorum.
func Recover(dir string, s *store.Store, v Voter, command []byte, log *slog.Logger) (err error) {
	f, err := openFiles(dir, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	end, err := f.end()
	if err != nil {
		return err
	}
	if string(end.Command) != string(command) {
		if err := f.append(end, command); err != nil {
			return err
		}
	}
	conf := (&Options{Name: v.Name, Heartbeat: defaultHeartbeat, Logger: log}).raftConfig()
	r := &Replica{o: Options{Store: s, Logger: log, Fatal: f.failed.note}}
	_, transport := raft.NewInmemTransport("")
	// It swallows what Apply answers, but a store that has failed gives no snapshot,
	// and then it fails before it has changed anything.
	if err := raft.RecoverCluster(conf, recovering{fsm{r}}, f.disk, f.disk, f.snaps, transport, only(v)); err != nil {
		return fmt.Errorf("recover: %w", errors.Join(err, f.failed.err()))
	}
	return f.failed.err()
}

// recovering is the fsm of a recovery. RecoverCluster forgets to release its
// snapshot, and the state could never be closed.
type recovering struct{ fsm }

func (f recovering) Snapshot() (raft.FSMSnapshot, error) {
	s, err := f.fsm.Snapshot()
	if err != nil {
		return nil, err
	}
	return released{s}, nil
}

type released struct{ raft.FSMSnapshot }

func (s released) Persist(sink raft.SnapshotSink) error {
	defer s.Release()
	return s.FSMSnapshot.Persist(sink)
}

// files are a stopped voter's log and snapshots.
type files struct {
	disk   *disk
	snaps  *raft.FileSnapshotStore
	failed *failure
}

func openFiles(dir string, log *slog.Logger) (*files, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("read the Raft folder: %w", err)
	}
	f := &files{failed: newFailure()}
	var err error
	if f.snaps, err = raft.NewFileSnapshotStoreWithLogger(dir, keepSnapshots, raftLogger(log)); err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	f.disk, err = openDisk(dir, defaultTimeout, f.failed.note)
	return f, err
}

func (f *files) close() error { return f.disk.Close() }

// end walks the log for the members.
func (f *files) end() (e End, err error) {
	list, err := f.snaps.List()
	if err != nil {
		return e, fmt.Errorf("list snapshots: %w", err)
	}
	var members raft.Configuration
	if len(list) > 0 {
		e.Index, e.Term, members = list[0].Index, list[0].Term, list[0].Configuration
	}
	first, err := f.disk.FirstIndex()
	last, err2 := f.disk.LastIndex()
	if err := errors.Join(err, err2); err != nil {
		return e, fmt.Errorf("read the Raft log: %w", err)
	}
	e.Compacted = last <= e.Index
	for i := first; i != 0 && i <= last; i++ {
		var l raft.Log
		if err := f.disk.GetLog(i, &l); err != nil {
			return e, fmt.Errorf("read entry %d of the Raft log: %w", i, err)
		}
		if l.Type == raft.LogConfiguration && (len(list) == 0 || i > list[0].ConfigurationIndex) {
			members = raft.DecodeConfiguration(l.Data)
		}
		if i == last && i >= e.Index {
			e.Index, e.Term = l.Index, l.Term
			if l.Type == raft.LogCommand {
				e.Command, _ = checkSum(l.Data) // GetLog has checked it
			}
		}
	}
	for _, s := range members.Servers {
		if s.Suffrage == raft.Voter {
			e.Members = append(e.Members, Voter{Name: string(s.ID), Address: string(s.Address)})
		}
	}
	return e, f.failed.err()
}

// append writes the command as the next entry, in a term far above.
func (f *files) append(end End, command []byte) error {
	term, err := f.disk.GetUint64(keyTerm)
	if err != nil {
		return fmt.Errorf("read the term: %w", err)
	}
	term = max(term, end.Term) + TermJump
	if err := f.disk.SetUint64(keyTerm, term); err != nil {
		return fmt.Errorf("raise the term: %w", err)
	}
	l := &raft.Log{Index: end.Index + 1, Term: term, Type: raft.LogCommand, Data: withSum(command), AppendedAt: time.Now()}
	if err := f.disk.StoreLogs([]*raft.Log{l}); err != nil {
		return fmt.Errorf("append the recovery's entry: %w", err)
	}
	return f.failed.err()
}

// failure keeps what a disk reports as fatal.
type failure struct{ first chan error }

func newFailure() *failure { return &failure{first: make(chan error, 1)} }

func (f *failure) note(err error) {
	select {
	case f.first <- err:
	default:
	}
}

func (f *failure) err() error {
	select {
	case err := <-f.first:
		f.first <- err
		return err
	default:
		return nil
	}
}

// Answers reports whether a voter of our cluster answers at a Raft address: its
// process runs and shows its certificate.
func Answers(ctx context.Context, address string, own *mtls.Material) bool {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	d := tls.Dialer{NetDialer: &net.Dialer{}, Config: own.Client(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}})}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
