package kernel

import (
	"io"
	"os"
)

// fill is Allocate where the kernel has no call for it.
func fill(f *os.File, size int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := info.Size(); at < size; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		at += int64(n)
	}
	return nil
}
