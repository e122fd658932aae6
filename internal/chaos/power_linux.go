package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// The request of ext4 that stops a filesystem at once, and its flag that leaves
// what the kernel has not yet written where it is: in memory.
const (
	ioctlShutdown = 0x8004587d // FS_IOC_SHUTDOWN
	noLogFlush    = 2
)

// CutPower stops the volume as a machine does that loses its power: nothing
// more reaches the disk, and whoever writes gets an error.
func (v *Volume) CutPower() error {
	d, err := os.Open(v.Dir)
	if err != nil {
		return fmt.Errorf("cut the power of %s: %w", v.Dir, err)
	}
	err = unix.IoctlSetPointerInt(int(d.Fd()), ioctlShutdown, noLogFlush)
	if err := errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("cut the power of %s: %w", v.Dir, err)
	}
	return nil
}

// Restart mounts the volume again after CutPower; everybody must have closed
// its files. What was in memory only is gone.
func (v *Volume) Restart() error {
	if err := v.Close(); err != nil {
		return err
	}
	if out, err := exec.Command("mount", "-o", "loop", v.image, v.Dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mount %s again: %w: %s", v.Dir, err, out)
	}
	return nil
}
