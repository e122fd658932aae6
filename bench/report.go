package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// row is one measured thing.
type row struct {
	name   string
	median float64
	lowest float64
	most   float64
	unit   string
	note   string
}

type report struct {
	rows   []row
	delays []*delay // of P7
}

// rounds measures n times and keeps median, minimum and maximum.
func (r *report) rounds(name, unit, note string, n int, once func() (float64, error)) error {
	var got []float64
	for range n {
		v, err := once()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		got = append(got, v)
	}
	slices.Sort(got)
	r.rows = append(r.rows, row{name, got[len(got)/2], got[0], got[len(got)-1], unit, note})
	return nil
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "| what | median | min – max | unit | how |\n|---|---:|---:|---|---|\n")
	for _, x := range r.rows {
		fmt.Fprintf(w, "| %s | %s | %s – %s | %s | %s |\n", x.name, figure(x.median), figure(x.lowest), figure(x.most), x.unit, x.note)
	}
}

func figure(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// rate is how many a second.
func rate(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }
