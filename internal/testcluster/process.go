package testcluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopLimit is how long a process may take to end by itself before it is killed.
const stopLimit = 20 * time.Second

// Process is one process of the system, running or not.
type Process struct {
	name, program, config, log, ready string

	env []string // besides the test's own

	cmd  *exec.Cmd
	file *os.File
	done chan error // receives the process's end once
}

// Log is the file that the process writes its output to, appended over restarts.
func (p *Process) Log() string { return p.log }

// Config is the file that the process is configured by.
func (p *Process) Config() string { return p.config }

// Install makes the next Start run another program, as an upgrade does.
func (p *Process) Install(program string) { p.program = program }

// Environ sets what the next Start adds to the environment: "NAME=value".
func (p *Process) Environ(env ...string) { p.env = env }

// PID of the running process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Start starts the process; WaitReady says when it serves.
func (p *Process) Start() error {
	if err := os.MkdirAll(filepath.Dir(p.log), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.name, err)
	}
	cmd := exec.Command(p.program, "--config", p.config)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.Env = append(os.Environ(), p.env...)
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", p.name, err), f.Close())
	}
	p.cmd, p.file, p.done = cmd, f, make(chan error, 1)
	done := p.done
	go func() { done <- cmd.Wait() }()
	return nil
}

// WaitReady waits until the process's readiness probe answers 200. It fails at
// once when the process ends.
func (p *Process) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if p.isReady(ctx) {
			return nil
		}
		select {
		case err := <-p.done:
			p.done <- err
			return fmt.Errorf("%s ended at its start: %v; its log %s ends:\n%s", p.name, err, p.log, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its log %s ends:\n%s", p.name, context.Cause(ctx), p.log, p.lastWords())
		case <-tick.C:
		}
	}
}

// lastWords are the ends of the log's last lines: the folder is often gone when a
// failure is read.
func (p *Process) lastWords() string {
	const lines, most = 6, 600
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	last := strings.Split(strings.TrimSpace(string(raw)), "\n")
	last = last[max(0, len(last)-lines):]
	for i, l := range last {
		last[i] = l[max(0, len(l)-most):]
	}
	return strings.Join(last, "\n")
}

func (p *Process) isReady(ctx context.Context) bool {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, p.ready, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Kill ends the process as a power failure would end it, page cache aside.
func (p *Process) Kill() error {
	if p.cmd == nil {
		return fmt.Errorf("%s does not run", p.name)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return p.ended()
}

// Signal sends a signal to the running process: SIGSTOP and SIGCONT pause it.
func (p *Process) Signal(s syscall.Signal) error {
	if p.cmd == nil {
		return fmt.Errorf("%s does not run", p.name)
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.name, err)
	}
	return nil
}

// Running reports whether the process was started and has not been ended by
// Kill, Stop or WaitEnd.
func (p *Process) Running() bool { return p.cmd != nil }

// WaitEnd waits until the process ends by itself, and gives how: nil is exit
// code 0. Its log says why.
func (p *Process) WaitEnd(ctx context.Context) (how error, err error) {
	if p.cmd == nil {
		return nil, fmt.Errorf("%s does not run", p.name)
	}
	select {
	case how := <-p.done:
		return how, p.ended()
	case <-ctx.Done():
		return nil, fmt.Errorf("%s goes on: %w; its log is %s", p.name, context.Cause(ctx), p.log)
	}
}

// dump makes a process that hangs write down what each of its goroutines does,
// which ends it.
func (p *Process) dump() error {
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("dump %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return p.ended()
	case <-time.After(stopLimit):
		return p.Kill()
	}
}

// Stop asks the process to end and waits; a process that does not is killed and
// reported. A process that does not run is no error.
func (p *Process) Stop() error {
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case err := <-p.done:
		if err != nil {
			err = fmt.Errorf("%s ended badly: %w; its log is %s", p.name, err, p.log)
		}
		return errors.Join(err, p.ended())
	case <-time.After(stopLimit):
		return errors.Join(fmt.Errorf("%s did not end within %s; its log %s ends with what its goroutines do", p.name, stopLimit, p.log), p.dump())
	}
}

func (p *Process) ended() error {
	p.cmd = nil
	return errors.Join(p.file.Close(), Races(p.log))
}
