package testcluster

import (
	"bytes"
	"fmt"
	"os"
)

// raceReport begins what the race detector writes to a process's standard error.
const raceReport = "WARNING: DATA RACE"

// maxReport bounds what is told of a report, in bytes. The log has the rest.
const maxReport = 8 << 10

// RaceFlags are what the compiler is told so that programs are built as the tests
// are: go test -race builds its processes with the race detector too, which would
// otherwise see the tests alone.
func RaceFlags() []string {
	if raced {
		return []string{"-race"}
	}
	return nil
}

// Races reads a process's log and gives the first race that was reported in it as
// an error. A process that goes on after a race, or is killed, says it nowhere else.
func Races(log string) error {
	if !raced {
		return nil
	}
	raw, err := os.ReadFile(log)
	if err != nil {
		return fmt.Errorf("look for races: %w", err)
	}
	at := bytes.Index(raw, []byte(raceReport))
	if at < 0 {
		return nil
	}
	report := raw[at:]
	return fmt.Errorf("a data race (mend it; the log %s has it whole):\n%s", log, report[:min(len(report), maxReport)])
}
