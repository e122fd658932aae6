package controlplane_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/domicile-io/domicile/internal/mtls"
)

// The Raft port from another network: a namespace with one cable to ours. What
// it may reach is what listens on its own cable, and nobody there gets further
// than the handshake without a voter's certificate.
func TestINV06_RaftPortFromAnotherNetwork(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: TestINV06_RaftPortFromAnotherNetwork needs root, to make a network namespace")
	}
	n := newNetwork(t)
	c := prepare(t, 1)
	port := c.configs[0].RaftAddress[strings.LastIndexByte(c.configs[0].RaftAddress, ':'):]
	c.configs[0].RaftAddress = n.host + port
	c.configs[0].Voters[0].RaftAddress = n.host + port
	c.startAll()
	x := &target{cluster: c, logged: &logged{}}
	x.before = x.state()
	good := c.forge(c.good())
	if err := greet(n.dial(n.host+port), c.shown(&good)); err != nil {
		t.Fatalf("the control: a voter's certificate is refused from the other network: %v", err)
	}
	own := c.good().uris[0]
	for _, role := range []mtls.Role{mtls.Gateway, mtls.DataPlane} {
		f := c.good()
		f.uris = []string{strings.Replace(own, "/region/control/role/cp/", "/region/ie1/role/"+string(role)+"/", 1)}
		cert := c.forge(f)
		if err := greet(n.dial(n.host+port), c.shown(&cert)); err == nil {
			t.Errorf("from the other network the Raft port takes a certificate of role %s", role)
		}
	}
	if err := greet(n.dial(n.host+port), c.shown(nil)); err == nil {
		t.Error("from the other network the Raft port takes who shows nothing")
	}
	// What is bound to the loopback is not on the cable.
	for name, address := range map[string]string{"REST": c.configs[0].RESTAddress, "gRPC": c.configs[0].GRPCAddress, "operations": c.configs[0].OpsAddress} {
		conn, err := n.dial(n.host + address[strings.LastIndexByte(address, ':'):])()
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s, bound to %s, answers on the other network", name, address)
		}
	}
	x.unharmed(t, "knocking from another network")
}

// network is a namespace of its own with a cable to the host.
type network struct{ name, host string }

func newNetwork(t *testing.T) network {
	t.Helper()
	id := os.Getpid() % 250
	n := network{name: fmt.Sprintf("dom-api-%d", os.Getpid()), host: fmt.Sprintf("10.231.%d.1", id)}
	here, there := fmt.Sprintf("da%dh", os.Getpid()%100000), fmt.Sprintf("da%dn", os.Getpid()%100000)
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: TestINV06_RaftPortFromAnotherNetwork: ip %s: %v %s", strings.Join(args, " "), err, out)
		}
	}
	t.Cleanup(func() { // the cable goes with its end
		_ = exec.Command("ip", "link", "del", here).Run()
		_ = exec.Command("ip", "netns", "del", n.name).Run()
	})
	run("netns", "add", n.name)
	run("link", "add", here, "type", "veth", "peer", "name", there)
	run("link", "set", there, "netns", n.name)
	run("addr", "add", n.host+"/24", "dev", here)
	run("link", "set", here, "up")
	run("-n", n.name, "addr", "add", fmt.Sprintf("10.231.%d.2/24", id), "dev", there)
	run("-n", n.name, "link", "set", there, "up")
	return n
}

// dial connects from inside the namespace: the socket is made there and stays there.
func (n network) dial(address string) func() (net.Conn, error) {
	return func() (conn net.Conn, err error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // never given back: the thread ends with the goroutine
			var f *os.File
			if f, err = os.Open(filepath.Join("/run/netns", n.name)); err != nil {
				return
			}
			defer f.Close()
			if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
				return
			}
			conn, err = net.DialTimeout("tcp", address, 5*time.Second)
		}()
		<-done
		return conn, err
	}
}
