package chaos

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// HasClock reports whether JumpClock can work here.
func HasClock() bool { return os.Geteuid() == 0 }

// Clock is the changed wall clock of one running process.
type Clock struct {
	pid      int
	at       uint64 // address of the process's clock_gettime
	size     uint64 // of that function
	original []byte // what stood there
}

// A Go program asks the vDSO for the time: code that the kernel maps into every
// process, each with a copy of its own as soon as a debugger writes to it. So the
// process's clock_gettime is replaced by one that asks the kernel and adds a
// number of seconds to what it says of CLOCK_REALTIME. CLOCK_MONOTONIC stays what
// it is, as when a machine's clock is set.
//
//	mov eax, 228 (clock_gettime); syscall
//	test edi, edi; jne end
//	mov rdx, [rip+seconds]; add [rsi], rdx
//	end: ret
var skewed = []byte{0xb8, 0xe4, 0, 0, 0, 0x0f, 0x05, 0x85, 0xff, 0x75, 0x0a, 0x48, 0x8b, 0x15, 0x04, 0, 0, 0, 0x48, 0x01, 0x16, 0xc3}

// JumpClock sets the wall clock of a running process ahead, or back, by whole
// seconds, until End. It needs root.
func JumpClock(pid int, by time.Duration) (*Clock, error) {
	c := &Clock{pid: pid}
	if err := c.find(); err != nil {
		return nil, fmt.Errorf("find the clock of process %d: %w", pid, err)
	}
	code := bytes.Clone(skewed)
	code = binary.LittleEndian.AppendUint64(code, uint64(int64(by/time.Second)))
	if uint64(len(code)) > c.size {
		return nil, fmt.Errorf("the kernel's clock_gettime has %d bytes and the other one %d", c.size, len(code))
	}
	c.original = make([]byte, len(code))
	if err := c.swap(code, true); err != nil {
		return nil, fmt.Errorf("set the clock of process %d: %w", pid, err)
	}
	return c, nil
}

// End gives the process its clock back. One that has ended meanwhile is no error.
func (c *Clock) End() error {
	err := c.swap(c.original, false)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// find reads the process's vDSO.
func (c *Clock) find() error {
	begin, end, err := vdsoOf(c.pid)
	if err != nil {
		return err
	}
	mem, err := os.Open(c.proc("mem"))
	if err != nil {
		return err
	}
	image := make([]byte, end-begin)
	_, err = mem.ReadAt(image, int64(begin))
	if err := errors.Join(err, mem.Close()); err != nil {
		return err
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return err
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return err
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			c.at, c.size = begin+s.Value, s.Size
			return nil
		}
	}
	return errors.New("its vDSO has no clock_gettime")
}

// swapLimit bounds the wait for a moment at which no thread asks for the time.
const swapLimit = 10 * time.Second

// swap writes over the function while no thread of the process is in it.
func (c *Clock) swap(code []byte, keep bool) error {
	for end := time.Now().Add(swapLimit); time.Now().Before(end); {
		if err := syscall.Kill(c.pid, syscall.SIGSTOP); err != nil {
			return err
		}
		where, err := c.threads()
		for err == nil && where == running && time.Now().Before(end) { // a signal takes its time
			where, err = c.threads()
		}
		if err == nil && where == outside {
			err = c.write(code, keep)
		}
		if err := errors.Join(err, syscall.Kill(c.pid, syscall.SIGCONT)); err != nil {
			return err
		}
		if where == outside {
			return nil
		}
	}
	return errors.New("its threads never leave clock_gettime")
}

func (c *Clock) write(code []byte, keep bool) error {
	mem, err := os.OpenFile(c.proc("mem"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if keep {
		_, err = io.ReadFull(io.NewSectionReader(mem, int64(c.at), int64(len(code))), c.original)
	}
	if err == nil {
		_, err = mem.WriteAt(code, int64(c.at))
	}
	return errors.Join(err, mem.Close())
}

// whereabouts of a process's threads.
type whereabouts int

const (
	running whereabouts = iota // not all of them are stopped yet
	inside                     // one is stopped in clock_gettime
	outside                    // none is
)

func (c *Clock) threads() (whereabouts, error) {
	threads, err := filepath.Glob(c.proc("task/*"))
	if err != nil || len(threads) == 0 {
		return running, errors.Join(err, os.ErrProcessDone)
	}
	found := outside
	for _, t := range threads {
		raw, err := os.ReadFile(filepath.Join(t, "syscall"))
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has ended
		}
		if err != nil {
			return running, err
		}
		words := strings.Fields(string(raw)) // "running", or … SP PC
		if len(words) < 3 {
			return running, nil
		}
		pc, err := strconv.ParseUint(strings.TrimPrefix(words[len(words)-1], "0x"), 16, 64)
		if err != nil {
			return running, fmt.Errorf("read where a thread is: %w", err)
		}
		if pc >= c.at && pc < c.at+c.size {
			found = inside
		}
	}
	return found, nil
}

func (c *Clock) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(c.pid), name)
}

// vdsoOf is where a process's vDSO begins and ends.
func vdsoOf(pid int) (begin, end uint64, err error) {
	maps, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "maps"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "[vdso]") {
			_, err := fmt.Sscanf(line, "%x-%x", &begin, &end)
			return begin, end, err
		}
	}
	return 0, 0, errors.New("it has no vDSO")
}
