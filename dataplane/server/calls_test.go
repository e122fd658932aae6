package server

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/policy"
)

var (
	admin  = key("ie1", "a", policy.RoleAdmin)
	writer = key("ie1", "a", policy.RoleIngest)
	reader = key("ie1", "a", policy.RoleReader)
	other  = key("ie1", "b", policy.RoleAdmin)
)

const (
	personA = "+353871234567"
	personB = "+353861112222"
	year    = "start=2026-01-01T00:00:00Z&end=2027-01-01T00:00:00Z"
)

// native is one record in the native form.
func native(id, status string, minute int) string {
	return fmt.Sprintf(`{"native_id":%q,"from":%q,"to":%q,"direction":"inbound","status":%q,"start_time":"2026-03-14T09:%02d:00Z","duration_ms":60000,"billsec_ms":55000}`,
		id, personA, personB, status, minute)
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(native(fmt.Sprintf("n-%d", i), "completed", i%60))
		b.WriteByte('\n')
	}
	return b.String()
}

// counted is data.Counts without its receipts.
type counted struct{ Accepted, Duplicates, Quarantined int }

func (r *region) counts(path, key, body string, header ...string) counted {
	r.t.Helper()
	status, raw := r.post(path, key, body, header...)
	if status != http.StatusOK {
		r.t.Fatalf("POST %s: %d %s", path, status, raw)
	}
	var c data.Counts
	must(r.t, json.Unmarshal(raw, &c))
	if c.Accepted > 0 && len(c.Receipts) == 0 || c.Accepted == 0 && len(c.Receipts) > 0 {
		r.t.Errorf("POST %s: %d are accepted, with receipts %v", path, c.Accepted, c.Receipts)
	}
	return counted{c.Accepted, c.Duplicates, c.Quarantined}
}

func TestOneCallIsStoredOnceAndFound(t *testing.T) {
	r := start(t)
	var made data.Created
	for i, want := range []string{"stored", "duplicate"} {
		status, raw := r.post("/v1/calls", writer, native("one", "completed", 1))
		if status != http.StatusCreated {
			t.Fatalf("try %d: %d %s", i, status, raw)
		}
		must(t, json.Unmarshal(raw, &made))
		if made.State != want || !policy.ValidID(policy.KindCall, made.ID) {
			t.Errorf("try %d: %+v, want %s", i, made, want)
		}
	}
	status, raw := r.post("/v1/calls", writer, native("one", "busy", 1))
	var changed data.Created
	must(t, json.Unmarshal(raw, &changed))
	if status != http.StatusCreated || changed.State != "new_version" || changed.ID != made.ID {
		t.Errorf("new version: %d %s", status, raw)
	}
	var c data.Call
	r.get("/v1/calls/"+made.ID, reader, &c)
	if c.From.E164 != personA || c.From.Country != "IE" || c.Status != "busy" || c.Versions != 2 || c.Region != "ie1" || c.Source != "native" || c.From.SubjectID == "" {
		t.Errorf("call is %+v", c)
	}
}

