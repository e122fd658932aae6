package modules_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/loopback"
)

func port(t *testing.T) string {
	t.Helper()
	p, err := loopback.Port()
	if err != nil {
		t.Fatal(err)
	}
	return loopback.Address(p)
}

const localRegion = `terraform {
  required_providers {
    domicile = {
      source = "domicile-io/domicile"
    }
  }
}

provider "domicile" {}

module "fr1" {
  source              = "../modules/region-local"
  region              = "fr1"
  boundary            = "eu"
  country             = "FR"
  place               = "laptop"
  folder              = %q
  pki_dir             = %q
  control_plane       = [%s]
  root_public_key     = %q
  hosts               = ["127.0.0.1"]
  listen_address      = %q
  base_url            = %q
  deletion_protection = false
  domicile            = %q
  settings            = { scrub_interval = "24h", disk_reserve = -1 }
}

resource "domicile_tenant" "boulangerie" {
  slug            = "boulangerie"
  home_region     = module.fr1.region
  billing_country = "FR"
}

resource "domicile_api_key" "ingest" {
  tenant   = domicile_tenant.boulangerie.id
  region   = module.fr1.region
  role     = "admin"
  key_file = "boulangerie.key"
}
`

// The module is applied by Terraform against a real control plane, the node's own
// program starts from what it wrote, and a tenant's call is stored there.
func TestRegionLocalRuns(t *testing.T) {
	s := open(t)
	bin := filepath.Join(s.dir, "bin")
	if out, err := exec.Command("go", "build", "-o", bin+"/", "github.com/domicile-io/domicile/cmd/domicile", "github.com/domicile-io/domicile/cmd/domicile-dataplane").CombinedOutput(); err != nil {
		t.Fatalf("build the programs: %v\n%s", err, out)
	}
	env, err := dev.Start(context.Background(), dev.Options{Dir: filepath.Join(s.dir, "dev")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	})
	folder, pki, address := filepath.Join(s.dir, "fr1"), filepath.Dir(env.CAFile()), port(t)
	var voters []string // all, since a node subscribes at the one that leads
	for _, v := range env.Voters() {
		voters = append(voters, strconv.Quote(env.VoterConfig(v).GRPCAddress))
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "live"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "live", "main.tf"), fmt.Sprintf(localRegion, folder, pki, strings.Join(voters, ", "), env.VoterConfig("cp1").RootPublicKey, address, "https://"+address, filepath.Join(bin, "domicile")))
	s.env = []string{"DOMICILE_CONTROL_URL=" + env.ControlURL(), "DOMICILE_CA=" + env.CAFile(), "DOMICILE_TOKEN=" + env.Token()}
	s.must("live", "init", "-input=false", "-no-color")
	s.must("live", "apply", "-auto-approve", "-input=false", "-no-color")
	if out, code := s.run("live", "plan", "-detailed-exitcode", "-input=false", "-no-color"); code != 0 {
		t.Fatalf("the second plan is not empty (%d):\n%s", code, out)
	}
	state := read(t, filepath.Join(s.dir, "live", "terraform.tfstate"))
	if strings.Contains(state, "PRIVATE KEY") {
		t.Error("INV40: the state holds a private key")
	}

	node := startNode(t, filepath.Join(bin, "domicile-dataplane"), filepath.Join(folder, "node.yaml"))
	hc, err := client.NewHTTP(client.HTTPOptions{CAFile: env.CAFile()})
	if err != nil {
		t.Fatal(err)
	}
	region := &client.Region{BaseURL: "https://" + address, Key: strings.TrimSpace(read(t, filepath.Join(s.dir, "live", "boulangerie.key"))), HTTP: hc}
	node.until(t, "a call is stored", func() error {
		got, err := region.Batch(context.Background(), client.Upload{Body: strings.NewReader(`{"native_id": "call-1", "status": "completed"}` + "\n")})
		if err == nil && got.Accepted+got.Duplicates != 1 {
			return fmt.Errorf("%+v", got)
		}
		return err
	})
	var page data.Calls
	node.until(t, "it is read back", func() (err error) {
		page, err = region.Calls(context.Background(), client.Filter{})
		if err == nil && len(page.Calls) != 1 {
			err = fmt.Errorf("%d calls", len(page.Calls))
		}
		return err
	})
	node.stop(t)

	s.must("live", "state", "rm", "domicile_tenant.boulangerie", "domicile_api_key.ingest")
	if _, err := os.Stat(filepath.Join(folder, "data")); err != nil {
		t.Errorf("the data are gone: %v", err)
	}
	out, code := s.run("live", "destroy", "-auto-approve", "-input=false", "-no-color", "-target=module.fr1")
	if code == 0 || !strings.Contains(out, "at home there") {
		t.Errorf("a region with a tenant was retired (%d):\n%s", code, out)
	}
}

// process is a node that runs.
type process struct {
	cmd  *exec.Cmd
	said *bytes.Buffer
	done chan error
}

func startNode(t *testing.T, program, config string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, "--config", config), said: &bytes.Buffer{}, done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// until asks until nothing is wrong; a node that ends, or never gets there, fails
// the test.
func (p *process) until(t *testing.T, what string, ask func() error) {
	t.Helper()
	limit := time.After(4 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case end := <-p.done:
			t.Fatalf("%s: the node ended: %v\n%s", what, end, p.said.String())
		case <-limit:
			_ = p.cmd.Process.Kill() // so that nothing is written to what it said any more
			<-p.done
			t.Fatalf("%s: %v\n%s", what, err, p.said.String())
		case <-tick.C:
		}
	}
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.done:
		if err != nil {
			t.Errorf("the node ended with %v\n%s", err, p.said.String())
		}
	case <-time.After(time.Minute):
		t.Fatal("the node did not end")
	}
}
