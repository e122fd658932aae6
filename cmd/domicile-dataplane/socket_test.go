package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/dataplane"
)

// Whoever cannot ask a node is told why, and what to type.
func TestANodeThatCannotBeAsked(t *testing.T) {
	dir, err := os.MkdirTemp("", "asked") // short, for the socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ask := func(data, says string) {
		t.Helper()
		if _, err := onSocket(t.Context(), dataplane.Config{DataDir: data}, "GET", "/keys"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
	ask(dir, "start it")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, dataplane.AdminSocket), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as a node that was killed leaves it
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ask(dir, "start it")
	ask(filepath.Join(dir, strings.Repeat("long", 30)), "at most 89 bytes")
	if os.Getuid() == 0 {
		t.Skip("root may ask every node")
	}
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(dir, 0o700) }()
	ask(dir, "sudo -u domicile-dataplane")
}
