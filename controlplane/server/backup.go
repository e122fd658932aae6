package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/backup"
	"github.com/domicile-io/domicile/policy"
)

// Limits of backups.
const (
	backupChunk = 64 << 10 // bytes of one message
	catchUp     = 30 * time.Second
)

// backups takes backups of this voter's state: for people who ask, and for the
// schedule. One at a time, because each reads the whole state twice.
type backups struct {
	*core
	signer     *bundle.Signer
	leader     *peers   // as a voter, by its certificate
	recipients []string // of the configuration; each backup is encrypted to these too
	busy       chan struct{}
}

// write writes a backup that holds everything which was acknowledged before
// the call.
func (b *backups) write(ctx context.Context, recipients []string, w io.Writer) (backup.Written, error) {
	select {
	case b.busy <- struct{}{}:
		defer func() { <-b.busy }()
	default:
		return backup.Written{}, policy.Errorf(policy.Overloaded, "this voter is taking a backup already: wait for it, or ask another voter")
	}
	to := append(append([]string(nil), b.recipients...), recipients...)
	if err := backup.CheckRecipients(to); err != nil {
		return backup.Written{}, fieldError("recipients", err.Error())
	}
	if err := b.catchUp(ctx); err != nil {
		return backup.Written{}, err
	}
	snapshot, err := b.store.Snapshot()
	if err != nil {
		return backup.Written{}, err
	}
	written, err := backup.Write(bounded{ctx, w}, backup.WriteOptions{Snapshot: snapshot, Signer: b.signer, Recipients: to, Voter: b.name, Now: time.Now()})
	return written, errors.Join(err, snapshot.Close())
}

// catchUp brings our state to where a verified leader is now.
func (b *backups) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	for {
		changed := b.replica.LeaderChanged()
		revision, err := b.confirm(ctx)
		if err == nil && revision == 0 {
			err = policy.Errorf(policy.NotReady, "the cluster is not set up yet")
		}
		if err == nil {
			return b.replica.WaitRevision(ctx, revision)
		}
		if !definitelyNotDone(err) {
			return err
		}
		again := time.NewTimer(100 * time.Millisecond)
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return policy.Errorf(policy.NotReady, "no leader confirms how far the cluster is, so the backup could miss changes: see `domicile status`")
		}
		again.Stop()
	}
}

// confirm asks the leader for its revision, or ourselves when we lead.
func (b *backups) confirm(ctx context.Context) (uint64, error) {
	if b.replica.IsLeader() {
		if err := b.replica.VerifyLeader(ctx); err != nil {
			return 0, err
		}
		return b.store.Revision(), nil
	}
	leader, known := b.replica.Leader()
	if !known || leader == b.name {
		return 0, policy.Errorf(policy.NotReady, "no leader is known")
	}
	conn, err := b.leader.to(leader)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(ctx, metadata.Pairs(mdForwarded, b.name)), callTimeout)
	defer cancel()
	r, err := controlv1.NewBackupServiceClient(conn).ConfirmRevision(ctx, &controlv1.ConfirmRevisionRequest{})
	if err != nil {
		return 0, lost(api.FromGRPC(err), permission{})
	}
	return r.GetRevision(), nil
}

// bounded ends a backup with its context: nothing else would, while a large
// state is written to a fast disk.
type bounded struct {
	ctx context.Context
	to  io.Writer
}

func (b bounded) Write(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.to.Write(p)
}

type backupService struct {
	controlv1.UnimplementedBackupServiceServer
	*backups
}

// ConfirmRevision implements controlv1.BackupServiceServer. The chain has
// verified that we lead.
func (s backupService) ConfirmRevision(context.Context, *controlv1.ConfirmRevisionRequest) (*controlv1.ConfirmedRevision, error) {
	return &controlv1.ConfirmedRevision{Revision: s.store.Revision()}, nil
}

// CreateBackup implements controlv1.BackupServiceServer.
func (s backupService) CreateBackup(req *controlv1.CreateBackupRequest, stream grpc.ServerStreamingServer[controlv1.BackupChunk]) error {
	ctx := stream.Context()
	// Our state may be behind, and the token withdrawn since: it must hold in what
	// is given out, too.
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	who, err := s.auth.caller(ctx, time.Now())
	if err != nil {
		return err
	}
	if err := permissions[controlv1.BackupService_CreateBackup_FullMethodName].allow(who); err != nil {
		return err
	}
	w := bufio.NewWriterSize(chunks{stream}, backupChunk)
	written, err := s.write(ctx, req.GetRecipients(), w)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return err
	}
	s.log.Info("a backup was given out", "principal", who.principal, "revision", written.Manifest.Revision, "bytes", written.Size)
	return nil
}

// chunks sends what is written as messages.
type chunks struct {
	to grpc.ServerStreamingServer[controlv1.BackupChunk]
}

func (c chunks) Write(b []byte) (int, error) {
	for sent := 0; sent < len(b); {
		n := min(len(b)-sent, backupChunk)
		if err := c.to.Send(&controlv1.BackupChunk{Data: b[sent : sent+n]}); err != nil {
			return sent, fmt.Errorf("send the backup: %w", err)
		}
		sent += n
	}
	return len(b), nil
}

// Backup takes a backup for the schedule, encrypted to the recipients of the
// configuration.
func (s *Server) Backup(ctx context.Context, w io.Writer) (backup.Written, error) {
	return s.backups.write(ctx, nil, w)
}
