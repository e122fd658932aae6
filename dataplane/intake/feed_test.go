package intake

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

func feedAll(s Settings, path string, body io.Reader) (items []Item, err error) {
	err = Feed(context.Background(), s, path, "", body, func(it Item) error {
		items = append(items, it)
		return nil
	})
	return items, err
}

func batchAll(body io.Reader) (items []Item, err error) {
	err = NDJSON(context.Background(), Settings{Source: record.Native}, body, func(it Item) error {
		items = append(items, it)
		return nil
	})
	return items, err
}

// However FreeSWITCH wraps a record, it is the same content: a retry through
// another node of its configuration is a duplicate, not a new version.
func TestFreeSWITCHEncodingsAreOneContent(t *testing.T) {
	ar, err := txtar.ParseFile("testdata/golden/freeswitch_sample.txtar")
	if err != nil {
		t.Fatal(err)
	}
	raw := ar.Files[0].Data
	spaced := bytes.TrimSpace(raw)
	b64 := base64.StdEncoding.EncodeToString(append(spaced, ' ')) // another length, other padding
	s := Settings{Source: record.FreeSWITCH, Instance: "sbc1"}
	var want record.Record
	for i, body := range []string{
		string(raw), string(spaced), "\r\n " + string(raw) + "\n\n",
		"cdr=" + url.QueryEscape(string(raw)), "cdr=" + url.PathEscape(string(raw)), "cdr=" + url.QueryEscape(string(raw)) + "&uuid=x",
		url.PathEscape(string(raw)), "cdr=" + string(spaced),
		"cdr=" + b64, "cdr=" + strings.TrimRight(b64, "=") + "\x00", "cdr=" + strings.ReplaceAll(b64, "+", " "), "cdr=" + url.QueryEscape(b64),
		b64, "[" + string(spaced) + "]",
	} {
		items, err := feedAll(s, "", strings.NewReader(body))
		if err != nil || len(items) != 1 || items[0].Err != nil {
			t.Fatalf("form %d: %d items, error %v", i, len(items), err)
		}
		if i == 0 {
			want = items[0].Record
		}
		if got := items[0].Record; got.ContentHash != want.ContentHash || got.Key != want.Key || !got.End.Equal(want.End) {
			t.Errorf("form %d is other content", i)
		}
	}
}

func TestFreeSWITCHRefusesToGuess(t *testing.T) {
	for body, want := range map[string]Problem{
		"cdr=":             ProblemEmpty,
		"cdr=%7B%":         ProblemEscape,
		"cdr=!!!!":         ProblemBase64,
		"cdr=e30%":         ProblemEscape,
		"cdr=bm90IGpzb24=": ProblemJSON,
		"<cdr></cdr>":      ProblemUnsupported,
		"cdr=<cdr></cdr>":  ProblemBase64,
		"{}":               ProblemNoID,
		"[1]":              ProblemNotObject,
		`{"variables":{"uuid":"u","start_uepoch":"x"}}`:       ProblemTime,
		`{"variables":{"uuid":"u","billmsec":"many"}}`:        ProblemNumber,
		`{"variables":{"uuid":"u","duration":"99999999999"}}`: ProblemNumber,
		"{\"variables\":{\"uuid\":\"\xff\"}}":                 ProblemText,
		"[{}":                                                 ProblemJSON,
		"{\"variables\":{\n\"uuid\":\"u\"\n":                  ProblemJSON,
	} {
		items, err := feedAll(Settings{Source: record.FreeSWITCH}, "", strings.NewReader(body))
		if err != nil || len(items) != 1 || !errors.Is(items[0].Err, want) {
			t.Errorf("%q: %d items, error %v, want one with %q", body, len(items), err, want)
			continue
		}
		if !strings.Contains(body, string(items[0].Raw)) || len(items[0].Raw) == 0 {
			t.Errorf("%q: the payload was not kept as sent", body)
		}
	}
}

func TestFeedRefusesUnknownSourcesAndPaths(t *testing.T) {
	for _, c := range []struct{ source, path string }{
		{"native", ""}, {"", ""}, {"opensips", ""}, {"kamailio", "cdrs"}, {"asterisk", "cdr"}, {"twilio", "acc"},
	} {
		_, err := feedAll(Settings{Source: record.SourceKind(c.source)}, c.path, strings.NewReader("{}"))
		if reasonOf(err) != policy.NotFound {
			t.Errorf("%s/%s: %v, want NOT_FOUND", c.source, c.path, err)
		}
	}
}

func TestEmptyBodies(t *testing.T) {
	for _, source := range []record.SourceKind{record.FreeSWITCH, record.Kamailio, record.Asterisk, record.Twilio} {
		items, err := feedAll(Settings{Source: source}, "", strings.NewReader(" \r\n"))
		if err != nil || len(items) != 1 || !errors.Is(items[0].Err, ProblemEmpty) {
			t.Errorf("%s: %d items, error %v", source, len(items), err)
		}
	}
	for _, body := range []string{"", "\n\n", "[]", " [ ] "} {
		if items, err := batchAll(strings.NewReader(body)); err != nil || len(items) != 0 {
			t.Errorf("batch %q: %d items, error %v", body, len(items), err)
		}
	}
}

