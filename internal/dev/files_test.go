package dev

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var some = []listener{{"cp1-rest", "REST of voter cp1"}, {"ie1", "tenants of region ie1"}}

func TestPortsOfTheFirstStartAreKept(t *testing.T) {
	dir := t.TempDir()
	first, err := openPorts(dir, some)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openPorts(dir, append(some, listener{"us1", "tenants of region us1"}))
	if err != nil {
		t.Fatal(err)
	}
	for key, port := range first {
		if again[key] != port {
			t.Errorf("%s had port %d, has %d", key, port, again[key])
		}
	}
	if third, err := openPorts(dir, some); err != nil || third["us1"] != again["us1"] || again["us1"] == 0 {
		t.Errorf("a listener that came later was not kept: %v, %v", third, err)
	}
}

func TestATakenPortIsNamedWithItsListener(t *testing.T) {
	dir := t.TempDir()
	p, err := openPorts(dir, some)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", p.address("ie1"))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = openPorts(dir, some)
	for _, want := range []string{"tenants of region ie1", fmt.Sprint(p["ie1"]), "ports.json", `"ie1"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error must say %q, got %v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "REST of voter cp1") {
		t.Errorf("a free listener is blamed: %v", err)
	}
}

func TestADamagedPortsFileIsNotReplaced(t *testing.T) {
	for name, content := range map[string]string{
		"not JSON": "{", "twice": `{"ie1":20001,"us1":20001}`, "no port": `{"ie1":70000}`, "text": `{"ie1":"x"}`,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, portsFile)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openPorts(dir, some); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: want an error that names the file, got %v", name, err)
		}
		if now, _ := os.ReadFile(path); string(now) != content {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestASecondProcessIsToldWhoRuns(t *testing.T) {
	dir := t.TempDir()
	held, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockDir(dir)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d ", os.Getpid())) {
		t.Fatalf("want ErrLocked with our process id, got %v", err)
	}
	if err := held.release(); err != nil {
		t.Fatal(err)
	}
	again, err := lockDir(dir)
	if err != nil {
		t.Fatalf("a released folder stays locked: %v", err)
	}
	if err := again.release(); err != nil {
		t.Fatal(err)
	}
}

func TestTheEnvFileIsPrivateAndAShellReadsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	hostile := `/tmp/it's "here" $(rm -rf x) & more`
	if err := writeEnvFile(path, [][2]string{{"PLAIN", "https://127.0.0.1:1"}, {"HOSTILE", hostile}}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, want 0600 (%v)", info.Mode(), err)
	}
	out, err := exec.Command("sh", "-c", `. "$1"; printf '%s|%s' "$PLAIN" "$HOSTILE"`, "sh", path).Output()
	if err != nil || string(out) != "https://127.0.0.1:1|"+hostile {
		t.Errorf("the shell read %q, %v", out, err)
	}
}

func TestAFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "env")
	if err := writeAtomically(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeAtomically(filepath.Join(dir, "folder"), []byte("second")); err == nil {
		t.Error("a folder was replaced by a file")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("a failed write left something behind: %v, %v", entries, err)
	}
}
