package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	superuser = "domicile"
	patience  = 60 * time.Second // for a start or a stop on a busy machine
)

// Server is one PostgreSQL server. Its methods are for one goroutine.
type Server struct {
	dir string
	bin string
	as  *syscall.SysProcAttr

	process *exec.Cmd
	ended   chan struct{}

	mu        sync.Mutex
	databases int
}

// Start makes and starts a server that only this test has, and stops it when
// the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := start(need(t))
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := s.remove(); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return s
}

func start(bin string) (s *Server, err error) {
	// Not below a test's own folder: a socket's path may have 107 bytes.
	dir, err := os.MkdirTemp("", "domicile-pg-")
	if err != nil {
		return nil, err
	}
	s = &Server{dir: dir, bin: bin}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove())
		}
	}()
	if s.as, err = servant(dir); err != nil {
		return s, err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", s.DataDir(), "-U", superuser, "-A", "trust", "--no-locale", "-E", "UTF8", "--no-instructions")
	initdb.SysProcAttr, initdb.Dir = s.as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return s, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return s, s.Restart()
}

// DataDir is the server's data folder, with every byte that it keeps.
func (s *Server) DataDir() string { return filepath.Join(s.dir, "data") }

// Restart starts the server after Kill or Stop, and waits until it answers.
func (s *Server) Restart() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process = exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.DataDir(), "-k", s.dir, "-h", "",
		"-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "max_wal_size=1GB")
	s.process.SysProcAttr, s.process.Dir, s.process.Stdout, s.process.Stderr = s.as, s.dir, log, log
	started := make(chan error)
	ended := make(chan struct{})
	go func() {
		runtime.LockOSThread() // the signal at death is that of the thread which started the process
		err := s.process.Start()
		started <- err
		if err == nil {
			_ = s.process.Wait()
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.ended = ended
	return s.answers()
}

func (s *Server) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.exec(ctx, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("postgres ended: %s", log[max(0, len(log)-2000):])
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// exec runs one statement as the superuser, on a connection of its own.
func (s *Server) exec(ctx context.Context, statement string) error {
	c, err := pgx.Connect(ctx, s.dsn("postgres"))
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	_, err = c.Exec(ctx, statement)
	return err
}

// Run runs statements in a database of Database as the superuser: tests plant with it
// what they then look for in DataDir.
func (s *Server) Run(ctx context.Context, dsn string, statements ...string) error {
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	for _, statement := range statements {
		if _, err := c.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) dsn(database string) string {
	return fmt.Sprintf("host=%s user=%s dbname=%s", s.dir, superuser, database)
}

// Database makes a new, empty database and gives its DSN.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	s.mu.Lock()
	s.databases++
	name := fmt.Sprintf("test%d", s.databases)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	return s.dsn(name)
}

// Kill ends the server and all its processes at once, as a power cut would, but
// for what the kernel still holds: nothing is written any more, no connection
// is said goodbye to.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Stop ends the server in order: connections are cut, and everything is written.
func (s *Server) Stop() { s.signal(syscall.SIGINT) }

func (s *Server) signal(sig syscall.Signal) {
	if s.ended == nil {
		return
	}
	if sig == syscall.SIGKILL { // nobody is born after it was looked who is there
		_ = s.process.Process.Signal(syscall.SIGSTOP)
		for !strings.ContainsAny(state(s.process.Process.Pid), "TZX") {
			time.Sleep(time.Millisecond)
		}
	}
	children := s.children()
	_ = s.process.Process.Signal(sig)
	if sig == syscall.SIGKILL {
		for _, pid := range children {
			_ = syscall.Kill(pid, sig)
		}
	}
	<-s.ended
	s.ended = nil
	for _, pid := range children { // one that lives holds the memory that a new server wants
		for lives(pid) {
			time.Sleep(time.Millisecond)
		}
	}
}

// lives reports whether a process is there and no zombie. One that ends lets go of
// its program before its memory.
func lives(pid int) bool { return !strings.ContainsAny(state(pid), "ZX") }

// state is the letter that the kernel has for a process; X: there is none.
func state(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if _, after, ok := strings.Cut(string(raw), ") "); err == nil && ok && after != "" {
		return after[:1]
	}
	return "X"
}

// children are the pids of the server's own processes.
func (s *Server) children() (pids []int) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", s.process.Process.Pid))
	if err != nil {
		return nil
	}
	for field := range strings.FieldsSeq(string(raw)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s *Server) remove() error {
	s.Stop()
	return os.RemoveAll(s.dir)
}
