package dev

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/internal/plainlog"
)

// logFile is the JSON log of one part. Logs never go to the terminal: what a
// person needs to read is printed for a person.
type logFile struct {
	path   string
	file   *os.File
	logger *slog.Logger
}

func openLog(dir, part string) (*logFile, error) {
	path := filepath.Join(dir, "logs", part+".log")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the log folder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return &logFile{path: path, file: f, logger: slog.New(plainlog.New(slog.NewJSONHandler(f, nil))).With("part", part)}, nil
}

func (l *logFile) close() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", l.path, err)
	}
	return nil
}