// What broke off is an error after what was whole, whatever the format: the
// client sends again and deduplication does the rest.
func TestBrokenStreams(t *testing.T) {
	gone := errors.New("gone")
	kamailio := `{"time":1773480413,"method":"INVITE","callid":"%d","sip_code":"200"}`
	row := `"","1","1234567","c","x","ch-%d","d","Dial","x","2026-01-01 00:00:00",,"2026-01-01 00:00:01",1,0,"BUSY","DOC","177347533%d.1",""`
	for name, c := range map[string]struct {
		s    Settings
		body string
		want int
	}{
		"lines":        {Settings{Source: record.Kamailio}, fmt.Sprintf(kamailio+"\n"+kamailio+"\n"+kamailio, 1, 2, 3), 2},
		"array":        {Settings{Source: record.Kamailio}, fmt.Sprintf("["+kamailio+","+kamailio+","+kamailio, 1, 2, 3), 2},
		"after array":  {Settings{Source: record.Kamailio}, fmt.Sprintf("["+kamailio+"] ", 1), 1},
		"one object":   {Settings{Source: record.Kamailio}, `{"time":1`, 0},
		"rows":         {Settings{Source: record.Asterisk}, fmt.Sprintf(row+"\n"+row+"\n"+row, 1, 1, 2, 2, 3, 3), 2},
		"form":         {Settings{Source: record.Twilio}, "CallSid=CA1&CallStatus=completed", 0},
		"encoded":      {Settings{Source: record.FreeSWITCH}, "cdr=%7B", 0},
		"before it":    {Settings{Source: record.Twilio}, " ", 0},
		"native lines": {Settings{Source: record.Native}, `{"native_id":"1"}` + "\n" + `{"native_id":"2"}` + "\n" + `{"nat`, 2},
		"native array": {Settings{Source: record.Native}, `[{"native_id":"1"},{"native_id":"2"},{"nat`, 2},
	} {
		body := io.MultiReader(strings.NewReader(c.body), iotest.ErrReader(gone))
		var items []Item
		var err error
		if c.s.Source == record.Native {
			items, err = batchAll(body)
		} else {
			items, err = feedAll(c.s, "", body)
		}
		if len(items) != c.want || reasonOf(err) != policy.InvalidArgument || !errors.Is(err, gone) {
			t.Errorf("%s: %d items and %v, want %d and INVALID_ARGUMENT caused by the reader", name, len(items), err, c.want)
		}
		for _, it := range items {
			if it.Err != nil {
				t.Errorf("%s: a whole item is quarantined: %v", name, it.Err)
			}
		}
	}
}

func TestItemsBeyondTheLimit(t *testing.T) {
	long := strings.Repeat("x", MaxItem)
	fits := `{"time":1773480413,"method":"INVITE","callid":"1","sip_code":"200","pad":"` + long[:MaxItem-200] + `"}`
	for name, c := range map[string]struct {
		s    Settings
		body string
		good int
	}{
		"line":    {Settings{Source: record.Kamailio}, fits + "\n" + `{"callid":"` + long + `"}`, 1},
		"object":  {Settings{Source: record.Kamailio}, `{"callid":"` + long + `"}`, 0},
		"element": {Settings{Source: record.Kamailio}, "[" + fits + `,{"callid":"` + long + `"}]`, 1},
		"row":     {Settings{Source: record.Asterisk}, `"` + long + `"`, 0},
		"form":    {Settings{Source: record.Twilio}, "CallSid=" + long, 0},
		"encoded": {Settings{Source: record.FreeSWITCH}, "cdr=%7B" + strings.Repeat("%20", MaxItem) + "}", 0},
		"base64":  {Settings{Source: record.FreeSWITCH}, "cdr=" + strings.Repeat(long, 4), 0},
		"broken":  {Settings{Source: record.FreeSWITCH}, "{" + long + long, 0},
	} {
		items, err := feedAll(c.s, "", strings.NewReader(c.body))
		if reasonOf(err) != policy.PayloadTooLarge || len(items) != c.good {
			t.Errorf("%s: %d items, error %v; want %d and PAYLOAD_TOO_LARGE", name, len(items), err, c.good)
		}
	}
	if _, err := Native(Settings{}, []byte(`{"native_id":"`+long+`"}`)); reasonOf(err) != policy.PayloadTooLarge {
		t.Errorf("native: %v", err)
	}
}

