package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// When the retention of call records is over, nothing of them is left anywhere: not
// the rows that another region received, and not a recording that is younger than its
// call, because nothing would lead from the person to either.
func TestINV21_RetentionReachesTheOtherRegion(t *testing.T) {
	t.Parallel() // it waits for the most part
	onBothStores(t, retentionReaches)
}

func retentionReaches(t *testing.T, store edit) {
	c := start(t, testcluster.Options{ExportInterval: 200 * time.Millisecond, ExportWindow: 2 * time.Second, Regions: []string{"ie1", "us1"},
		EditRegion: func(env *dev.Environment, cfg *dataplane.Config) error {
			cfg.Keys.ReindexEvery = time.Second // a round of retention is as often
			return store(env, cfg)
		}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	home, there := exporting(ctx, t, c, "acme-ie", exportRecipient)
	sendClass(ctx, t, home, "old")
	calls, err := home.Calls(ctx, client.Filter{})
	check(t, err)
	check(t, atLeast(len(calls.Calls), exportCallers))
	sound := []byte("RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00")
	_, err = home.UploadRecording(ctx, calls.Calls[0].ID, bytes.NewReader(sound), int64(len(sound)), nil)
	check(t, err)
	until(t, time.Minute, "the rows are there", func() error { return delivered(ctx, home, there, 1) })

	control := c.Control("cp1")
	p, err := control.Policy(ctx, "acme-ie")
	check(t, err)
	day := uint32((24 * time.Hour).Seconds())
	p.GetRules().GetClasses()["call_record"].Retention = day
	if _, err = control.PutPolicy(ctx, "acme-ie", p.GetRules(), p.GetEtag()); !errors.Is(err, &policy.Error{Reason: policy.InvalidArgument}) {
		t.Fatalf("recordings may outlive their calls: %v", err)
	}
	p.GetRules().GetClasses()["recording"].Retention = day
	_, err = control.PutPolicy(ctx, "acme-ie", p.GetRules(), p.GetEtag())
	check(t, err)
	until(t, time.Minute, "nothing is left", func() error {
		calls, err := home.Calls(ctx, client.Filter{})
		if err != nil {
			return err
		}
		recordings, err := home.Recordings(ctx, client.MediaFilter{})
		if err != nil {
			return err
		}
		if len(calls.Calls)+len(recordings.Recordings) > 0 {
			return fmt.Errorf("%d calls and %d recordings are left", len(calls.Calls), len(recordings.Recordings))
		}
		return rowsThere(ctx, there, 0)
	})
}
