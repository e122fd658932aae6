// Package sip tests what a switch tells a region, with switches that nobody
// here wrote: Kamailio with the recipe of docs/operations/kamailio, and SIPp on
// both sides of it. A test without them is skipped by name, unless
// DOMICILE_NEED_SIP is set, as .ci/run does.
package sip

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/loopback"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// bin is where the binaries are, built once.
var bin string

func TestMain(m *testing.M) { os.Exit(testcluster.BuildAndRun(&bin, m.Run)) }

// need skips a test without a program, by name.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("DOMICILE_NEED_SIP") != "" {
			t.Fatalf("%s is missing, and DOMICILE_NEED_SIP is set", p)
		}
		t.Skipf("SKIPPED, NOT TESTED: %s is missing; install kamailio, kamailio-json-modules, kamailio-extra-modules, kamailio-utils-modules and sip-tester", p)
	}
}

// peer is a program that runs until the test ends, and what it printed.
type peer struct {
	log string
	cmd *exec.Cmd
}

// begin starts a program in a process group of its own.
func begin(t *testing.T, name string, args ...string) *peer {
	t.Helper()
	dir := t.TempDir()
	p := &peer{log: filepath.Join(dir, name+".log"), cmd: exec.Command(name, args...)}
	out, err := os.Create(p.log)
	check(t, err)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	check(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		_ = p.cmd.Wait()
		_ = out.Close()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, tail(p.said(t)))
		}
	})
	return p
}

func (p *peer) said(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(p.log)
	check(t, err)
	return text
}

func tail(text []byte) []byte {
	if most := 4000; len(text) > most {
		return text[len(text)-most:]
	}
	return text
}

// port is a free one of 127.0.0.1.
func port(t *testing.T) int {
	t.Helper()
	p, err := loopback.Port()
	check(t, err)
	return p
}

// callee starts SIPp as one that answers calls by a scenario, and says where.
func callee(t *testing.T, scenario string) int {
	t.Helper()
	p := port(t)
	begin(t, "sipp", "-sf", path(t, "testdata", scenario+".xml"), "-i", "127.0.0.1", "-p", fmt.Sprint(p), "-t", "u1", "-nostdin")
	return p
}

// call makes calls with SIPp by a scenario, one a line of numbers, and waits for their end.
func call(t *testing.T, proxy int, scenario string, pairs [][2]string) {
	t.Helper()
	dir := t.TempDir()
	var numbers bytes.Buffer
	numbers.WriteString("SEQUENTIAL\n")
	for _, p := range pairs {
		fmt.Fprintf(&numbers, "%s;%s\n", p[0], p[1])
	}
	file := filepath.Join(dir, "numbers.csv")
	check(t, os.WriteFile(file, numbers.Bytes(), 0o600))
	cmd := exec.Command("sipp", loopback.Address(proxy), "-sf", path(t, "testdata", scenario+".xml"), "-inf", file, "-m", fmt.Sprint(len(pairs)),
		"-r", "20", "-d", "1200", "-i", "127.0.0.1", "-p", fmt.Sprint(port(t)), "-t", "u1", "-nostdin", "-timeout", "40s", "-timeout_error", "-trace_err", "-error_file", filepath.Join(dir, "errors"))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		errors, _ := os.ReadFile(filepath.Join(dir, "errors"))
		t.Fatalf("sipp %s: %v\n%s\n%s", scenario, err, tail(out), tail(errors))
	}
}

func path(t *testing.T, parts ...string) string {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join(parts...))
	check(t, err)
	return abs
}

// fill writes a file of the given one with words replaced.
func fill(t *testing.T, from, to string, words ...string) {
	t.Helper()
	text, err := os.ReadFile(from)
	check(t, err)
	check(t, os.WriteFile(to, []byte(strings.NewReplacer(words...).Replace(string(text))), 0o600))
}

// until asks until done says so; a system that never gets there fails the test.
func until(t *testing.T, limit time.Duration, what string, done func() error) {
	t.Helper()
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-end.C:
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
