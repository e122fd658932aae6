package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// physical measures the disk under dir: 4 KiB appends, each with fdatasync.
func physical(dir string, r *report) error {
	f, err := os.Create(filepath.Join(dir, "fsync-probe"))
	if err != nil {
		return fmt.Errorf("make a probe: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := bytes.Repeat([]byte{'x'}, 4096)
	return r.rounds("fdatasync of a 4 KiB append", "1/s", "one writer; bounds every durable single write", 3, func() (float64, error) {
		n, start := 0, time.Now()
		for ; time.Since(start) < time.Second; n++ {
			if _, err := f.Write(block); err != nil {
				return 0, err
			}
			if err := unix.Fdatasync(int(f.Fd())); err != nil {
				return 0, err
			}
		}
		return rate(n, time.Since(start)), nil
	})
}
