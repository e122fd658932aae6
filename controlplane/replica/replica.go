// Package replica is one voter: it keeps a store.Store equal to its peers' by
// hashicorp/raft over mutually authenticated TLS.
//
// Open starts it. Propose commits a command on the leader and answers with one
// of three outcomes: done (or refused, as a value), definitely not done, or
// unknown. Reads go to the store directly; VerifyLeader before them makes them
// linearizable, WaitRevision at least as fresh as a revision. DESIGN.md says
// why things are as they are.
package replica

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Replica is one running voter. Methods are safe for concurrent use.
type Replica struct {
	o         Options
	raft      *raft.Raft
	disk      *disk
	transport *transport

	fatalOnce sync.Once
	stopping  context.Context // done from Shutdown on
	stop      context.CancelFunc
	stopOnce  sync.Once
	watching  sync.WaitGroup

	applied    atomic.Uint64 // index up to which the store holds every command
	snapshotAt atomic.Uint64 // bytes of log that had been written when the newest snapshot was begun, since Open
	readyTerm  atomic.Uint64 // term in which we have passed the leader's barrier
	changed    signal        // the store has moved
	leader     signal        // the leader, or our readiness to lead, has changed
	verifying  verifier

	silentMu sync.Mutex
	silent   map[string]bool // members to whom our heartbeats fail
}

// Open starts a voter. It returns before there is a leader.
func Open(o Options) (*Replica, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make Raft folder: %w", err)
	}
	r := &Replica{o: o, silent: map[string]bool{}}
	r.stopping, r.stop = context.WithCancel(context.Background())
	d, err := openDisk(o.Dir, o.DiskTimeout, r.fatal)
	if err != nil {
		return nil, err
	}
	r.disk = d
	if o.syncing != nil {
		d.syncLog = func() error { return o.syncing(d.log.Sync) }
	}
	if err := r.start(); err != nil {
		if r.transport != nil {
			err = errors.Join(err, r.transport.Close())
		}
		return nil, errors.Join(err, d.Close())
	}
	return r, nil
}

func (r *Replica) start() error {
	conf := r.o.raftConfig()
	if err := dropUnfinished(r.o.Dir); err != nil {
		return err
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(r.o.Dir, keepSnapshots, conf.Logger)
	if err != nil {
		return fmt.Errorf("open snapshots: %w", err)
	}
	if conf.NoSnapshotRestoreOnStart, err = r.ahead(snaps); err != nil {
		return err
	}
	if conf.NoSnapshotRestoreOnStart {
		if err := replay(r.disk, r.o.Store); err != nil {
			return err
		}
	}
	stream, err := newStreamLayer(&r.o)
	if err != nil {
		return err
	}
	r.disk.held = newHolds(r.o.Logger)
	r.transport = &transport{NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: addresses{&r.o}, Logger: conf.Logger, Stream: stream,
		MaxPool: connectionPool, Timeout: rpcTimeout, MsgpackUseNewTimeFormat: true}), held: r.disk.held, durable: r.disk.log.Synced}
	log, err := raft.NewLogCache(logCache, r.disk)
	if err != nil {
		return fmt.Errorf("make log cache: %w", err)
	}
	if r.o.Bootstrap {
		err := raft.BootstrapCluster(conf, log, r.disk, snaps, r.transport, r.firstMembers())
		if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
			return fmt.Errorf("bootstrap: %w", err)
		}
	}
	index, _ := r.o.Store.Applied()
	r.applied.Store(index)
	notify := make(chan bool, 16)
	conf.NotifyCh = notify
	if r.raft, err = raft.NewRaft(conf, fsm{r}, log, r.disk, snaps, r.transport); err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	r.disk.ahead.of(func() bool { return r.raft.State() == raft.Leader })
	r.watching.Add(2)
	go r.watchLeadership(notify)
	go r.snapshots(snaps)
	return nil
}

// ahead reports whether the store is at or past the newest snapshot, so that it
// need not be restored. A store that is past the whole Raft log is refused:
// that log is not the one that made it, and its entries would be passed over.
func (r *Replica) ahead(snaps raft.SnapshotStore) (bool, error) {
	inFile, _ := r.o.Store.Applied()
	applied := max(inFile, r.o.Store.Shown())
	last, err := r.disk.LastIndex()
	if err != nil {
		return false, fmt.Errorf("read Raft log: %w", err)
	}
	list, err := snaps.List()
	if err != nil {
		return false, fmt.Errorf("list snapshots: %w", err)
	}
	if len(list) > 0 {
		last = max(last, list[0].Index)
	}
	if applied > last {
		return false, fmt.Errorf("the state is at entry %d and the Raft log in %s ends at %d: they do not belong together; restore both, or remove both and rejoin", applied, r.o.Dir, last)
	}
	covered := uint64(0)
	if len(list) > 0 {
		covered = list[0].Index
	}
	if first := r.disk.log.First(); first > max(covered, inFile)+1 {
		return false, fmt.Errorf("the Raft log in %s begins at entry %d, and what comes before it is in no snapshot: %s", r.o.Dir, first, rejoin)
	}
	return len(list) == 0 || inFile >= covered, nil
}

func (r *Replica) firstMembers() raft.Configuration {
	var c raft.Configuration
	for _, v := range r.o.Voters {
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(v.Name), Address: raft.ServerAddress(v.Address)})
	}
	return c
}

// fatal tells the owner, once, that this node must stop.
func (r *Replica) fatal(err error) {
	r.fatalOnce.Do(func() {
		r.o.Logger.Error("this voter must stop", "err", err)
		r.o.Fatal(err)
	})
}

// advance notes that the store holds every command up to index.
func (r *Replica) advance(index uint64) {
	for {
		old := r.applied.Load()
		if index <= old {
			return
		}
		if r.applied.CompareAndSwap(old, index) {
			break
		}
	}
	r.changed.raise()
}

// Shutdown stops the voter; a leader hands over first, as long as ctx allows.
// The store stays open.
func (r *Replica) Shutdown(ctx context.Context) error {
	var err error
	r.stopOnce.Do(func() {
		if r.raft.State() == raft.Leader && len(r.Configuration().Servers) > 1 && ctx.Err() == nil {
			if handOver := r.TransferLeadership(ctx); handOver != nil {
				r.o.Logger.Warn("leadership was not handed over", "err", handOver)
			}
		}
		r.stop()
		err = errors.Join(r.raft.Shutdown().Error(), r.transport.Close())
		r.watching.Wait()
		err = errors.Join(err, r.disk.Close())
		r.leader.raise()
		r.changed.raise()
	})
	return err
}
