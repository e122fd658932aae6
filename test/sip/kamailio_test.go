package sip

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// kamailio starts the proxy with the recipe that operators are given.
func kamailio(t *testing.T, c *testcluster.Cluster, tenant, key string) (*peer, int) {
	t.Helper()
	dir, sip := t.TempDir(), port(t)
	fill(t, "testdata/kamailio.cfg", filepath.Join(dir, "kamailio.cfg"), "SIP_PORT", fmt.Sprint(sip), "ANSWERING_PORT", fmt.Sprint(callee(t, "callee_answering")),
		"BUSY_PORT", fmt.Sprint(callee(t, "callee_busy")), "RINGING_PORT", fmt.Sprint(callee(t, "callee_ringing")),
		"REGION_FILE", filepath.Join(dir, "domicile-region.cfg"), "CA_FILE", c.Env.CAFile())
	fill(t, "../../docs/operations/kamailio/domicile.cfg", filepath.Join(dir, "domicile.cfg"))
	region := fmt.Sprintf("[domicile]\nurl = %s/v1/feeds/kamailio/edge1\nusername = %s\npassword = %s\n", c.Env.RegionURL("ie1"), tenant, key)
	check(t, os.WriteFile(filepath.Join(dir, "domicile-region.cfg"), []byte(region), 0o600))
	p := begin(t, "kamailio", "-DD", "-E", "-f", filepath.Join(dir, "kamailio.cfg"), "-Y", dir, "-w", dir, "-m", "64")
	return p, sip
}

// numbers are n pairs of a caller and a callee that begins so.
func numbers(from, n int, callee string) (pairs [][2]string) {
	for i := range n {
		pairs = append(pairs, [2]string{fmt.Sprintf("+35386100%04d", from+i), fmt.Sprintf("%s%04d", callee, from+i)})
	}
	return pairs
}

// A real Kamailio tells a real region of answered, refused and abandoned calls,
// by the recipe of the documents. While the region's node is dead, calls go on,
// and what was told meanwhile arrives once it is back, each call once.
func TestKamailioTellsARegionOfEveryCall(t *testing.T) {
	need(t, "kamailio", "sipp")
	c, err := testcluster.Open(context.Background(), testcluster.Options{Bin: bin, Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, c.Close()) })
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	control := c.Control("cp1")
	_, err = control.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: "switchco", HomeRegion: "ie1", BillingCountry: "IE"})
	check(t, err)
	key, err := control.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: "switchco", Region: "ie1", Role: "admin"})
	check(t, err)
	region := c.Region("ie1", key.Secret)
	proxy, sip := kamailio(t, c, "switchco", key.Secret)

	call(t, sip, "caller_answered", numbers(0, 6, "+3531555"))
	call(t, sip, "caller_busy", numbers(10, 3, "+35321455"))
	call(t, sip, "caller_cancel", numbers(20, 3, "+3536155"))
	until(t, 40*time.Second, "calls of a running region", func() error {
		return told(ctx, region, map[string]int{"completed": 6, "busy": 3, "canceled": 3})
	})

	check(t, c.Process("ie1").Kill())
	call(t, sip, "caller_answered", numbers(30, 5, "+3531555"))
	until(t, 30*time.Second, "a record that waits", func() error {
		if strings.Contains(string(proxy.said(t)), "a record waits") {
			return nil
		}
		return fmt.Errorf("kamailio does not say that one waits")
	})
	check(t, c.Process("ie1").Start())
	check(t, c.Process("ie1").WaitReady(ctx))
	until(t, 60*time.Second, "calls of a region that was away", func() error {
		return told(ctx, region, map[string]int{"completed": 11, "busy": 3, "canceled": 3})
	})
	said := string(proxy.said(t))
	for _, secret := range []string{"+35386", key.Secret} {
		if strings.Contains(said, secret) {
			t.Errorf("kamailio's log holds %q", secret)
		}
	}
}

// told is nil when the region has just these calls, by status, each with both
// parties and the times that its kind has.
func told(ctx context.Context, region *client.Region, want map[string]int) error {
	have, callers := map[string]int{}, map[string]bool{}
	err := region.AllCalls(ctx, client.Filter{}, func(call data.Call) error {
		have[call.Status]++
		callers[call.From.E164] = true
		return whole(call)
	})
	if err != nil {
		return err
	}
	all := 0
	for status, n := range want {
		all += n
		if have[status] != n {
			return fmt.Errorf("%d calls are %s, want %d; all: %v", have[status], status, n, have)
		}
	}
	if len(callers) != all || len(have) != len(want) {
		return fmt.Errorf("%d callers in calls %v, want %d in %v", len(callers), have, all, want)
	}
	quarantine, err := region.Quarantine(ctx, "")
	if err == nil && len(quarantine.Items) > 0 {
		err = fmt.Errorf("%d records are in quarantine", len(quarantine.Items))
	}
	return err
}

func whole(call data.Call) error {
	switch {
	case !strings.HasPrefix(call.From.E164, "+35386100") || !strings.HasPrefix(call.To.E164, "+353"):
		return fmt.Errorf("a call is from %q to %q", call.From.E164, call.To.E164)
	case call.Direction != "outbound":
		return fmt.Errorf("a call's direction is %q", call.Direction)
	case call.StartTime == nil:
		return fmt.Errorf("a call has no start")
	case call.Status == "completed" && (call.Versions < 3 || call.BillsecMS < 1000 || call.EndTime == nil || call.SIPCode != 200):
		return fmt.Errorf("an answered call lacks what its three events say: %d versions, %d ms, SIP %d", call.Versions, call.BillsecMS, call.SIPCode)
	case call.Status == "busy" && call.SIPCode != 486, call.Status == "canceled" && call.SIPCode != 487:
		return fmt.Errorf("a %s call has SIP code %d", call.Status, call.SIPCode)
	}
	return nil
}
