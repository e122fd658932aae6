package dev_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/loopback"
)

const grafana = "../../docs/operations/grafana/"

// quiet are the panels that show nothing while nothing is wrong; their queries
// are still asked.
var quiet = map[string]bool{"Dials refused": true, "Dropped by retention": true, "Refusals by the policy": true}

// busy gives a region something to show: a record, and one at the wrong region,
// which is refused.
func busy(ctx context.Context, t *testing.T, e *dev.Environment) {
	t.Helper()
	cp := control(t, e)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := cp.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: "busy", HomeRegion: "ie1", BillingCountry: "IE"})
	must(err)
	key, err := cp.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: "busy", Region: "ie1", Role: "admin"})
	must(err)
	region := &client.Region{BaseURL: e.RegionURL("ie1"), Key: key.Secret, HTTP: cp.HTTP}
	_, err = region.CreateCall(ctx, data.NewCall{NativeID: "1", From: "+35319100100", To: "+442079460001"})
	must(err)
	trust, err := client.HTTPOptions{CAFile: e.CAFile()}.TLS()
	must(err)
	stream, err := client.OpenStream(ctx, client.StreamOptions{Addresses: []string{e.IngestAddress("ie1")}, Key: key.Secret, TLS: trust})
	must(err)
	_, err = stream.Send(ctx, []byte(`{"native_id":"2","from":"+35319100100","to":"+442079460001"}`))
	must(err)
	must(stream.Close(ctx))
	_, _ = (&client.Region{BaseURL: e.RegionURL("us1"), Key: key.Secret, HTTP: cp.HTTP}).CreateCall(ctx, data.NewCall{NativeID: "1"})
}

// prometheus runs a real one over a running system. Without it the test is skipped
// by name, unless DOMICILE_NEED_PROMTOOL is set, as .ci/run does (one package has both).
func prometheus(t *testing.T, e *dev.Environment) string {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		if os.Getenv("DOMICILE_NEED_PROMTOOL") != "" {
			t.Fatal("prometheus is missing, and DOMICILE_NEED_PROMTOOL is set")
		}
		t.Skipf("SKIPPED, NOT TESTED: %s needs prometheus (Debian: apt-get install prometheus)", t.Name())
	}
	var targets []string
	for _, name := range append(e.Voters(), e.Regions()...) {
		targets = append(targets, "'"+strings.TrimPrefix(e.OpsURL(name), "http://")+"'")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: domicile\n  static_configs: [{targets: [" + strings.Join(targets, ",") + "]}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := loopback.Port()
	if err != nil {
		t.Fatal(err)
	}
	address := loopback.Address(port)
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=error")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return "http://" + address
}

// answer is what a query gives.
type answer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		Result []json.RawMessage `json:"result"`
	} `json:"data"`
}

func ask(base, query string) (answer, error) {
	var a answer
	got, err := http.Get(base + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return a, err
	}
	defer got.Body.Close()
	return a, json.NewDecoder(got.Body).Decode(&a)
}

// panel is what the test reads of one.
type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Targets     []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

func panels(t *testing.T, file string) []panel {
	t.Helper()
	raw, err := os.ReadFile(grafana + file)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []panel `json:"panels"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return d.Panels
}

// Every query of every panel is asked of a real Prometheus that watches a real
// system: it parses, and the panels that show something in peace do.
func TestDashboardsShowARunningSystem(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a system and a Prometheus")
	}
	e := start(t, t.TempDir())
	defer e.Close()
	base := prometheus(t, e)
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	busy(ctx, t, e)
	fill := strings.NewReplacer("$node", ".*", "$voter", ".*", "$__rate_interval", "20s")
	for _, file := range []string{"region.json", "control-plane.json"} {
		ids := map[int]bool{}
		for _, p := range panels(t, file) {
			if ids[p.ID] {
				t.Errorf("%s: panel id %d twice", file, p.ID)
			}
			ids[p.ID] = true
			if p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
				t.Errorf("%s: panel %q has no description or no query", file, p.Title)
			}
			for _, q := range p.Targets {
				if err := shows(ctx, base, fill.Replace(q.Expr), quiet[p.Title]); err != nil {
					t.Errorf("%s: panel %q: %v", file, p.Title, err)
				}
			}
		}
	}
	if err := shows(ctx, base, "sum(domicile_no_such_metric)", true); err != nil {
		t.Error(err)
	}
	if err := shows(ctx, base, "sum(domicile_control_leader", true); err == nil {
		t.Error("a query that does not parse was taken: the test shows nothing")
	}
}

// shows asks until there is a result. A query that does not parse is wrong at once.
func shows(ctx context.Context, base, query string, mayBeEmpty bool) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := ask(base, query)
		switch {
		case err == nil && a.Status != "success":
			return fmt.Errorf("%s: %s", query, a.Error)
		case err == nil && (mayBeEmpty || len(a.Data.Result) > 0):
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s shows nothing (%v)", query, err)
		case <-tick.C:
		}
	}
}
