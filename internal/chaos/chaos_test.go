package chaos

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// echo answers everything with itself.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func mesh(t *testing.T) *Mesh {
	t.Helper()
	target := echo(t)
	m, err := NewMesh([]string{"a", "b", "c"}, []Service{"x"}, 1, func(string, Service) string { return target })
	check(t, err)
	t.Cleanup(func() { check(t, m.Close()) })
	return m
}

func dial(t *testing.T, m *Mesh, from, to string) net.Conn {
	t.Helper()
	address, err := m.Address(from, to, "x")
	check(t, err)
	c, err := net.Dial("tcp", address)
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// says reports whether the echo of what is said comes within a time.
func says(t *testing.T, c net.Conn, text string, within time.Duration) bool {
	t.Helper()
	_, err := c.Write([]byte(text))
	check(t, err)
	return hears(t, c, text, within)
}

func hears(t *testing.T, c net.Conn, text string, within time.Duration) bool {
	t.Helper()
	check(t, c.SetReadDeadline(time.Now().Add(within)))
	got := make([]byte, len(text))
	_, err := io.ReadFull(c, got)
	return err == nil && string(got) == text
}

const (
	soon  = 5 * time.Second
	never = 150 * time.Millisecond
)

func TestASplitHoldsAndHealingDelivers(t *testing.T) {
	m := mesh(t)
	ab, ac := dial(t, m, "a", "b"), dial(t, m, "a", "c")
	if !says(t, ab, "one", soon) || !says(t, ac, "one", soon) {
		t.Fatal("an open mesh does not pass")
	}
	m.Impose(Split([]string{"a", "c"}, []string{"b"}))
	if says(t, ab, "two", never) {
		t.Error("a split passed what it should hold")
	}
	if !says(t, ac, "two", soon) {
		t.Error("a split held what is within a group")
	}
	late := dial(t, m, "b", "c")
	if says(t, late, "three", never) {
		t.Error("a connection was made across a split")
	}
	counts := m.Counts()
	if counts.Held == 0 || counts.Connections == 0 {
		t.Errorf("no witness: %+v", counts)
	}
	m.Heal()
	if !hears(t, ab, "two", soon) || !hears(t, late, "three", soon) {
		t.Error("what was held did not go on")
	}
}

func TestOneWay(t *testing.T) {
	m := mesh(t)
	ab, ba := dial(t, m, "a", "b"), dial(t, m, "b", "a")
	if !says(t, ab, "one", soon) || !says(t, ba, "one", soon) {
		t.Fatal("an open mesh does not pass")
	}
	m.Impose(Mute("a"))
	// Both stop here, because an echo needs both ways; but other ways hold the bytes.
	if says(t, ab, "two", never) || says(t, ba, "two", never) {
		t.Error("a muted member was heard")
	}
	k := m.links[edge{"a", "b", "x"}]
	if k.out.counts().Held == 0 || k.back.counts().Held != 0 {
		t.Errorf("a to b: %+v, back %+v", k.out.counts(), k.back.counts())
	}
	k = m.links[edge{"b", "a", "x"}]
	if k.out.counts().Held != 0 || k.back.counts().Held == 0 {
		t.Errorf("b to a: %+v, back %+v", k.out.counts(), k.back.counts())
	}
}

func TestDelayAndRateKeepOrder(t *testing.T) {
	m := mesh(t)
	c := dial(t, m, "a", "b")
	m.Impose(Everywhere(Rule{Delay: 20 * time.Millisecond, Jitter: 30 * time.Millisecond}))
	begin := time.Now()
	text := string(bytes.Repeat([]byte("0123456789"), 5000))
	if !says(t, c, text, soon) {
		t.Fatal("late bytes came not at all, or out of order")
	}
	if took := time.Since(begin); took < 40*time.Millisecond {
		t.Errorf("a round trip took %v", took)
	}
	m.Impose(Everywhere(Rule{Rate: 200_000}))
	begin = time.Now()
	if !says(t, c, text, soon) || time.Since(begin) < 200*time.Millisecond {
		t.Errorf("50 kB at 200 kB/s took %v", time.Since(begin))
	}
	if counts := m.Counts(); counts.Delayed == 0 || counts.Throttled == 0 {
		t.Errorf("no witness: %+v", counts)
	}
}

func TestResetEndsConnections(t *testing.T) {
	m := mesh(t)
	c := dial(t, m, "a", "b")
	if !says(t, c, "one", soon) {
		t.Fatal("an open mesh does not pass")
	}
	m.Reset()
	check(t, c.SetReadDeadline(time.Now().Add(soon)))
	if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("after a reset: %v", err)
	}
	if m.Counts().Resets != 1 {
		t.Errorf("%+v", m.Counts())
	}
}

func TestARingOfFive(t *testing.T) {
	s := Ring([]string{"a", "b", "c", "d", "e"})
	for pair, blocked := range map[string]bool{"ab": false, "ba": false, "ea": false, "ac": true, "ca": true, "bd": true} {
		if s(pair[:1], pair[1:]).Blocked != blocked {
			t.Errorf("%s: blocked is %v", pair, !blocked)
		}
	}
}

func TestStateOf(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	check(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	check(t, cmd.Process.Signal(syscall.SIGSTOP))
	for end := time.Now().Add(soon); ; {
		if s, err := StateOf(cmd.Process.Pid); err == nil && s == 'T' {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a stopped process does not show as stopped")
		}
	}
}

func TestFlipAndTruncateChangeTheFile(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 1))
	path := filepath.Join(t.TempDir(), "f")
	good := bytes.Repeat([]byte("x"), 1000)
	check(t, os.WriteFile(path, good, 0o600))
	at, err := Flip(path, 1, 0, draw)
	check(t, err)
	bad, err := os.ReadFile(path)
	check(t, err)
	for i := range good {
		if (good[i] != bad[i]) != (int64(i) == at[0]) {
			t.Errorf("byte %d: %q", i, bad[i])
		}
	}
	cut, err := Truncate(path, draw)
	check(t, err)
	if info, err := os.Stat(path); err != nil || info.Size() != cut || cut >= 1000 {
		t.Errorf("cut to %d: %v %v", cut, info, err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
