package power

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/policy"
)

// On a disk that others have filled to the last block a node takes nothing in,
// shows what it has, forgets whom it is told to forget, completely, also after a
// restart in the midst of it, and is well again when there is room.
func TestINV21_AFullDiskStillErases(t *testing.T) {
	s := openSite(t, siteOptions{volume: 512 << 20, edit: func(_ *dev.Environment, c *dataplane.Config) error {
		if c.Region == "ie1" {
			c.DiskReserve = 0 // as by default
		}
		return nil
	}})
	_, region := s.place("acme-ie", atHome(sealedClasses()))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	const people = 3
	number := func(i int) string { return fmt.Sprintf("+35387%07d", i) }
	for i := range people {
		for k := range 3 {
			c := newCall(fmt.Sprintf("p%d-%d", i, k))
			c.From = number(i)
			_, err := region.CreateCall(ctx, c)
			check(t, err)
		}
	}
	stays, err := region.CreateCall(ctx, newCall("o"))
	check(t, err)
	whole := s.metric("domicile_disk_reserve_bytes")
	if whole == 0 || whole != s.metric("domicile_disk_reserve_wanted_bytes") {
		t.Fatalf("the reserve is %d bytes", whole)
	}

	check(t, s.volume.Fill())
	refused := func(what string) {
		t.Helper()
		until(t, startLimit, what, func() error { // the disk is asked once a second
			if _, err := region.CreateCall(ctx, newCall("refused")); !errors.Is(err, &policy.Error{Reason: policy.StorageFull}) {
				return fmt.Errorf("a record on a full disk: %w", errors.Join(err, errors.New("not refused")))
			}
			return nil
		})
	}
	erased := func(i int) {
		t.Helper()
		until(t, startLimit, "the erasure is asked for", func() error {
			_, err := region.EraseSubject(ctx, data.SubjectRef{Number: number(i)})
			return err
		})
		until(t, startLimit, "the erasure is executed", func() error { return erasedAll(ctx, region, number(i), i) })
	}
	refused("records are refused")
	if full := s.metric("domicile_disk_full"); full != 1 {
		t.Errorf("domicile_disk_full says %d", full)
	}
	shown := func() {
		t.Helper()
		if _, err := region.Call(ctx, stays.ID); err != nil {
			t.Errorf("what is there is not shown: %v", err)
		}
	}
	shown()
	erased(0)
	shown()

	check(t, s.volume.Fill()) // others take what was freed and given away
	erased(1)
	check(t, s.node.Kill())
	check(t, s.volume.Fill())
	check(t, s.start())
	refused("records are refused after a restart")
	erased(2)
	shown()
	if left := s.metric("domicile_disk_reserve_bytes"); left >= whole {
		t.Errorf("void: nothing of the reserve was needed: %d bytes are left", left)
	}

	check(t, s.volume.Free())
	until(t, startLimit, "records are taken in again", func() error {
		_, err := region.CreateCall(ctx, newCall("again"))
		return err
	})
	until(t, startLimit, "the reserve is whole again", func() error {
		if has := s.metric("domicile_disk_reserve_bytes"); has != whole {
			return fmt.Errorf("%d of %d bytes", has, whole)
		}
		return nil
	})
	n := 0
	check(t, region.AllCalls(ctx, client.Filter{PageSize: 1000}, func(c data.Call) error { n++; return nil }))
	if n < 2 {
		t.Errorf("%d calls are there", n)
	}
	if !s.node.Running() {
		t.Error("the node ended")
	}
}

// metric reads one number of the node; -1 when it does not answer.
func (s *site) metric(name string) int64 {
	s.t.Helper()
	cfg, err := s.Env.RegionConfig("ie1")
	check(s.t, err)
	resp, err := http.Get("http://" + cfg.OpsAddress + "/metrics")
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			check(s.t, err)
			return int64(v)
		}
	}
	return -1
}
