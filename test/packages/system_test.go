package packages_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/domicile-io/domicile/internal/dev"
)

// system is a cluster's keys and configurations; its control plane is one voter.
type system struct{ env *dev.Environment }

func newSystem(t *testing.T) *system {
	t.Helper()
	env, err := dev.Prepare(dev.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	})
	return &system{env: env}
}

// given writes what a container gets beside its image into its root: configuration,
// certificates, a data folder. It gives the URL of its operators' port.
func (s *system) given(t *testing.T, root, part string) (ops string) {
	t.Helper()
	voter := s.env.VoterConfig("cp1")
	node, err := s.env.RegionConfig("ie1")
	if err != nil {
		t.Fatal(err)
	}
	in := func(path *string) {
		to := filepath.Join("/etc/domicile", filepath.Base(filepath.Dir(*path))+"-"+filepath.Base(*path))
		write(t, filepath.Join(root, to), read(t, *path)+"\n", 0o644)
		*path = to
	}
	var config any
	data := filepath.Join("/var/lib", "domicile-"+part)
	if part == "controlplane" {
		voter.Voters, voter.DataDir = voter.Voters[:1], data+"/state"
		for _, f := range []*string{&voter.TLS.Certificate, &voter.TLS.Key, &voter.TLS.CA, &voter.GatewayTLS.Certificate, &voter.GatewayTLS.Key, &voter.GatewayTLS.CA, &voter.BundleKey, &voter.BundleKeyCertificate} {
			in(f)
		}
		config, ops = voter, "http://"+voter.OpsAddress
	} else {
		node.DataDir = data + "/state"
		for _, f := range []*string{&node.TLS.Certificate, &node.TLS.Key, &node.TLS.CA} {
			in(f)
		}
		config, ops = node, "http://"+node.OpsAddress
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "etc/domicile/config.yaml"), string(text), 0o644)
	if err := os.MkdirAll(filepath.Join(root, data), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(root, data), 65532, 65532); err != nil {
		t.Fatal(err)
	}
	return ops
}

// container runs a program as an engine would. $1 root, $2 program, $3 its part.
const container = `set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount --bind "$1/var/lib/domicile-$3" "$1/var/lib/domicile-$3"
mount -o remount,bind,ro "$1"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$1/tmp"
! touch "$1/usr/planted" 2>/dev/null
exec setpriv --no-new-privs -- chroot --userspec=65532:65532 --groups= "$1" "$2" --config /etc/domicile/config.yaml`

// runs starts the program, waits for it to say that it is well, and stops it.
func (s *system) runs(t *testing.T, root, program, part string) {
	t.Helper()
	ops := s.given(t, root, part)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", container, "sh", root, program, part)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	said := func() string { b, _ := os.ReadFile(log.Name()); return tail(string(b), 20) }
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if healthy(ops + "/healthz") {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, said())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("it is not well after %v:\n%s", patience, said())
		}
	}
	pid := child(cmd.Process.Pid)
	status := read(t, filepath.Join("/proc", strconv.Itoa(pid), "status"))
	for _, want := range []string{"Uid:\t65532\t65532\t65532", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(status, want) {
			t.Errorf("the kernel does not say %q:\n%s", want, status)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it did not stop cleanly: %v\n%s", err, said())
		}
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		t.Errorf("it did not stop within %v:\n%s", patience, said())
	}
}

func healthy(url string) bool {
	c := http.Client{Timeout: 5 * time.Second}
	r, err := c.Get(url)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode == http.StatusOK && string(b) == "ok\n"
}
