package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/pasted"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// terminal is where a page of docs/operations is pasted: a folder, the programs,
// and a service manager for processes of the system.
type terminal struct {
	t   *testing.T
	dir string
	env []string
}

// service is what a page calls by the name of its unit.
type service struct {
	process *testcluster.Process
	secret  string       // a credential, which goes when the service is stopped; "" none
	stopped func() error // what else is lost with it; nil nothing
}

// openTerminal lets `systemctl start` and `stop` of a page work on real processes
// of the system. Only the service manager is the test's own: it waits for the
// readiness that a unit would notify, and takes credentials away as systemd does.
func openTerminal(t *testing.T, services map[string]service) *terminal {
	t.Helper()
	x := &terminal{t: t, dir: t.TempDir()}
	programs := t.TempDir()
	check(t, exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(programs, "domicile"), "../../cmd/domicile").Run())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	manager := http.NewServeMux()
	manager.HandleFunc("/{verb}/{unit}", func(w http.ResponseWriter, r *http.Request) {
		s, ok := services[r.PathValue("unit")]
		err := fmt.Errorf("nothing is called %s here", r.PathValue("unit"))
		if ok {
			err = s.do(r.Context(), r.PathValue("verb"))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	server := &http.Server{Handler: manager, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // until the test ends
	t.Cleanup(func() { _ = server.Close() })
	check(t, os.WriteFile(filepath.Join(programs, "systemctl"), []byte("#!/bin/sh\nexec curl -sS --fail-with-body http://"+l.Addr().String()+"/$1/$2\n"), 0o700))
	x.env = []string{"HOME=" + t.TempDir(), "TERM=dumb", "PATH=" + programs + ":" + bin + ":" + os.Getenv("PATH")}
	return x
}

func (s service) do(ctx context.Context, verb string) error {
	const away = ".away"
	switch {
	case verb == "stop":
		if s.secret != "" {
			if err := os.Rename(s.secret, s.secret+away); err != nil {
				return err
			}
		}
		if s.stopped != nil {
			if err := s.stopped(); err != nil {
				return err
			}
		}
		return s.process.Stop()
	case verb == "start":
		if s.process.Running() { // a node that has moved ends by itself
			if how, err := s.process.WaitEnd(ctx); err != nil || how != nil {
				return fmt.Errorf("it runs, or has failed: %v, %w", how, err)
			}
		}
		if s.secret != "" {
			if err := os.Rename(s.secret+away, s.secret); err != nil {
				return err
			}
		}
		if err := s.process.Start(); err != nil {
			return err
		}
		return s.process.WaitReady(ctx)
	}
	return fmt.Errorf("no unit is told to %s here", verb)
}

// link shows a file of the system under a name that the page has.
func (x *terminal) link(from, name string) {
	x.t.Helper()
	check(x.t, os.Symlink(from, filepath.Join(x.dir, name)))
}

// follow pastes a page of docs/operations.
func (x *terminal) follow(page string, env ...string) {
	x.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations", page))
	check(x.t, err)
	said, err := pasted.Follow(x.t.Context(), text, pasted.Options{Dir: x.dir, Env: append(x.env, env...), Limit: 3 * time.Minute})
	if err != nil {
		x.t.Fatalf("%v\n\nBefore it:\n%s", err, said)
	}
}

// operator is the environment of somebody who asks one voter.
func operator(c *testcluster.Cluster, voter string) []string {
	return []string{"DOMICILE_CONTROL_URL=" + c.Env.VoterURL(voter), "DOMICILE_CA=" + c.Env.CAFile(), "DOMICILE_TOKEN=" + c.Env.Token()}
}

// docs/operations/lost-quorum.md, pasted, where two of three voters are gone.
// The survivor's secrets are away while it is stopped, as a package's unit has it.
func TestThePageOfTheLostQuorum(t *testing.T) {
	c := start(t, testcluster.Options{Regions: []string{"ie1"}})
	place(t, c, "clinic", "ie1", "IE", nil)
	d := desk{t: t, c: c, dir: t.TempDir()}
	x := openTerminal(t, map[string]service{"domicile-controlplane": {process: c.Process("cp3"), secret: c.Env.VoterConfig("cp3").BundleKey}})
	x.link(filepath.Join(c.Env.Dir(), "pki"), "pki")
	x.link(filepath.Join(c.Env.Dir(), "pki", "root.key"), "root.key")
	d.destroy("cp1")
	d.destroy("cp2")
	x.follow("lost-quorum.md", append(operator(c, "cp3"), "CONFIG="+c.Process("cp3").Config())...)
	d.dir = x.dir
	d.follows("ie1", "cp3", d.token(), 2)
}

// docs/operations/migrate-store.md, pasted, on a node that takes records in.
func TestThePageOfTheMoveToADatabase(t *testing.T) {
	var root string
	m := openRemoval(t, func() string { return postgres.Database(t) }, func(c *dataplane.Config) {
		root, c.Backup.Folder = c.Keys.RootFile, t.TempDir()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	x := openTerminal(t, map[string]service{"domicile-dataplane": {process: m.c.Process("ie1")}})
	config := filepath.Join(x.dir, "node.yaml")
	check(t, os.Rename(m.c.Process("ie1").Config(), config))
	check(t, os.Symlink(config, m.c.Process("ie1").Config()))
	for _, what := range []string{"records", "keys"} {
		x.link(filepath.Join(filepath.Dir(root), what), what+".dsn")
	}
	m.writers(ctx, 1)
	m.more(2)
	x.follow("migrate-store.md", append(operator(m.c, "cp1"), "CONFIG_DIR="+x.dir, "DATA="+m.data, "ROOT_FILE="+root)...)
	m.more(2)
	m.settled(ctx)
}

// docs/operations/backup.md, pasted: all voters' data is lost in its middle.
func TestThePageOfTheBackup(t *testing.T) {
	c := start(t, testcluster.Options{Regions: []string{"ie1"}})
	_, region := place(t, c, "clinic", "ie1", "IE", nil)
	first := c.Env.VoterConfig("cp1")
	x := openTerminal(t, map[string]service{"domicile-controlplane": {process: c.Process("cp1"), secret: first.BundleKey, stopped: func() error {
		return errors.Join(c.Process("cp2").Kill(), c.Process("cp3").Kill(), os.RemoveAll(c.Env.VoterConfig("cp2").DataDir), os.RemoveAll(c.Env.VoterConfig("cp3").DataDir))
	}}})
	check(t, os.WriteFile(filepath.Join(x.dir, "root.pub"), []byte(first.RootPublicKey+"\n"), 0o600))
	x.follow("backup.md", append(operator(c, "cp1"), "CONFIG="+c.Process("cp1").Config(), "DATA="+first.DataDir)...)
	d := desk{t: t, c: c, dir: x.dir}
	d.follows("ie1", "cp1", d.token(), 2)
	if err := works(t.Context(), region); err != nil {
		t.Errorf("the tenant's key: %v", err)
	}
}

// docs/operations/region-backup.md, pasted: a node's data folder is lost in its
// middle, with everything but the root key and the key table's copy.
func TestThePageOfTheRegionsBackup(t *testing.T) {
	v := openVault(t)
	_, err := v.region.CreateCall(t.Context(), data.NewCall{NativeID: "kept", From: "+353865550104", To: "+35315551234", Direction: "inbound", Status: "completed"})
	check(t, err)
	x := openTerminal(t, map[string]service{"domicile-dataplane": {process: v.c.Process("ie1"), stopped: func() error {
		return errors.Join(os.RemoveAll(filepath.Join(v.data, "keys")), os.RemoveAll(filepath.Join(v.data, "erasures")))
	}}})
	x.follow("region-backup.md", append(operator(v.c, "cp1"), "CONFIG="+v.c.Process("ie1").Config(), "DATA="+v.data,
		"DOMICILE_KEY="+v.region.Key, "DOMICILE_IE1_URL="+v.region.BaseURL)...)
	if stored := everything(t.Context(), t, v.region); stored["kept"] != 1 {
		t.Errorf("after the restore: %v", stored)
	}
}
