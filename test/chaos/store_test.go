package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Each entry makes one revision, so in whatever moment the state is read, as a
// crash would leave it, index and revision are equal. A position that is written
// by itself lags behind for a moment.
func TestINV32_ThePositionIsOneWithTheState(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(store.Options{Path: filepath.Join(dir, "state.db")})
	check(t, err)
	defer s.Close()
	apply := func(index uint64, p store.Payload) {
		data, err := store.Encode(store.Command{Stamp: store.Stamp{Now: time.Unix(1_700_000_000, 0), Actor: "bootstrap"}, Payload: p})
		check(t, err)
		results, err := s.Apply([]store.Entry{{Index: index, Term: 1, Data: data}})
		check(t, err)
		if results[0].Err != nil || results[0].Revision != index {
			t.Fatalf("entry %d: %+v", index, results[0])
		}
	}
	apply(1, store.InitCluster{ClusterID: "CL00000000000000000000000000000001",
		Regions:  []policy.Region{{ID: "ie1", Boundary: "eu", Country: "IE", Cloud: "aws-eu-west-1", BackupRegion: "none", Lifecycle: policy.Active}},
		Entities: []store.Entity{{Country: "IE", Code: "DOM-IE", SuggestedRegion: "ie1"}},
		Bases:    []store.Basis{{TransferBasis: policy.TransferBasis{ID: "NONE", State: "active"}}}})
	stop, looked := make(chan struct{}), make(chan int, 1)
	var read atomic.Int64
	go func() {
		images := 0
		for {
			select {
			case <-stop:
				looked <- images
				return
			default:
			}
			var image bytes.Buffer
			if err := s.WriteSnapshot(&image); err != nil {
				t.Error(err)
				continue
			}
			// A snapshot is the state as of one transaction, as a crash would leave it.
			index, revision, err := read2(filepath.Join(dir, fmt.Sprintf("image%d.db", images)), &image)
			if err != nil || index != revision {
				t.Errorf("an image holds index %d and revision %d, %v", index, revision, err)
			}
			images++
			read.Add(1)
		}
	}()
	const enough = 10
	began := time.Now() // a busy machine writes ten thousands in the time of an image
	for i := uint64(2); i < 400 || read.Load() < enough && time.Since(began) < 2*time.Minute; i++ {
		apply(i, store.CreateTenant{ID: policy.TenantID(fmt.Sprintf("TN%032x", i)), Slug: policy.Slug("t-" + letters(i)), Home: "ie1", BillingCountry: "IE"})
	}
	close(stop)
	if n := <-looked; n < enough {
		t.Errorf("void: only %d images were read", n)
	}
}

func read2(path string, image io.Reader) (index, revision uint64, err error) {
	s, err := store.Open(store.Options{Path: path})
	if err != nil {
		return 0, 0, err
	}
	if err := s.Restore(image); err != nil {
		return 0, 0, errors.Join(err, s.Close())
	}
	index, _ = s.Applied()
	return index, s.Revision(), s.Close()
}
