package dataplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/peer"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/policy"
)

// notePatience bounds what an erasure waits for its note: the destruction of
// keys must not wait for a disk that hangs, or a bucket that is away. noteEnd is when
// what was left behind is given up.
const (
	notePatience = 2 * time.Second
	noteEnd      = time.Minute
)

// note tells the backups of rows that take the place of others whose keys are
// destroyed next. It comes back soon, whatever the disk does.
func (b *backups) note(t policy.TenantID, rows []localstore.Row) {
	n := backup.Note{Tenant: t, Kind: backup.StoreRows, Rows: make([]backup.Row, len(rows))}
	for i, r := range rows {
		n.Rows[i] = backup.Row{Key: r.Key, Value: r.Value}
	}
	if err := b.write(n); err != nil {
		b.missed("what was sealed anew could not be told to the backups: the snapshots of before lack it; another is taken", err)
	}
}

// noteTombstones tells them of rows that receivers are to delete.
func (b *backups) noteTombstones(t policy.TenantID, list []export.Tombstone) {
	n := backup.Note{Tenant: t, Kind: backup.BuriedRows, Rows: make([]backup.Row, len(list))}
	for i, x := range list {
		n.Rows[i] = backup.Row{Key: x.Key, Value: x.Value}
	}
	if err := b.write(n); err != nil {
		b.missed("what receivers are to delete could not be told to the backups; another snapshot is taken", err)
	}
}

// noteDeletion tells them of received rows that are deleted next.
func (b *backups) noteDeletion(t policy.TenantID, d peer.Deletion) error {
	return b.write(backup.Note{Tenant: t, Kind: backup.ReceivedRows, Rows: []backup.Row{{Key: d.Stream, Value: d.Rows}}})
}

// write makes a note durable. Before the first snapshot there is none that could
// lack it.
func (b *backups) write(n backup.Note) error {
	if !b.cfg.taken() {
		return nil
	}
	return b.bounded(func(ctx context.Context) error {
		known, err := b.repository()
		if err != nil || known == "" {
			return err
		}
		return b.notebook.Write(ctx, known, n)
	})
}

func (b *backups) copyLedger() {
	err := b.bounded(func(ctx context.Context) error {
		known, err := b.repository()
		if err != nil || known == "" {
			return err
		}
		return b.source.ledger.CopyAppended(backup.LedgerAt(ctx, b.place()))
	})
	if err != nil {
		b.missed("the erasure ledger's copy beside the backups is behind", err)
	}
}

func (b *backups) missed(what string, err error) {
	b.unnoted.Inc()
	b.node.log.Error(what, "cause", err, "next", "docs/operations/region-backup.md")
	select {
	case b.soon <- struct{}{}:
	default:
	}
}

// bounded runs f, one at a time, and leaves it behind when it takes too long;
// nothing more is begun before it has come back.
func (b *backups) bounded(f func(context.Context) error) error {
	wait := time.NewTimer(notePatience)
	defer wait.Stop()
	done := make(chan error, 1)
	select {
	case b.turn <- struct{}{}:
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), noteEnd)
			defer cancel()
			done <- f(ctx)
			<-b.turn
		}()
	case <-wait.C:
		return errors.New("the place of the backups hangs")
	}
	select {
	case err := <-done:
		return err
	case <-wait.C:
		return fmt.Errorf("the place of the backups did not answer within %s", notePatience)
	}
}
