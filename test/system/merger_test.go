package system

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// mergedSingles are records that come one by one: enough for several covers.
const mergedSingles = 600

// A node's own merger, in the background and unasked, puts records that came one by
// one under covers; each is read afterwards as it was before, also after kill -9, and
// a person among them is erased.
func TestANodeMergesWhatCameAlone(t *testing.T) {
	onBothStores(t, mergesWhatCameAlone)
}

func mergesWhatCameAlone(t *testing.T, store edit) {
	c := start(t, testcluster.Options{Regions: []string{"ie1"}, EditRegion: func(env *dev.Environment, cfg *dataplane.Config) error {
		cfg.MergeAfter = time.Millisecond
		return store(env, cfg)
	}})
	_, region := place(t, c, "acme-ie", "ie1", "IE", nil)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	for n := range mergedSingles {
		_, err := region.CreateCall(ctx, data.NewCall{NativeID: fmt.Sprintf("alone-%d", n), From: fmt.Sprintf("+3531555%04d", n%50), To: "+35315551234", CallerName: "A caller of some name", Status: "completed"})
		check(t, err)
	}
	before := everyCall(ctx, t, region)
	// The newest chunk is never merged: a node that starts again begins another one.
	again := func() {
		t.Helper()
		node := c.Process("ie1")
		check(t, node.Kill())
		check(t, node.Start())
		check(t, node.WaitReady(ctx))
	}
	again()
	_, err := region.CreateCall(ctx, data.NewCall{NativeID: "after", From: "+35315559999", To: "+35315551234", Status: "completed"})
	check(t, err)
	const enough = 50 // rounds of the merger, of which the first should do
	ends := map[float64]bool{}
	until(t, 4*time.Minute, "the node makes a cover", func() error {
		if ends[metricOf(t, c, "domicile_merge_last_end_timestamp_seconds")] = true; len(ends) > enough {
			t.Fatalf("%d rounds of the merger have ended, and no cover is made", len(ends))
		}
		covers, frames := metricOf(t, c, "domicile_merge_covers_total"), metricOf(t, c, "domicile_merge_frames_total")
		if covers < 1 || frames < 10 {
			return fmt.Errorf("%v covers of %v frames", covers, frames)
		}
		return nil
	})
	if saved := metricOf(t, c, "domicile_merge_saved_bytes_total"); saved <= 0 {
		t.Errorf("merging saved %v bytes", saved)
	}
	same := func(when string) {
		t.Helper()
		after := everyCall(ctx, t, region)
		delete(after, "after")
		if len(after) != mergedSingles {
			t.Errorf("%s: %d calls are there", when, len(after))
		}
		for id, was := range before {
			if !bytes.Equal(after[id], was) {
				t.Errorf("%s: call %s is %s, and was %s", when, id, after[id], was)
			}
		}
	}
	same("merged")
	again()
	same("after kill -9")
	erased, err := region.EraseSubject(ctx, data.SubjectRef{Number: "+35315550007"})
	check(t, err)
	until(t, 4*time.Minute, "the erasure is executed", func() error {
		got, err := region.Certificate(ctx, erased.ID)
		if err == nil && got.State == "pending" {
			err = fmt.Errorf("it is %s at step %s", got.State, got.Step)
		}
		return err
	})
	for id, call := range everyCall(ctx, t, region) {
		if bytes.Contains(call, []byte("+35315550007")) {
			t.Errorf("call %s names who was erased from under a cover: %s", id, call)
		}
	}
}

// everyCall reads all calls of a tenant, by native id.
func everyCall(ctx context.Context, t *testing.T, region *client.Region) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	check(t, region.AllCalls(ctx, client.Filter{}, func(call data.Call) error {
		raw, err := json.Marshal(call)
		out[call.NativeID] = raw
		return err
	}))
	return out
}

// metricOf reads one number of ie1's node, -1 when it is not there.
func metricOf(t *testing.T, c *testcluster.Cluster, name string) float64 {
	t.Helper()
	for line := range strings.Lines(metrics(t, c, "ie1")) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			check(t, err)
			return v
		}
	}
	return -1
}