func TestListFiltersAndPages(t *testing.T) {
	r := start(t)
	if c := r.counts("/v1/calls:batch", writer, lines(50)); c != (counted{Accepted: 50}) {
		t.Fatalf("%+v", c)
	}
	if c := r.counts("/v1/calls:batch", writer, native("x", "busy", 30)+"\n"+native("n-7", "completed", 7)); c != (counted{Accepted: 1, Duplicates: 1}) {
		t.Fatalf("%+v", c)
	}
	seen := map[string]bool{}
	for token := ""; ; {
		var page data.Calls
		r.get("/v1/calls?"+year+"&page_size=20"+pageToken(token), reader, &page)
		for _, c := range page.Calls {
			if seen[c.ID] {
				t.Fatalf("call %s stands twice", c.ID)
			}
			seen[c.ID] = true
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if len(seen) != 51 {
		t.Errorf("pages hold %d calls, want 51", len(seen))
	}
	for query, want := range map[string]int{
		"status=busy":              1,
		"status=completed&" + year: 50,
		"direction=inbound":        51,
		"direction=outbound":       0,
		"start=2026-03-14T09:10:00Z&end=2026-03-14T09:20:00Z":          10,
		"start=2026-03-14T10:10:00%2B01:00&end=2026-03-14T09:20:00Z":   10,
		"start=2026-03-14T09:10:00.000001Z&end=2026-03-14T09:12:00.5Z": 2,
		"": 51,
	} {
		var page data.Calls
		r.get("/v1/calls?page_size=1000&"+query, reader, &page)
		if len(page.Calls) != want {
			t.Errorf("%q: %d calls, want %d", query, len(page.Calls), want)
		}
	}
}

func TestSearchFindsANumberThatNeverStandsInAURL(t *testing.T) {
	r := start(t)
	r.counts("/v1/calls:batch", writer, lines(3)+`{"native_id":"z","from":"+14155550100","to":"`+personB+`","start_time":"2026-03-14T09:00:00Z"}`)
	for number, want := range map[string]int{personA: 3, "087 123 4567": 3, personB: 4, "+14155550100": 1, "+15550000000": 0, "nobody": 0} {
		body, err := json.Marshal(data.Search{Number: number})
		must(t, err)
		status, raw := r.post("/v1/calls:search", reader, string(body))
		var page data.Calls
		must(t, json.Unmarshal(raw, &page))
		if status != http.StatusOK || len(page.Calls) != want {
			t.Errorf("a search found %d (%d), want %d", len(page.Calls), status, want)
		}
	}
	r.refusal(policy.InvalidArgument, http.MethodPost, "/v1/calls:search", reader, `{}`)
	r.refusal(policy.InvalidArgument, http.MethodPost, "/v1/calls:search", reader, `{"number":"+1","page_size":1001}`)
	r.refusal(policy.InvalidArgument, http.MethodPost, "/v1/calls:search", reader, `{"nummer":"+1"}`)
	p := r.refusal(policy.InvalidArgument, http.MethodGet, "/v1/calls?number=%2B353871234567&%2B353871234567=1", reader, "")
	if strings.Contains(fmt.Sprint(p), "3538712") {
		t.Errorf("the refusal repeats the number: %+v", p)
	}
	if strings.Contains(r.log.String(), "3538712") {
		t.Error("the log holds a number")
	}
}

func TestBadParametersAreAllNamed(t *testing.T) {
	r := start(t)
	p := r.refusal(policy.InvalidArgument, http.MethodGet,
		"/v1/calls?start=yesterday&end=2026&status=dead&direction=sideways&page_size=0&colour=red&page_token=", reader, "")
	named := map[string]bool{}
	for _, e := range p.Errors {
		named[e.Field] = true
	}
	for _, f := range []string{"start", "end", "status", "direction", "page_size", "colour", "page_token"} {
		if !named[f] {
			t.Errorf("%s is not named in %+v", f, p.Errors)
		}
	}
	for _, path := range []string{
		"/v1/calls?page_size=1001", "/v1/calls?page_size=1&page_size=2", "/v1/calls?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z",
		"/v1/calls?page_token=garbage", "/v1/calls?a=%zz", "/v1/calls:export", "/v1/calls:export?format=xml", "/v1/rollups?day=14.3.2026",
		"/v1/quarantine?page_size=x", "/v1/egress?tenant=TN1", "/v1/calls?q=" + strings.Repeat("x", maxQuery),
	} {
		r.refusal(policy.InvalidArgument, http.MethodGet, path, reader, "")
	}
	r.refusal(policy.NotYet, http.MethodGet, "/v1/calls:export?format=parquet", reader, "")
}

func TestBadBodies(t *testing.T) {
	r := start(t)
	for name, body := range map[string]string{
		"empty": "", "truncated": `{"native_id":"x"`, "wrong type": `{"native_id":1}`, "unknown field": `{"native_id":"x","colour":"red"}`,
		"no id": `{}`, "twice": native("x", "completed", 1) + native("y", "completed", 1), "array": `[]`, "null": `null`,
		"bad status": native("x", "dead", 1), "not UTF-8": "{\"native_id\":\"\xff\"}", "nested": `{"native_id":` + strings.Repeat("[", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			status, h, raw := r.ask(http.MethodPost, "/v1/calls", writer, strings.NewReader(body), "Content-Type", "application/json")
			r.problem(policy.InvalidArgument, status, h, raw)
		})
	}
	long := `{"native_id":"` + strings.Repeat("x", maxJSON) + `"}`
	r.refusal(policy.PayloadTooLarge, http.MethodPost, "/v1/calls", writer, long)
	status, h, raw := r.ask(http.MethodPost, "/v1/calls", writer, slow{strings.NewReader(long)}, "Content-Type", "application/json")
	r.problem(policy.PayloadTooLarge, status, h, raw) // chunked: no length to judge by
	status, h, raw = r.ask(http.MethodPost, "/v1/calls", writer, strings.NewReader(native("x", "completed", 1)), "Content-Type", "text/plain")
	r.problem(policy.UnsupportedMediaType, status, h, raw)
	r.refusal(policy.UnsupportedMediaType, http.MethodPost, "/v1/calls", writer, native("x", "completed", 1), "Content-Encoding", "br")
	r.refusal(policy.UnsupportedMediaType, http.MethodPost, "/v1/calls:batch", writer, lines(1), "Content-Encoding", "deflate")
	var page data.Calls
	if r.get("/v1/calls", reader, &page); len(page.Calls) != 0 {
		t.Errorf("a refused body left %d calls behind", len(page.Calls))
	}
}

// slow hides the length of a reader.
type slow struct{ r *strings.Reader }

func (s slow) Read(b []byte) (int, error) { return s.r.Read(b) }

func packed(t *testing.T, encoding, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	switch encoding {
	case "gzip":
		w := gzip.NewWriter(&out)
		_, err := w.Write([]byte(text))
		must(t, err)
		must(t, w.Close())
	case "zstd":
		w, err := zstd.NewWriter(&out)
		must(t, err)
		_, err = w.Write([]byte(text))
		must(t, err)
		must(t, w.Close())
	default:
		out.WriteString(text)
	}
	return out.Bytes()
}

func TestBatchEncodings(t *testing.T) {
	r := start(t)
	const n = 3000 // more than two chunks
	array := "[" + strings.TrimSuffix(strings.ReplaceAll(lines(n), "\n", ","), ",") + "]"
	first := true
	for _, encoding := range []string{"identity", "gzip", "zstd"} {
		for _, body := range []string{lines(n), array} {
			status, _, raw := r.ask(http.MethodPost, "/v1/calls:batch", writer, bytes.NewReader(packed(t, encoding, body)), "Content-Encoding", encoding)
			want := counted{Duplicates: n}
			if first {
				want, first = counted{Accepted: n}, false
			}
			var got counted
			must(t, json.Unmarshal(raw, &got))
			if status != http.StatusOK || got != want {
				t.Errorf("%s: %d %s, want %+v", encoding, status, raw, want)
			}
		}
	}
	if got := r.counter("domicile_records_total", "native", "duplicate"); got != 5*n {
		t.Errorf("metrics count %v duplicates, want %d", got, 5*n)
	}
}

// What cannot be parsed is kept; a stream that breaks answers 400 with the
// counts of what is stored.
func TestBrokenBatches(t *testing.T) {
	r := start(t)
	c := r.counts("/v1/calls:batch", writer, lines(2)+"{\"native_id\":\n"+`{"native_id":"x","colour":"red"}`+"\n"+native("after", "completed", 3))
	if c != (counted{Accepted: 3, Quarantined: 2}) {
		t.Errorf("%+v", c)
	}
	for _, encoding := range []string{"gzip", "zstd"} {
		whole := packed(t, encoding, lines(4000))
		status, h, raw := r.ask(http.MethodPost, "/v1/calls:batch", writer, bytes.NewReader(whole[:len(whole)/2]), "Content-Encoding", encoding)
		p := r.problem(policy.InvalidArgument, status, h, raw)
		if p.Metadata["accepted"] == "" || p.Metadata["duplicates"] == "" || p.Metadata["quarantined"] == "" {
			t.Errorf("%s: the counts so far are missing: %s", encoding, raw)
		}
		status, h, raw = r.ask(http.MethodPost, "/v1/calls:batch", writer, strings.NewReader("not compressed"), "Content-Encoding", encoding)
		r.problem(policy.InvalidArgument, status, h, raw)
	}
	status, h, raw := r.ask(http.MethodPost, "/v1/calls:batch", writer, strings.NewReader("["+native("p", "completed", 1)+","))
	if p := r.problem(policy.InvalidArgument, status, h, raw); p.Metadata["accepted"] != "1" {
		t.Errorf("a broken array: %s", raw)
	}
}

func TestCSVExportIsSafeInASpreadsheet(t *testing.T) {
	r := start(t)
	evil := []string{`=HYPERLINK("http://x","y")`, "+1", "-1", "@SUM(A1)", " =1", "＝1", `a"b`, "plain", "a,b"}
	var b strings.Builder
	for i, name := range evil {
		line, err := json.Marshal(data.NewCall{NativeID: fmt.Sprint(i), From: personA, CallerName: name})
		must(t, err)
		b.Write(line)
		b.WriteByte('\n')
	}
	if c := r.counts("/v1/calls:batch", writer, b.String()); c.Accepted != len(evil) {
		t.Fatalf("%+v", c)
	}
	status, h, raw := r.ask(http.MethodGet, "/v1/calls:export?format=csv", reader, nil)
	if status != http.StatusOK || !strings.HasPrefix(h.Get("Content-Type"), "text/csv") {
		t.Fatalf("%d %s", status, raw)
	}
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	must(t, err)
	if len(rows) != len(evil)+1 || len(rows[0]) != len(csvColumns) {
		t.Fatalf("%d rows", len(rows))
	}
	names := 0
	for _, row := range rows[1:] {
		for i, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("%s begins like a formula: %q", rows[0][i], cell)
			}
			if rows[0][i] == "from_e164" && cell != "'"+personA {
				t.Errorf("from_e164 is %q", cell)
			}
			if rows[0][i] == "caller_name" && (cell == `a"b` || cell == "plain") {
				names++
			}
		}
	}
	if names != 2 {
		t.Errorf("harmless names were changed (%d of 2 found)", names)
	}
}

