package local

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/internal/kernel"
)

// copyPatience bounds one write to the copy. A copy that hangs must not stop
// what the main place can do.
const copyPatience = 2 * time.Second

// places are the two folders in which the table lies: the main one and, on
// another disk of the region, its copy. Every write goes to the main folder,
// then to the copy, and is synced in both before it counts. An error of the
// main folder is the caller's. One of the copy makes it fall behind: it is
// written no more until mend has made both equal.
type places struct {
	main, copy string // copy "" is none
	log        *slog.Logger
	retry      func(func() error) error // nil: a write is tried once

	mu     sync.Mutex
	files  map[*file]struct{} // open ones
	behind error              // why the copy is not written; nil: it is
	hung   int                // writes to the copy that have not come back
}

// lag is why the copy is not written, else nil.
func (p *places) lag() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.behind
}

func (p *places) fallBehind(err error) {
	p.mu.Lock()
	was := p.behind
	p.behind = err
	p.mu.Unlock()
	if was == nil {
		p.log.Error("the copy of the key table cannot be written; keys have one place only until it can", "cause", err.Error())
	}
}

// onCopy runs f for the copy, if there is one that is not behind, and reports
// whether it succeeded in time.
func (p *places) onCopy(f func() error) bool {
	p.mu.Lock()
	if p.copy == "" || p.behind != nil {
		p.mu.Unlock()
		return false
	}
	p.hung++
	p.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		err := f()
		p.mu.Lock()
		p.hung--
		p.mu.Unlock()
		done <- err
	}()
	wait := time.NewTimer(copyPatience)
	defer wait.Stop()
	select {
	case err := <-done:
		if err != nil {
			p.fallBehind(err)
		}
		return err == nil
	case <-wait.C:
		p.fallBehind(fmt.Errorf("it did not answer within %s", copyPatience))
		return false
	}
}

// again runs a write of the main place. A write that found no room changed nothing
// that writing all of it again does not set right.
func (p *places) again(write func() error) error {
	if p.retry == nil {
		return write()
	}
	return p.retry(write)
}

// do runs op in the main folder, then in the copy.
func (p *places) do(op func(dir string) error) error {
	if err := p.again(func() error { return op(p.main) }); err != nil {
		return err
	}
	p.onCopy(func() error { return op(p.copy) })
	return nil
}

// writeWhole makes a file appear with all of data or not at all, durably.
func (p *places) writeWhole(name string, data []byte) error {
	return p.do(func(dir string) error { return writeWhole(filepath.Join(dir, name), data) })
}

// remove deletes files that may be there.
func (p *places) remove(names ...string) error {
	return p.do(func(dir string) error {
		for _, name := range names {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return syncDir(dir)
	})
}

// file is one file of the table in both places.
type file struct {
	p    *places
	name string
	f    *os.File
	twin *os.File // in the copy; nil while that is behind. Under p.mu.
}

// open opens a file for reading and writing; flag may add O_CREATE and O_TRUNC.
func (p *places) open(name string, flag int) (*file, error) {
	var f *os.File
	err := p.again(func() (err error) {
		f, err = os.OpenFile(filepath.Join(p.main, name), os.O_RDWR|flag, 0o600)
		return err
	})
	if err != nil {
		return nil, err
	}
	n := &file{p: p, name: name, f: f}
	var twin *os.File
	if p.onCopy(func() (err error) {
		twin, err = os.OpenFile(filepath.Join(p.copy, name), os.O_RDWR|os.O_CREATE|flag, 0o600)
		return err
	}) {
		n.twin = twin
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.files == nil {
		p.files = map[*file]struct{}{}
	}
	p.files[n] = struct{}{}
	return n, nil
}

func (f *file) other() *os.File {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	return f.twin
}

// put writes in place without a sync.
func (f *file) put(b []byte, at int64) error {
	if err := f.p.again(func() error { _, err := f.f.WriteAt(b, at); return err }); err != nil {
		return err
	}
	failpoint.At("keys/written")
	if twin := f.other(); twin != nil {
		kept := bytes.Clone(b) // a write that hangs may outlive the caller's buffer
		f.p.onCopy(func() error { _, err := twin.WriteAt(kept, at); return err })
	}
	return nil
}

// sync makes what was put durable.
func (f *file) sync() error {
	if err := datasync(f.f); err != nil {
		return err
	}
	if twin := f.other(); twin != nil {
		f.p.onCopy(func() error { return datasync(twin) })
	}
	return nil
}

// write is put and sync.
func (f *file) write(b []byte, at int64) error {
	return f.p.again(func() error { return errors.Join(f.put(b, at), f.sync()) })
}

func (f *file) size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *file) close() error {
	f.p.mu.Lock()
	delete(f.p.files, f)
	twin := f.twin
	f.twin = nil
	f.p.mu.Unlock()
	if twin != nil {
		_ = twin.Close()
	}
	return f.f.Close()
}

// resume opens the copy's files again and writes to it from here on. What it
// missed meanwhile is for mend.
func (p *places) resume() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hung > 0 {
		return errors.New("a write to it still hangs")
	}
	if err := os.MkdirAll(p.copy, 0o700); err != nil {
		return err
	}
	for f := range p.files {
		if f.twin != nil {
			_ = f.twin.Close()
			f.twin = nil
		}
		twin, err := os.OpenFile(filepath.Join(p.copy, f.name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		f.twin = twin
	}
	p.behind = nil
	return nil
}

// writeWhole makes a file appear with all of data or not at all, durably.
func writeWhole(path string, data []byte) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	failpoint.At("keys/rename")
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes created and renamed entries of a folder durable.
func syncDir(dir string) error {
	failpoint.At("folder/sync")
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func datasync(f *os.File) error { return kernel.Datasync(f) }
