package server

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
)

// FuzzCSVCell: whatever a caller's name is, a spreadsheet gets one cell that it
// takes for text, and a reader gets the name back.
func FuzzCSVCell(f *testing.F) {
	for _, s := range []string{"=1+1", "+353861234567", " \t=x", "\x00=x", `a"b`, "a,b\r\nc", "＝x", " \t", "\x00\tx", "'", "@", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		row := csvRow{}
		row.cell(text)
		row.cell("end")
		cells, err := csv.NewReader(bytes.NewReader(row.end())).Read()
		if err != nil || len(cells) != 2 || cells[1] != "end" {
			t.Fatalf("%q became %q, %v", text, cells, err)
		}
		bare := strings.TrimLeft(cells[0], " \u00a0\ufeff\t\r\n")
		if strings.IndexAny(cells[0], "\t\r\n") == 0 || strings.IndexAny(bare, "=+-@＝＋－＠") == 0 {
			t.Fatalf("%q became the formula %q", text, cells[0])
		}
		want := strings.ReplaceAll(strings.ReplaceAll(text, "\x00", ""), "\r\n", "\n")
		if got := cells[0]; got != want && got != "'"+want {
			t.Fatalf("%q came back as %q", text, got)
		}
	})
}
