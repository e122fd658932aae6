package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/store"
)

// A line of an export is what encoding/json writes of the call's form, and a row
// holds the same cells, of every field, empty and not.
func TestExportedLinesAreWhatJSONSays(t *testing.T) {
	words := []string{"", "plain", "+353861234567", `quoted "x" \ <&> é`, "\x00\u2028\xff", "a \x7f that is not escaped", "Ünï", "=1"}
	lines, rows := lineFile{region: `r"1`}, csvFile{region: `r"1`}
	for seed := range uint64(2000) {
		var c store.Call
		rnd := rand.New(rand.NewPCG(seed, 7))
		fillAny(reflect.ValueOf(&c).Elem(), rnd, words, seed == 0)
		revision := seed % 3
		form := callForm(&c, lines.region, revision)
		want, err := json.Marshal(form)
		if err != nil {
			t.Fatal(err)
		}
		before := []byte("before")
		if got, err := lines.call(before, &c, revision); err != nil || string(got) != "before"+string(want)+"\n" {
			t.Fatalf("%v\n%s, want\n%s", err, got, want)
		}
		if got, err := rows.call(before, &c, revision); err != nil || string(got) != "before"+rowOfForm(&form) {
			t.Fatalf("%v\n%s, want\n%s", err, got, rowOfForm(&form))
		}
	}
}

// rowOfForm is a row of a file in CSV, cell by cell.
func rowOfForm(c *data.Call) string {
	stir := data.STIR{}
	if c.STIR != nil {
		stir = *c.STIR
	}
	at := func(t *time.Time) string {
		if t == nil || t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	var w csvRow
	for _, text := range []string{c.ID, c.Source, c.Instance, c.NativeID, c.Leg,
		c.From.Raw, c.From.E164, c.From.Country, c.To.Raw, c.To.E164, c.To.Country, c.CallerName,
		c.Direction, c.Status, at(c.StartTime), at(c.RingTime), at(c.AnswerTime), at(c.EndTime),
		strconv.FormatInt(c.DurationMS, 10), strconv.FormatInt(c.BillsecMS, 10),
		strconv.Itoa(c.SIPCode), strconv.Itoa(c.Q850Cause), stir.Attest, stir.Verstat,
		strings.Join(c.RecordingRefs, " "), c.ConsentRef, strings.Join(c.Assumed, " "),
		strconv.Itoa(c.Versions), at(&c.IngestTime), at(&c.UpdateTime), at(&c.ListTime), c.Region} {
		w.cell(text)
	}
	return string(w.end())
}

// A form of a call has no field that a file lacks without a word.
func TestFilesHoldEveryFieldOfACall(t *testing.T) {
	elsewhere := map[string]bool{"RecordingIDs": true, "TranscriptIDs": true} // of one call alone: they are looked up
	var c store.Call
	fillAny(reflect.ValueOf(&c).Elem(), rand.New(rand.NewPCG(1, 7)), nil, true)
	form := reflect.ValueOf(callForm(&c, "ie1", 1))
	for i := range form.NumField() {
		if name := form.Type().Field(i).Name; form.Field(i).IsZero() != elsewhere[name] {
			t.Errorf("callForm and lineFile: what becomes of data.Call.%s?", name)
		}
	}
}

// A time that JSON does not have is an error, and one that is rare is written.
func TestDaysAreWhatTimeSays(t *testing.T) {
	var d days
	rnd := rand.New(rand.NewPCG(3, 7))
	for range 20_000 {
		at := time.Unix(rnd.Int64N(9e9)-3e9, []int64{0, 0, rnd.Int64N(1e9), 1e6 * rnd.Int64N(1000), 1000 * rnd.Int64N(1e6)}[rnd.IntN(5)])
		if rnd.IntN(2) == 0 {
			at = at.In(time.FixedZone("", rnd.IntN(86400)-43200))
		}
		want, err := at.UTC().AppendText(nil)
		if got := d.append(nil, at); err != nil || string(got) != string(want) {
			t.Fatalf("%s, want %s, %v", got, want, err)
		}
	}
	if d.append(nil, time.Date(9999, 12, 31, 23, 59, 59, 1, time.UTC)); d.bad != nil {
		t.Error(d.bad)
	}
	for _, at := range []time.Time{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)} {
		d := days{}
		if d.append(nil, at); d.bad == nil {
			t.Errorf("the year %d is written", at.Year())
		}
		if _, err := (&lineFile{}).call(nil, &store.Call{ListedAt: at}, 0); err == nil {
			t.Errorf("a line with the year %d is written", at.Year())
		}
	}
}

// A line takes no memory of its own.
func TestLinesTakeNoMemory(t *testing.T) {
	var c store.Call
	fillAny(reflect.ValueOf(&c).Elem(), rand.New(rand.NewPCG(1, 7)), nil, true)
	l, b := lineFile{region: "ie1"}, make([]byte, 0, 4<<10)
	if n := testing.AllocsPerRun(100, func() { _, _ = l.call(b, &c, 1) }); n != 0 {
		t.Errorf("%v allocations for each line", n)
	}
}

