package peer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"

	"github.com/domicile-io/domicile/api/data"
)

// The form of each exported field. What does not match is refused at the
// receiver, so that a mistaken or hostile sender cannot push a number across.
var rowForms = []struct {
	name string
	form *regexp.Regexp
	of   func(*data.PseudonymRow) string
}{
	{"row", regexp.MustCompile(`^[0-9a-f]{32}$`), func(r *data.PseudonymRow) string { return r.Row }},
	{"from", regexp.MustCompile(`^([0-9a-f]{32})?$`), func(r *data.PseudonymRow) string { return r.From }},
	{"to", regexp.MustCompile(`^([0-9a-f]{32})?$`), func(r *data.PseudonymRow) string { return r.To }},
	{"from_country", regexp.MustCompile(`^([A-Z]{2})?$`), func(r *data.PseudonymRow) string { return r.FromCC }},
	{"to_country", regexp.MustCompile(`^([A-Z]{2})?$`), func(r *data.PseudonymRow) string { return r.ToCC }},
	{"direction", regexp.MustCompile(`^(inbound|outbound|internal)?$`), func(r *data.PseudonymRow) string { return r.Direction }},
	{"outcome", regexp.MustCompile(`^(answered|not_answered)$`), func(r *data.PseudonymRow) string { return r.Outcome }},
	{"hour", regexp.MustCompile(`^(\d{4}-\d{2}-\d{2}T\d{2}:00:00Z)?$`), func(r *data.PseudonymRow) string { return r.Hour }},
	{"duration_bucket", regexp.MustCompile(`^[0-9a-z<>+-]{0,8}$`), func(r *data.PseudonymRow) string { return r.Duration }},
	{"source_kind", regexp.MustCompile(`^[a-z]{0,16}$`), func(r *data.PseudonymRow) string { return r.Source }},
}

// checkRow refuses a row with an unknown field, a wrong type, trailing bytes or
// a value that is not of its field's form. What passes is kept as it came, so that a
// row must be the very bytes that its values are written as: of a field that stands
// twice JSON's readers see the last one, and the first could be a number.
func checkRow(line []byte) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	var row data.PseudonymRow
	if err := dec.Decode(&row); err != nil {
		return fmt.Errorf("not a row of the schema")
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("bytes after the row")
	}
	for _, f := range rowForms {
		if !f.form.MatchString(f.of(&row)) {
			return fmt.Errorf("field %s is not of its form", f.name)
		}
	}
	if written, err := json.Marshal(row); err != nil || !bytes.Equal(written, line) {
		return fmt.Errorf("it is not written as its values are")
	}
	return nil
}
