package local_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// TestRollupsAgreeWithRecount appends events of few calls in many versions and
// wants the counters to be what a full recount says.
func TestRollupsAgreeWithRecount(t *testing.T) {
	s, _ := openAt(t, t.TempDir(), nil)
	rapid.Check(t, func(rt *rapid.T) {
		id, err := policy.NewID(policy.KindTenant, rand.Reader)
		if err != nil {
			rt.Fatal(err)
		}
		tenant := policy.TenantID(id)
		for range rapid.IntRange(1, 4).Draw(rt, "groups") {
			var recs []record.Record
			for range rapid.IntRange(1, 12).Draw(rt, "records") {
				recs = append(recs, drawEvent(rt))
			}
			if _, err := s.Append(context.Background(), storetest.Permit(t, tenant, policy.Ingest), recs); err != nil {
				rt.Fatal(err)
			}
		}
		got, err := s.Rollups(context.Background(), storetest.Permit(t, tenant, policy.View), "0001-01-01", "9999-12-31")
		want, err2 := s.Recount(context.Background(), storetest.Permit(t, tenant, policy.Process))
		if err := errors.Join(err, err2); err != nil {
			rt.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("counters %v\nrecount  %v", got, want)
		}
	})
}

func drawEvent(t *rapid.T) record.Record {
	n := rapid.IntRange(0, 3).Draw(t, "call")
	at := storetest.Epoch.Add(time.Duration(rapid.IntRange(-30, 30).Draw(t, "hours")) * time.Hour)
	switch rapid.IntRange(0, 3).Draw(t, "source") {
	case 0:
		return storetest.Acc(n, rapid.SampledFrom([]string{"INVITE", "BYE"}).Draw(t, "method"), rapid.SampledFrom([]int{200, 486}).Draw(t, "code"), at)
	case 1:
		return storetest.CDR(n, at, time.Minute)
	case 2:
		return storetest.Callback(n, int64(rapid.IntRange(0, 3).Draw(t, "sequence")), rapid.SampledFrom([]record.Status{record.Ringing, record.Completed}).Draw(t, "status"))
	}
	r := storetest.Native(n)
	r.Start, r.Primary = at, rapid.Bool().Draw(t, "primary")
	r.Direction = rapid.SampledFrom([]record.Direction{record.Inbound, record.Outbound, record.Internal}).Draw(t, "direction")
	r.Native = fmt.Appendf(r.Native, "%s%s%v", at, r.Direction, r.Primary)
	return storetest.Hashed(r)
}

// TestINV41_WaitingRecordsAreBounded: while the disk does not sync, callers are
// refused instead of piling up.
func TestINV41_WaitingRecordsAreBounded(t *testing.T) {
	release := make(chan struct{})
	var once sync.Once
	var armed atomic.Bool
	entered := make(chan struct{})
	s, _ := openAt(t, t.TempDir(), func(o *local.Options) {
		o.MaxPending = 10
		o.FS = stalled(&armed, func() error { once.Do(func() { close(entered) }); <-release; return nil })
	})
	results := make(chan error, 64)
	send := func(n int) {
		go func() { _, err := ingest(t, s, storetest.Native(n)); results <- err }()
	}
	armed.Store(true)
	send(0)
	<-entered
	for n := 1; n < 64; n++ {
		send(n)
	}
	overloaded := 0
	for range 64 - 22 { // at most 10 wait, and two groups are under way
		err := <-results
		wantReason(t, err, policy.Overloaded)
		overloaded++
	}
	armed.Store(false)
	close(release)
	for range 22 {
		if err := <-results; err != nil && !errors.Is(err, &policy.Error{Reason: policy.Overloaded}) {
			t.Errorf("a waiting record: %v", err)
		}
	}
	if overloaded == 0 {
		t.Fatal("nothing was refused")
	}
}