// fillAny sets each field, by reflection, so that one that is new is set too; whole: none stays empty.
func fillAny(v reflect.Value, rnd *rand.Rand, words []string, whole bool) {
	if !whole && rnd.IntN(3) == 0 {
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(rnd.Int64N(5e9)-rnd.Int64N(2)*1e9, rnd.Int64N(3)*1e6*rnd.Int64N(1000)).UTC()))
		return
	case time.Duration:
		v.SetInt(rnd.Int64N(1e15) - rnd.Int64N(2)*1e14 + 1e6)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fillAny(v.Field(i), rnd, words, whole)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillAny(v.Elem(), rnd, words, whole)
	case reflect.Bool:
		v.SetBool(whole || rnd.IntN(2) == 0)
	case reflect.Uint8:
		v.SetUint(uint64(rnd.IntN(256)))
	case reflect.Array:
		for i := range v.Len() {
			fillAny(v.Index(i), rnd, words, whole)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+rnd.IntN(3), 3))
		for i := range v.Len() {
			fillAny(v.Index(i), rnd, words, whole)
		}
	case reflect.String:
		if whole {
			v.SetString(fmt.Sprint("text", rnd.Uint32()))
		} else {
			v.SetString(words[rnd.IntN(len(words))])
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + rnd.Int64N(1e6))
	case reflect.Uint64:
		v.SetUint(1 + rnd.Uint64N(1e6))
	default:
		panic(v.Type().String())
	}
}

// Eight bytes at once are what one at a time are, for every byte at every place.
func TestATextIsPlainWhenNoByteIsEscaped(t *testing.T) {
	for size := range 26 {
		if s := strings.Repeat("a", size); !plainText(s) {
			t.Errorf("%q is plain", s)
		}
		for at := range size {
			for c := range 256 {
				for _, fill := range []byte{'a', ' ', 0x7e, '%', '=', 0x21} {
					raw := []byte(strings.Repeat(string(rune(fill)), size))
					raw[at] = byte(c)
					if got := plainText(string(raw)); got == escaped[c] {
						t.Fatalf("%q is plain: %v", raw, got)
					}
					out := bytes.Repeat([]byte{'-'}, size+1)
					if certain := copyPlain(out, string(raw)); certain && escaped[c] || string(out) != string(raw)+"-" {
						t.Fatalf("%q is copied as %q, plain: %v", raw, out, certain)
					}
				}
			}
		}
	}
}

func TestTimesAreWhatTimeWrites(t *testing.T) {
	var d days
	for _, nanos := range []int{0, 1, 9, 10, 100, 999, 1000, 1001, 10_000, 123_000, 999_000, 1_000_000, 120_000_000, 123_456_789, 999_999_999, 900_000_000, 90} {
		at := time.Date(2026, 11, 28, 23, 59, 58, nanos, time.UTC)
		if got, want := string(d.append(nil, at)), at.Format(time.RFC3339Nano); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestNumbersAreWhatStrconvWrites(t *testing.T) {
	for _, n := range []int64{0, 1, 9, 10, 99, 100, 101, 110, 999, 1000, 9999, 10_000, 94_000, 99_999, 100_000, 999_999, 1_000_000, 1_234_567, 1 << 62, -1, -999_999} {
		for _, b := range [][]byte{nil, []byte("b"), make([]byte, 0, 64)} {
			if got, want := string(appendNumber(b, n)), string(b)+strconv.FormatInt(n, 10); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
}

// What is kept of one line for the next ones is written of those alone that say the
// same, also when the memory of a text is used again.
func TestLinesThatDifferInOneThing(t *testing.T) {
	var c store.Call
	fillAny(reflect.ValueOf(&c).Elem(), rand.New(rand.NewPCG(1, 7)), nil, true)
	revision, instance := uint64(1), []byte("one")
	c.Record.Key.Instance = unsafe.String(&instance[0], len(instance))
	l := lineFile{region: "ie1"}
	for what, change := range []func(){
		func() {},
		func() { copy(instance, "two") },
		func() { c.Record.Key.Source = "other" },
		func() { c.Versions++ },
		func() { c.IngestedAt = c.IngestedAt.Add(time.Microsecond) },
		func() { c.UpdatedAt = c.UpdatedAt.Add(time.Microsecond) },
		func() { c.ListedAt = c.Record.Start },
		func() { c.Record.Start = c.Record.Start.Add(time.Microsecond) },
		func() { c.Record.Start, c.ListedAt = time.Time{}, time.Time{} },
		func() { revision++ },
		func() { revision = 0 },
	} {
		change()
		want, err := json.Marshal(callForm(&c, l.region, revision))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := l.call(nil, &c, revision); err != nil || string(got) != string(want)+"\n" {
				t.Errorf("change %d: %v\n%s, want\n%s", what, err, got, want)
			}
		}
	}
}
