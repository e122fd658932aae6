package peer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/shelf/shelftest"
	"github.com/domicile-io/domicile/policy"
)

// Received rows that were deleted after a backup are deleted again when it is put
// back, and nothing is deleted before that is noted.
func TestINV22_ReceivedRowsStayDeletedOverARestore(t *testing.T) {
	ctx := context.Background()
	r := newRoad(t)
	var noted []Deletion
	fails := errors.New("the disk is away")
	note := func(_ policy.TenantID, d Deletion) error {
		if fails == nil {
			noted = append(noted, d)
		}
		return fails
	}
	r.receiver.o.Note = note
	s := r.reaching("ie1")
	_, err := s.Send(ctx, permit(t), outgoing(t, 1, 5))
	check(t, err)
	before := r.rows()
	var backup bytes.Buffer
	check(t, r.receiver.inbox.shelf.(shelftest.Repeated).Shelf.(*bolt.Shelf).Snapshot(&backup))
	gone := []string{before[1], before[3]}
	if _, err := s.Forget(ctx, erasePermit(t), "us1", "", recipient, gone); !errors.Is(err, &policy.Error{Reason: policy.NotReady}) || len(r.rows()) != 5 {
		t.Fatalf("rows are deleted that no backup knows of: %v", err)
	}
	fails = nil
	if n, err := s.Forget(ctx, erasePermit(t), "us1", "", recipient, gone); err != nil || n != 2 {
		t.Fatalf("%d deleted, %v", n, err)
	}
	left := r.rows()

	restore := func(deletions []Deletion, ended []policy.TenantID) uint64 {
		t.Helper()
		path := filepath.Join(t.TempDir(), "received.db")
		check(t, os.WriteFile(path, backup.Bytes(), 0o600))
		open := func() *bolt.Shelf {
			f, err := bolt.Open(path, Buckets())
			check(t, err)
			return f
		}
		n, err := PutBackInbox(open(), r.receiver.o.Keys, "us1", deletions, ended)
		check(t, err)
		in, err := openInbox(open(), r.receiver.inbox.sealer)
		check(t, err)
		was := r.receiver.inbox
		r.receiver.inbox = in
		defer func() { r.receiver.inbox = was; check(t, in.Close()) }()
		if len(ended) > 0 {
			left = nil
		}
		if n := ofTenant(t, in.shelf); len(ended) > 0 && n > 0 {
			t.Errorf("%d keys are left of a tenant that has ended", n)
		}
		if got := r.rows(); !slices.Equal(got, left) {
			t.Errorf("%v are there, want %v", got, left)
		}
		return n
	}
	if n := restore(noted, nil); n != 2 {
		t.Errorf("%d rows were deleted again", n)
	}
	if n := restore(noted, []policy.TenantID{tenant}); n != 5 {
		t.Errorf("%d rows of a tenant that has ended", n)
	}
}