// A NUL byte is no end: spool files have thousands after a crash, where a file system
// had given blocks and not yet their content. What stands behind them is not dropped,
// and a body of nothing else is no empty body.
func TestINV33_NothingBehindANULIsDropped(t *testing.T) {
	hole := strings.Repeat("\x00", 5000)
	for _, of := range []struct {
		s    Settings
		file string
	}{
		{Settings{Source: record.Native}, "native_batch"}, {Settings{Source: record.Kamailio}, "kamailio_lines"},
		{Settings{Source: record.Asterisk, DefaultCountry: "AU"}, "asterisk_csv"}, {Settings{Source: record.Asterisk}, "asterisk_json"},
	} {
		ar, err := txtar.ParseFile("testdata/golden/" + of.file + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		body := strings.TrimSpace(string(ar.Files[0].Data)) + "\n"
		whole, err := collect(t, of.s, "", []byte(body), false)
		if err != nil || len(whole) == 0 {
			t.Fatalf("%s: %d items, %v", of.file, len(whole), err)
		}
		for name, c := range map[string]struct {
			body string
			want int
		}{
			"between": {body + hole + "\n" + body, 2*len(whole) + 1},
			"before":  {hole + "\n" + body, len(whole) + 1},
			"after":   {body + hole, len(whole) + 1},
			"alone":   {hole, 1},
		} {
			items, err := collect(t, of.s, "", []byte(c.body), false)
			if err != nil || len(items) != c.want {
				t.Errorf("%s, %s: %d items, want %d; %v", of.file, name, len(items), c.want, err)
			}
			kept := 0
			for _, it := range items {
				kept += bytes.Count(it.Raw, []byte{0})
			}
			if kept != len(hole) {
				t.Errorf("%s, %s: %d of %d NUL bytes are in an item", of.file, name, kept, len(hole))
			}
		}
	}
	for _, source := range []record.SourceKind{record.FreeSWITCH, record.Twilio} {
		if items, err := feedAll(Settings{Source: source}, "", strings.NewReader(hole)); err != nil || len(items) != 1 || len(items[0].Raw) != len(hole) {
			t.Errorf("%s: %d items, %v", source, len(items), err)
		}
	}
}

// A row that is too long costs only itself.
func TestLongRowIsQuarantinedAlone(t *testing.T) {
	ar, err := txtar.ParseFile("testdata/golden/asterisk_csv.txtar")
	if err != nil {
		t.Fatal(err)
	}
	body := `"` + strings.Repeat("x", MaxRow) + "\"\n" + string(ar.Files[0].Data)
	items, err := feedAll(Settings{Source: record.Asterisk, DefaultCountry: "AU"}, "", strings.NewReader(body))
	if err != nil || len(items) != 4 || !errors.Is(items[0].Err, ProblemLongRow) || items[1].Err != nil || len(items[0].Raw) != MaxRow+2 {
		t.Errorf("%d items, error %v", len(items), err)
	}
}

// Records may be kept: what they alias is never written again.
func TestRecordsStayAsTheyWere(t *testing.T) {
	body := batch(2000)
	lines := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	items, err := batchAll(iotest.HalfReader(bytes.NewReader(body)))
	if err != nil || len(items) != len(lines) {
		t.Fatalf("%d items, error %v", len(items), err)
	}
	for i, it := range items {
		if !bytes.Equal(it.Record.Native, lines[i]) || it.Record.ContentHash != hashOf(string(lines[i])) {
			t.Fatalf("record %d changed after it was yielded", i)
		}
	}
}

func TestYieldAndContextStopTheStream(t *testing.T) {
	stop := errors.New("disk full")
	calls := 0
	yield := func(Item) error { calls++; return stop }
	body := string(batch(3))
	if err := NDJSON(context.Background(), Settings{}, strings.NewReader(body), yield); err != stop || calls != 1 {
		t.Errorf("batch: %v after %d calls, want yield's own error after one", err, calls)
	}
	if err := Feed(context.Background(), Settings{Source: record.Kamailio}, "", "", strings.NewReader("x\ny"), yield); err != stop || calls != 2 {
		t.Errorf("feed: %v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(context.Background())
	for name, run := range map[string]func(yield func(Item) error) error{
		"lines": func(y func(Item) error) error { return NDJSON(ctx, Settings{}, strings.NewReader(body), y) },
		"array": func(y func(Item) error) error {
			return NDJSON(ctx, Settings{}, strings.NewReader(`[{"native_id":"1"},{"native_id":"2"}]`), y)
		},
		"rows": func(y func(Item) error) error {
			return Feed(ctx, Settings{Source: record.Asterisk}, "", "", strings.NewReader("x\ny\nz"), y)
		},
	} {
		ctx, cancel = context.WithCancel(context.Background())
		calls = 0
		err := run(func(Item) error { calls++; cancel(); return nil })
		if !errors.Is(err, context.Canceled) || calls != 1 {
			t.Errorf("%s: %v after %d calls", name, err, calls)
		}
	}
	cancel()
}
