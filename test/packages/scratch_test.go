package packages_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait: the machine may be busy.
const patience = 3 * time.Minute

// scratch is a root whose writes are thrown away, over this machine's files, in
// namespaces of its own, in which systemd is process 1.
type scratch struct {
	t    *testing.T
	root string // as seen from outside, for files put in before the boot
	init int    // systemd's process id outside
}

// boot starts systemd. What prepare writes below the root is there before.
func boot(t *testing.T, prepare func(root string)) *scratch {
	t.Helper()
	for _, name := range []string{"unshare", "nsenter", "systemctl", "mount"} {
		needProgram(t, name)
	}
	need(t, "root", os.Geteuid() == 0)
	dir := t.TempDir()
	s := &scratch{t: t, root: filepath.Join(dir, "root")}
	script := filepath.Join(dir, "boot.sh")
	write(t, script, bootScript, 0o700)
	log, err := os.Create(filepath.Join(dir, "console"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if prepare != nil {
		prepare(filepath.Join(dir, "put"))
	}
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "--kill-child", "sh", script, dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // --kill-child takes process 1 along, and that all others
		_ = cmd.Wait()
		if t.Failed() {
			console, _ := os.ReadFile(log.Name())
			t.Logf("console:\n%s", tail(string(console), 60))
		}
	})
	s.await("systemd as process 1", func() bool {
		s.init = child(cmd.Process.Pid)
		if s.init == 0 {
			return false
		}
		out, _ := s.try("systemctl", "is-system-running")
		return strings.Contains(out, "running") || strings.Contains(out, "degraded")
	})
	return s
}

// bootScript makes the root: an overlay whose upper layer is in memory. Its argument
// is the test's folder. Of this machine only files are seen, and none written.
const bootScript = `set -e
dir=$1
mount --make-rprivate /
mkdir "$dir/mem" "$dir/root"
mount -t tmpfs tmpfs "$dir/mem"
mkdir "$dir/mem/upper" "$dir/mem/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/mem/upper,workdir=$dir/mem/work" "$dir/root"
root=$dir/root
[ ! -d "$dir/put" ] || cp -a "$dir/put/." "$root/"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
for n in null zero full random urandom tty; do touch "$root/dev/$n"; mount --bind "/dev/$n" "$root/dev/$n"; done
mkdir "$root/dev/pts" "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
# Nothing of this machine's own services, and a name that says so.
rm -rf "$root"/etc/systemd/system/*.wants
printf '%s\n' 0123456789abcdef0123456789abcdef > "$root/etc/machine-id"
hostname scratch
ip link set lo up 2>/dev/null || :
# Not chroot: systemd makes mount namespaces for its units, from the real root.
cd "$root"
mkdir -p mnt/old
pivot_root . mnt/old
umount -l /mnt/old
mount --make-rshared / # as a container manager leaves it: units get their credentials by a mount
exec env -i container=scratch PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=basic.target --log-target=console --show-status=no
`

// child is the only child of a process, 0 while there is none.
func child(pid int) int {
	p := strconv.Itoa(pid)
	b, err := os.ReadFile("/proc/" + p + "/task/" + p + "/children")
	if err != nil {
		return 0
	}
	id, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return id
}

// try runs a command inside.
func (s *scratch) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	enter := []string{"--target", strconv.Itoa(s.init), "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	return string(out), errors.Join(err, ctx.Err())
}

func (s *scratch) run(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("in the scratch root: %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (s *scratch) sh(script string) string {
	s.t.Helper()
	return s.run("sh", "-ec", script)
}

func (s *scratch) await(what string, met func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !met(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s did not come about within %v", what, patience)
		}
	}
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
