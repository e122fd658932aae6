package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// StateOf is the state letter of a process's main thread as Linux shows it:
// 'R' running, 'S' sleeping, 'T' stopped. An error when there is no such process.
func StateOf(pid int) (byte, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, fmt.Errorf("read a process's state: %w", err)
	}
	// The name in parentheses may hold anything, spaces and parentheses included.
	at := bytes.LastIndexByte(raw, ')')
	if at < 0 || at+2 >= len(raw) {
		return 0, fmt.Errorf("process %d has a state that cannot be read", pid)
	}
	return raw[at+2], nil
}

// Injection is what strace does to system calls, in its own language: what
// stands behind -e inject=CALLS: ("delay_enter=100000" in µs, "error=EIO").
type Injection string

// Syscalls is strace at work on a running process.
type Syscalls struct {
	cmd *exec.Cmd
	by  syscall.Signal // ends it
	out string
	end chan error
}

// HasStrace reports whether Inject can work here.
func HasStrace() bool {
	_, err := exec.LookPath("strace")
	return err == nil
}

// attachLimit bounds the wait for strace to take hold of a process.
const attachLimit = 5 * time.Second

// Inject attaches to a process and meets its fsync and fdatasync calls, until
// End. The record goes to the file out.
func Inject(ctx context.Context, pid int, what Injection, out string) (*Syscalls, error) {
	return inject(ctx, pid, out, "fsync,fdatasync", what)
}

// forever is longer than any test, in µs: strace takes no more than 32 bits.
const forever = "delay_enter=2000000000"

// Hang attaches to a process and lets no write to these files, and no sync of
// them, come back until End: a disk that has stopped answering. As there, a process
// that exits meanwhile stays a zombie, with its sockets, until End.
func Hang(ctx context.Context, pid int, out string, paths ...string) (*Syscalls, error) {
	var only []string
	for _, p := range paths {
		only = append(only, "-P", p)
	}
	s, err := inject(ctx, pid, out, "pwrite64,write,fsync,fdatasync", forever, only...)
	if err == nil {
		s.by = syscall.SIGKILL // it waits for what it delays, otherwise
	}
	return s, err
}

func inject(ctx context.Context, pid int, out, calls string, what Injection, more ...string) (*Syscalls, error) {
	cmd := exec.Command("strace", append([]string{"-f", "-q", "-p", strconv.Itoa(pid), "-o", out,
		"-e", "trace=" + calls, "-e", "inject=" + calls + ":" + string(what)}, more...)...)
	var says bytes.Buffer
	cmd.Stderr = &says
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start strace: %w", err)
	}
	s := &Syscalls{cmd: cmd, by: syscall.SIGTERM, out: out, end: make(chan error, 1)}
	go func() { s.end <- cmd.Wait(); close(s.end) }()
	ctx, cancel := context.WithTimeout(ctx, attachLimit)
	defer cancel()
	for {
		if traced(pid) {
			return s, nil
		}
		select {
		case err := <-s.end:
			return nil, fmt.Errorf("strace did not take hold of process %d: %v: %s", pid, err, says.String())
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("strace did not take hold of process %d in time", pid), s.End())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// traced reports whether somebody traces a process.
func traced(pid int) bool {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return false
	}
	_, after, ok := bytes.Cut(raw, []byte("TracerPid:\t"))
	return ok && len(after) > 0 && after[0] != '0'
}

// Count is how many calls were met so far.
func (s *Syscalls) Count() (int, error) {
	raw, err := os.ReadFile(s.out)
	if err != nil {
		return 0, fmt.Errorf("read strace's record: %w", err)
	}
	return bytes.Count(raw, []byte("(INJECTED)")) + bytes.Count(raw, []byte("(DELAYED)")), nil
}

// End lets go of the process. One that has ended meanwhile is no error, and neither
// is a second End.
func (s *Syscalls) End() error {
	if err := s.cmd.Process.Signal(s.by); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end strace: %w", err)
	}
	<-s.end // its exit code is that of the signal or of the process
	return nil
}
