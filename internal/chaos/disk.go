package chaos

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
)

// Volume is an ext4 filesystem of its own in a file, mounted at Dir. It needs
// root, loop devices and mkfs.ext4.
type Volume struct {
	Dir     string
	image   string
	ballast string
}

// NewVolume makes and mounts a volume of size bytes at dir, kept in image.
func NewVolume(image, dir string, size int64) (*Volume, error) {
	f, err := os.Create(image)
	if err != nil {
		return nil, fmt.Errorf("make a volume: %w", err)
	}
	if err := errors.Join(f.Truncate(size), f.Close(), os.MkdirAll(dir, 0o700)); err != nil {
		return nil, fmt.Errorf("make a volume: %w", err)
	}
	for _, c := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("make a volume: %s: %w: %s", c[0], err, out)
		}
	}
	return &Volume{Dir: dir, image: image, ballast: filepath.Join(dir, "ballast")}, nil
}

// Fill leaves no free block.
func (v *Volume) Fill() error {
	// Most of it at once, without writing it (what fails may yet have taken much of
	// what it asked for); then what is left, block by block.
	for size := int64(1 << 30); size >= 1<<20; size /= 2 {
		for i := 0; exec.Command("fallocate", "-l", fmt.Sprint(size), fmt.Sprintf("%s-%d-%d", v.ballast, size, i)).Run() == nil; i++ {
		}
	}
	f, err := os.OpenFile(v.ballast, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("fill a volume: %w", err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	return f.Close() // the disk is full, which is the purpose
}

// Free removes what Fill wrote.
func (v *Volume) Free() error {
	left, err := filepath.Glob(v.ballast + "*")
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("free a volume: %w", err)
	}
	return nil
}

// Close unmounts it. Nobody may use it any more.
func (v *Volume) Close() error {
	if out, err := exec.Command("umount", v.Dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unmount %s: %w: %s", v.Dir, err, out)
	}
	return nil
}

// Flip inverts one bit in each of n bytes of a file, drawn from its first used
// bytes; used 0 is the whole file. It gives the offsets.
func Flip(path string, n int, used int64, draw *rand.Rand) (offsets []int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("flip bytes: %w", err)
	}
	defer func() { err = errors.Join(err, f.Sync(), f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("flip bytes: %w", err)
	}
	if used <= 0 || used > info.Size() {
		used = info.Size()
	}
	if used == 0 {
		return nil, fmt.Errorf("flip bytes: %s is empty", path)
	}
	var one [1]byte
	for range n {
		at := draw.Int64N(used)
		if _, err := f.ReadAt(one[:], at); err != nil {
			return offsets, fmt.Errorf("flip bytes: %w", err)
		}
		one[0] ^= 1 << draw.IntN(8)
		if _, err := f.WriteAt(one[:], at); err != nil {
			return offsets, fmt.Errorf("flip bytes: %w", err)
		}
		offsets = append(offsets, at)
	}
	return offsets, nil
}

// Truncate cuts a file to a drawn length below what it is, as a write does that
// was torn, and gives the length.
func Truncate(path string, draw *rand.Rand) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("tear a file: %w", err)
	}
	if info.Size() == 0 {
		return 0, fmt.Errorf("tear a file: %s is empty", path)
	}
	at := draw.Int64N(info.Size())
	return at, os.Truncate(path, at)
}

// Copy copies a folder of plain files and folders, to put it back later.
func Copy(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Sync(), dst.Close())
}
