package intake

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// seed gives every golden body of a source, so that a new trap also becomes a seed.
func seed(f *testing.F, prefix string) {
	files, err := filepath.Glob("testdata/golden/" + prefix + "*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds for %s: %v", prefix, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(txtar.Parse(text).Files[0].Data)
	}
}

// canary stands in payloads; no problem may ever repeat it.
const canary = "+353871234599"

// collect runs a feed or a batch and checks what holds for every input: an item
// is a record or a problem, and a problem is words of ours.
func collect(t *testing.T, s Settings, path string, body []byte, oneByte bool) (items []Item, err error) {
	t.Helper()
	var in = bytes.NewReader(body)
	yield := func(it Item) error {
		items = append(items, it)
		return nil
	}
	run := func() error { return Feed(context.Background(), s, path, "", in, yield) }
	if oneByte {
		run = func() error { return Feed(context.Background(), s, path, "", iotest.OneByteReader(in), yield) }
	}
	if s.Source == record.Native {
		run = func() error { return NDJSON(context.Background(), s, in, yield) }
	}
	err = run()
	if said := bytes.Trim(body, " \t\r\n"); err == nil && len(items) == 0 && len(said) > 0 && len(bytes.Trim(said, "[] \t\r\n")) > 0 {
		t.Error("a body with something in it is no item and no error")
	}
	for _, it := range items {
		if it.ContentType == "" {
			t.Error("an item without a content type")
		}
		if it.Err != nil {
			if strings.Contains(it.Err.Error(), canary) {
				t.Errorf("the problem repeats the payload: %v", it.Err)
			}
			if !reflect.DeepEqual(it.Record, record.Record{}) {
				t.Error("an item is both a record and a problem")
			}
			continue
		}
		checkRecord(t, s, &it.Record)
	}
	return items, err
}

func checkRecord(t *testing.T, s Settings, r *record.Record) {
	t.Helper()
	if r.Key.NativeID == "" || r.CallKey == "" || r.Key.Source != s.Source || r.Key.Instance != s.Instance {
		t.Error("a record without its identity")
	}
	if r.ContentHash == [32]byte{} || len(r.Native) == 0 || r.NativeType == "" {
		t.Error("a record without its payload")
	}
	if r.Duration < 0 || r.Billsec < 0 {
		t.Error("a negative duration")
	}
	for _, at := range []time.Time{r.Start, r.Ring, r.Answer, r.End} {
		if !at.IsZero() && (at.Location() != time.UTC || at.Unix() < -86400*400 || at.Year() > 2200 || at.Nanosecond()%1000 != 0) {
			t.Errorf("a time that the record cannot keep: %v", at)
		}
	}
	for _, p := range []record.Party{r.From, r.To} {
		if p.E164 != "" && (p.E164[0] != '+' || len(p.E164) > 16 || p.Raw == "") {
			t.Errorf("not E.164: %d bytes", len(p.E164))
		}
	}
}

func fuzzFeed(f *testing.F, source record.SourceKind) {
	seed(f, string(source))
	sydney, err := time.LoadLocation("Australia/Sydney")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := Settings{Source: source, Instance: "i", Location: sydney, DefaultCountry: "AU"}
		all, err := collect(t, s, "", body, false)
		slow, slowErr := collect(t, s, "", body, true)
		if !reflect.DeepEqual(all, slow) || (err == nil) != (slowErr == nil) {
			t.Error("how the body arrives changes what it says")
		}
		if err == nil && len(all) == 0 && len(bytes.Trim(body, " \t\r\n[]")) > 0 {
			t.Error("something was acknowledged and neither kept nor quarantined")
		}
	})
}

func FuzzFreeSWITCH(f *testing.F) { fuzzFeed(f, record.FreeSWITCH) }
func FuzzKamailio(f *testing.F)   { fuzzFeed(f, record.Kamailio) }
func FuzzAsterisk(f *testing.F)   { fuzzFeed(f, record.Asterisk) }
func FuzzTwilio(f *testing.F)     { fuzzFeed(f, record.Twilio) }

func FuzzNative(f *testing.F) {
	seed(f, "native")
	f.Add([]byte(`{"native_id":"` + canary + `","` + canary + `":1,"from":{"` + canary + `":2}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := Settings{Source: record.Native, Instance: "native", DefaultCountry: "IE"}
		_, _ = collect(t, s, "", body, false)
		r, err := Native(s, body)
		if err == nil {
			checkRecord(t, s, &r)
			return
		}
		refusal, ok := err.(*policy.Error)
		if !ok || strings.Contains(refusal.Error(), canary) {
			t.Fatalf("the refusal is none, or repeats the payload: %T", err)
		}
		for _, bad := range refusal.Fields {
			if strings.Contains(bad.Field+bad.Message, canary) {
				t.Fatal("a field error repeats the payload")
			}
		}
	})
}

func FuzzTwilioSigned(f *testing.F) {
	f.Add("12345", "https://mycompany.com:8443/myapp.php?foo=1&bar=2", []byte("a=1&b=2&b=1"))
	f.Add("s", "http://h?bodySHA256=00", []byte("{}"))
	f.Add("s", "::", []byte("%zz"))
	f.Fuzz(func(t *testing.T, secret, url string, body []byte) {
		if TwilioSigned(secret, "", url, body) || TwilioSigned("", "x", url, body) {
			t.Fatal("an empty secret or signature was accepted")
		}
		form, err := parseForm(body)
		if err != nil {
			form = nil
		}
		sig := TwilioSignature(secret, url, form)
		if TwilioSigned(secret, sig, url, body) && TwilioSigned(secret+"x", sig, url, body) {
			t.Fatal("another secret was accepted")
		}
	})
}

// FuzzParty: what is taken for an E.164 number is one, whoever sent it, and stays
// the same when it is read again and when it is remembered.
func FuzzParty(f *testing.F) {
	for _, raw := range []string{"+353861234567", "sip:+353861234567@198.51.100.20;user=phone", "tel:+1-202-555-0101", "0291234567", "00353861234567", "+", "+999123456789", "anonymous", "\u0663\u0665\u0663"} {
		f.Add(raw, "IE")
	}
	form := regexp.MustCompile(`^\+[1-9][0-9]{2,14}$`)
	f.Fuzz(func(t *testing.T, raw, country string) {
		n := NewNumbers(4)
		got := (*Numbers)(nil).Party(raw, country)
		for range 2 {
			if again := n.Party(raw, country); again != got {
				t.Fatalf("%q of %q: %q with memory, %q without", raw, country, again.E164, got.E164)
			}
		}
		if got.E164 == "" {
			return
		}
		if !form.MatchString(got.E164) {
			t.Fatalf("%q of %q is taken for %q", raw, country, got.E164)
		}
		if again := n.Party(got.E164, ""); again.E164 != got.E164 {
			t.Fatalf("%q of %q is %q, and that is %q", raw, country, got.E164, again.E164)
		}
	})
}