// Control characters do not come in through intake; the writer does not rely on it.
func TestCSVCells(t *testing.T) {
	for text, want := range map[string]string{
		"": `""`, "x": `"x"`, `"`: `""""`, "=1": `"'=1"`, "\tx": "\"'\tx\"", "\r=1": "\"'\r=1\"", "\n": "\"'\n\"", "\x00=1": `"'=1"`, "a\x00b": `"ab"`,
		"\u00a0+1": "\"'\u00a0+1\"", "1-2": `"1-2"`, "＋1": `"'＋1"`,
	} {
		w := &csvRow{}
		if w.cell(text); string(w.b) != want {
			t.Errorf("%q becomes %s, want %s", text, w.b, want)
		}
	}
}

func TestNDJSONExportHoldsEveryPage(t *testing.T) {
	r := start(t)
	r.counts("/v1/calls:batch", writer, lines(2500))
	status, _, raw := r.ask(http.MethodGet, "/v1/calls:export?format=ndjson", reader, nil)
	ids := map[string]bool{}
	for _, line := range bytes.Split(bytes.TrimSpace(raw), []byte("\n")) {
		var c data.Call
		must(t, json.Unmarshal(line, &c))
		ids[c.ID] = true
	}
	if status != http.StatusOK || len(ids) != 2500 {
		t.Errorf("%d: %d calls, want 2500", status, len(ids))
	}
}

func TestRollups(t *testing.T) {
	r := start(t)
	r.counts("/v1/calls:batch", writer, lines(4)+native("b", "busy", 9)) // the busy one says billsec 55 too, as sent
	var out data.Rollups
	r.get("/v1/rollups?day=2026-03-14", reader, &out)
	var calls int64
	for _, row := range out.Rollups {
		calls += row.Calls
		if row.Day != "2026-03-14" || row.AnswerSeizure < 0 || row.AnswerSeizure > 1 {
			t.Errorf("%+v", row)
		}
	}
	if calls != 5 {
		t.Errorf("rollups count %d calls, want 5", calls)
	}
	if r.get("/v1/rollups?day=2026-03-15", reader, &out); len(out.Rollups) != 0 {
		t.Errorf("another day has %+v", out.Rollups)
	}
	r.get("/v1/rollups", reader, &out)
}

func pageToken(token string) string {
	if token == "" {
		return ""
	}
	return "&page_token=" + url.QueryEscape(token)
}
