package local_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// A copy of the records that was made before the purge opens nothing with the
// keyring of after it.
func TestPurgeLeavesNoKeyForACopyOfTheRecords(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s, stop := openAt(t, dir, nil)
	for _, tenant := range []policy.TenantID{storetest.TenantA, storetest.TenantB} {
		if _, err := s.Append(ctx, storetest.Permit(t, tenant, policy.Ingest), []record.Record{storetest.Native(1)}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(filepath.Join(dir, "records"))); err != nil {
		t.Fatal(err)
	}
	s, stop = openAt(t, dir, nil)
	if _, err := s.Purge(ctx, storetest.TenantA); err != nil {
		t.Fatal(err)
	}
	stop()
	// Nothing that was deleted is left in the folder's tables.
	s, _ = openAt(t, dir, func(o *local.Options) { o.Dir = filepath.Join(dir, "copy") })
	all := store.Query{Start: storetest.Epoch.AddDate(-1, 0, 0), End: storetest.Epoch.AddDate(1, 0, 0), PageSize: 10}
	if _, err := s.List(ctx, storetest.Permit(t, storetest.TenantA, policy.View), all); err == nil {
		t.Error("the copy of the purged tenant's records opens")
	} else if strings.Contains(err.Error(), "corrupt") && !errors.Is(err, &policy.Error{Reason: policy.Destroyed}) {
		t.Logf("refused as %v", err)
	}
	if page, err := s.List(ctx, storetest.Permit(t, storetest.TenantB, policy.View), all); err != nil || len(page.Calls) != 1 {
		t.Errorf("another tenant's copy: %d calls, %v", len(page.Calls), err)
	}
}

// Whatever is written while a tenant is purged is either counted and gone, or refused.
func TestPurgeAgainstWriters(t *testing.T) {
	s, _ := openAt(t, t.TempDir(), nil)
	ctx := context.Background()
	var writers sync.WaitGroup
	begun := make(chan struct{}, 8)
	for w := range 8 {
		writers.Go(func() {
			for n := 0; ; n++ {
				_, err := s.Append(ctx, storetest.Permit(t, storetest.TenantA, policy.Ingest), []record.Record{storetest.Native(w*100_000 + n)})
				if n == 3 {
					begun <- struct{}{}
				}
				if errors.Is(err, &policy.Error{Reason: policy.Destroyed}) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 8 {
		<-begun
	}
	if gone, err := s.Purge(ctx, storetest.TenantA); err != nil || gone.Calls < 32 {
		t.Fatalf("purged %+v, %v", gone, err)
	}
	writers.Wait()
	if again, err := s.Purge(ctx, storetest.TenantA); err != nil || again != (store.Purged{}) {
		t.Errorf("a write was acknowledged after the purge: %+v, %v", again, err)
	}
}
