package peer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// ofTenant counts what stands in a shelf of the tenant.
func ofTenant(t *testing.T, s shelf.Shelf) (n int) {
	t.Helper()
	check(t, s.View(func(tx shelf.Tx) error {
		n = 0
		for _, b := range Buckets() {
			if err := tx.Ascend(b, []byte(string(tenant)+"/"), nil, func(_, _ []byte) error { n++; return nil }); err != nil {
				return err
			}
		}
		return nil
	}))
	return n
}

// A tenant that ends between two pieces leaves nothing behind: who goes on deleting
// its rows notes nothing of it any more.
func TestATenantThatEndsWhileRowsAreForgottenLeavesNothing(t *testing.T) {
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(t.TempDir(), "keys"), Region: "us1"})
	check(t, err)
	defer keys.Close()
	sealer, err := store.NewSealer(keys, "us1", sealedAs)
	check(t, err)
	gone := map[string]bool{}
	for n := range 2 * gravePiece {
		gone[fmt.Sprintf("%032x", n)] = true
	}
	stream := streamKey(tenant, recipient)
	for at := 1; ; at++ {
		file, err := bolt.Open(filepath.Join(t.TempDir(), "received.db"), Buckets())
		check(t, err)
		p := &pieces{Shelf: file}
		in, err := openInbox(p, sealer)
		check(t, err)
		ended := false
		p.n, p.fail = 0, func(n int) error {
			if n != at {
				return nil
			}
			ended, p.fail = true, nil
			_, err := in.Purge(tenant)
			return err
		}
		_, err = in.forget(stream, gone)
		if ended && !errors.Is(err, &policy.Error{Reason: policy.Destroyed}) {
			t.Errorf("before piece %d: %v", at, err)
		}
		if n := ofTenant(t, file); ended && n > 0 {
			t.Errorf("before piece %d: %d keys are left", at, n)
		}
		check(t, in.Close())
		if !ended {
			check(t, err)
			if at < 5 {
				t.Errorf("there are %d pieces only", at-1)
			}
			return
		}
	}
}

// Who asks for rows of a tenant that has ended is answered, and leaves no note, in the
// process that destroyed them and in the next.
func TestRowsOfAnEndedTenantAreForgottenWithoutANote(t *testing.T) {
	ctx := context.Background()
	for name, next := range map[string]bool{"the process that destroyed": false, "the next": true} {
		r := newRoad(t)
		s := r.reaching("ie1")
		_, err := s.Send(ctx, permit(t), outgoing(t, 1, 5))
		check(t, err)
		gone := r.rows()
		noted := 0
		r.receiver.o.Note = func(policy.TenantID, Deletion) error { noted++; return nil }
		in := r.receiver.Inbox()
		_, err = in.Purge(tenant)
		check(t, err)
		if next {
			r.pair.Purge = &policy.PurgeOrder{ID: "OP0123456789abcdef0123456789abcdef"}
			in.ended.Clear()
		}
		if n, err := s.Forget(ctx, erasePermit(t), "us1", "", recipient, gone); n != 0 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		if n := ofTenant(t, in.shelf); n != 0 || noted != 0 {
			t.Errorf("%s: %d keys of the tenant are there again, and %d notes", name, n, noted)
		}
	}
}
