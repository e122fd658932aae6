package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Transform is what an export does with a field.
type Transform string

// The transforms.
const (
	Drop           Transform = "drop"            // never crosses
	Pseudonym      Transform = "pseudonym"       // keyed PRF over the random subject id
	Country        Transform = "country"         // alpha-2, as derived from the number at ingest
	Hour           Transform = "hour"            // UTC hour
	DurationBucket Transform = "duration_bucket" // one of Buckets
	Outcome        Transform = "outcome"         // answered or not_answered
	Keep           Transform = "keep"            // as it is; only values of a closed set
)

// Field is one row of the table: what a field of Record reveals and what an
// export makes of it.
type Field struct {
	Path      string // Go path in Record, e.g. "From.E164"
	Class     policy.FieldClass
	Transform Transform
	As        string // name in the exported row; "" when dropped
}

// table is the ONE table. A new field of Record belongs here with the weakest
// transform that its purpose needs, which is nearly always Drop.
var table = []Field{
	{"Key.Source", policy.Operational, Keep, "source_kind"},
	{"Key.Instance", policy.Operational, Drop, ""},
	{"Key.NativeID", policy.DirectID, Drop, ""}, // sources put hosts and numbers into it
	{"Key.Leg", policy.DirectID, Drop, ""},
	{"Key.Event", policy.QuasiID, Drop, ""},
	{"CallKey", policy.DirectID, Drop, ""},
	{"Primary", policy.Operational, Drop, ""},
	{"Sequence", policy.Operational, Drop, ""},
	{"From.Raw", policy.DirectID, Drop, ""},
	{"From.E164", policy.DirectID, Drop, ""},
	{"From.Country", policy.QuasiID, Country, "from_country"},
	{"From.Subject", policy.DirectID, Pseudonym, "from"},
	{"To.Raw", policy.DirectID, Drop, ""},
	{"To.E164", policy.DirectID, Drop, ""},
	{"To.Country", policy.QuasiID, Country, "to_country"},
	{"To.Subject", policy.DirectID, Pseudonym, "to"},
	{"CallerName", policy.DirectID, Drop, ""},
	{"Direction", policy.QuasiID, Keep, "direction"},
	{"Status", policy.QuasiID, Outcome, "outcome"},
	{"Start", policy.QuasiID, Hour, "hour"},
	{"Ring", policy.QuasiID, Drop, ""},
	{"Answer", policy.QuasiID, Drop, ""},
	{"End", policy.QuasiID, Drop, ""},
	{"Duration", policy.QuasiID, Drop, ""},
	{"Billsec", policy.QuasiID, DurationBucket, "duration_bucket"},
	{"SIPCode", policy.Operational, Drop, ""},
	{"Q850", policy.Operational, Drop, ""},
	{"STIR.Attest", policy.Operational, Drop, ""},
	{"STIR.OrigID", policy.QuasiID, Drop, ""},
	{"STIR.Verstat", policy.Operational, Drop, ""},
	{"STIR.SPC", policy.QuasiID, Drop, ""},
	{"RecordingRefs", policy.Content, Drop, ""},
	{"ConsentRef", policy.QuasiID, Drop, ""},
	{"AssumedZone", policy.Operational, Drop, ""},
	{"AssumedCountry", policy.Operational, Drop, ""},
	{"ContentHash", policy.DirectID, Drop, ""}, // an unkeyed hash can be enumerated (INV02)
	{"HashOfBytes", policy.Operational, Drop, ""},
	{"Native", policy.Content, Drop, ""},
	{"NativeType", policy.Operational, Drop, ""},
}

// Fields returns the table, in the order of Record.
func Fields() []Field { return append([]Field(nil), table...) }

var unclassified = sync.OnceValue(func() []string { return missing(leaves(reflect.TypeFor[Record](), ""), table) })

// Unclassified names the fields of Record that the table does not class, and
// the rows of the table that name no field. Any blocks every export; it is
// what policy.Request.FieldsUnknown asks.
func Unclassified() []string { return append([]string(nil), unclassified()...) }

// missing compares field paths with the table, both ways.
func missing(paths []string, rows []Field) (out []string) {
	known := make(map[string]bool, len(rows))
	for _, f := range rows {
		known[f.Path] = f.Class.Valid() && f.Transform != "" && (f.As == "") == (f.Transform == Drop)
	}
	for _, p := range paths {
		if !known[p] {
			out = append(out, p)
		}
		delete(known, p)
	}
	for p := range known {
		out = append(out, p)
	}
	return out
}

// leaves walks a struct type down to the fields that hold values.
func leaves(t reflect.Type, prefix string) (out []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		path := prefix + f.Name
		if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[time.Time]() {
			out = append(out, leaves(f.Type, path+".")...)
			continue
		}
		out = append(out, path)
	}
	return out
}

// AllowListHash is the hex SHA-256 of the export schema: what a transfer record
// and an assessment refer to. It changes exactly when what may cross changes.
func AllowListHash() string {
	h := sha256.New()
	fmt.Fprintf(h, "domicile export schema 1\nrow pseudonym of the call id\n")
	for _, f := range table {
		if f.Transform != Drop {
			fmt.Fprintf(h, "%s %s %s\n", f.As, f.Transform, f.Path)
		}
	}
	fmt.Fprintf(h, "buckets %q\n", Buckets())
	return hex.EncodeToString(h.Sum(nil))
}

// ExportedFields names the fields of an exported row, "row" first.
func ExportedFields() []string {
	out := []string{"row"}
	for _, f := range table {
		if f.Transform != Drop {
			out = append(out, f.As)
		}
	}
	return out
}
