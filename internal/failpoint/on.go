//go:build failpoints && linux

package failpoint

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The request of ext4 that stops a filesystem at once, and its flag that leaves
// what the kernel has not yet written where it is: in memory.
const (
	ioctlShutdown = 0x8004587d // FS_IOC_SHUTDOWN
	noLogFlush    = 2
)

var (
	armed, nth = parse(os.Getenv("DOMICILE_FAILPOINT"))
	came       atomic.Int64
)

func parse(text string) (name string, n int64) {
	name, count, _ := strings.Cut(text, "#")
	if n, err := strconv.ParseInt(count, 10, 64); err == nil {
		return name, n
	}
	return name, 1
}

// At marks a moment.
func At(name string) {
	if name == armed && came.Add(1) == nth {
		end()
	}
}

// end does not come back.
func end() {
	err := os.WriteFile(os.Getenv("DOMICILE_FAILPOINT_WITNESS"), []byte(armed), 0o600)
	if os.Getenv("DOMICILE_FAILPOINT_DO") == "cut" {
		err = errors.Join(err, cutPower(os.Getenv("DOMICILE_FAILPOINT_VOLUME")))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "failpoint", armed, "could not do what it is for:", err)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func cutPower(volume string) error {
	d, err := os.Open(volume)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlSetPointerInt(int(d.Fd()), ioctlShutdown, noLogFlush), d.Close())
}

// Slept is added to the clocks by which a node judges how old its policy and keys are.
func Slept() time.Duration {
	path := os.Getenv("DOMICILE_FAILPOINT_SLEPT")
	if path == "" {
		return 0
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	d, _ := time.ParseDuration(strings.TrimSpace(string(raw)))
	return d
}
