package chaos

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// tellTime makes this test binary a program that answers each line with the time.
const tellTime = "CHAOS_TEST_TELL_TIME"

func TestMain(m *testing.M) {
	if os.Getenv(tellTime) == "" {
		os.Exit(m.Run())
	}
	begin := time.Now()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		now := time.Now()
		fmt.Println(now.UnixNano(), now.Sub(begin).Nanoseconds())
	}
}

// A process whose clock is set sees another time of day and no jump of what has passed.
func TestAClockJumpsInOneProcessOnly(t *testing.T) {
	if !HasClock() {
		t.Skip("SKIPPED: setting the clock of another process needs root, Linux and amd64")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), tellTime+"=1")
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	answers := bufio.NewReader(out)
	ask := func() (off time.Duration, passed time.Duration) {
		t.Helper()
		_, err := fmt.Fprintln(in)
		check(t, err)
		line, err := answers.ReadString('\n')
		check(t, err)
		var wall, since int64
		_, err = fmt.Sscan(strings.TrimSpace(line), &wall, &since)
		check(t, err)
		return time.Until(time.Unix(0, wall)), time.Duration(since)
	}
	const near = 30 * time.Second
	_, first := ask()
	for _, jump := range []time.Duration{3 * time.Hour, -2 * time.Hour} {
		c, err := JumpClock(cmd.Process.Pid, jump)
		check(t, err)
		if off, passed := ask(); (off-jump).Abs() > near || passed < first || passed > first+near {
			t.Errorf("a jump by %v: the process is off by %v, and %v have passed for it", jump, off, passed)
		}
		check(t, c.End())
		if off, _ := ask(); off.Abs() > near {
			t.Errorf("after a jump by %v: the process is off by %v", jump, off)
		}
	}
	check(t, in.Close())
	check(t, cmd.Wait())
}
