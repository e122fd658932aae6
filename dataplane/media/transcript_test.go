package media_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

func segments(texts ...string) (out []media.Segment) {
	for n, text := range texts {
		out = append(out, media.Segment{Speaker: []string{"agent", "caller"}[n%2], StartMS: int64(n) * 1000, EndMS: int64(n)*1000 + 900, Text: text, Confidence: 0.9})
	}
	return out
}

func (f *fixture) transcribe(tenant policy.TenantID, call string, texts ...string) media.Transcript {
	f.t.Helper()
	f.clock.Advance(time.Millisecond) // lists are in order of time
	t, duplicate, err := f.media.PutTranscript(context.Background(), f.ask(tenant), media.Transcript{Call: call, Language: "en-IE"}, segments(texts...))
	f.must(err)
	if duplicate {
		f.t.Fatal("a new transcript is a duplicate")
	}
	return t
}

// find follows all pages of a search and lists the ids.
func (f *fixture) find(tenant policy.TenantID, query string, pageSize int) (ids []string) {
	f.t.Helper()
	q := media.Query{PageSize: pageSize}
	for {
		found, next, err := f.media.Search(context.Background(), f.ask(tenant), query, q)
		f.must(err)
		for _, m := range found {
			ids = append(ids, m.ID)
		}
		if q.PageToken = next; next == "" {
			return ids
		}
	}
}

func TestTranscriptsAreKept(t *testing.T) {
	f := newFixture(t)
	ctx, ask := context.Background(), f.ask(storetest.TenantA)
	call := f.call(storetest.TenantA, 1)
	said := segments("Good morning, this is Aoife.", "Hello <there> & goodbye")
	put := media.Transcript{Call: call, Language: "en-IE"}
	first, duplicate, err := f.media.PutTranscript(ctx, ask, put, said)
	if err != nil || duplicate || first.Segments != 2 || first.Speakers != 2 || first.Duration != 1900*time.Millisecond {
		t.Fatalf("%+v, %t, %v", first, duplicate, err)
	}
	again, duplicate, err := f.media.PutTranscript(ctx, ask, put, said)
	if err != nil || !duplicate || again.ID != first.ID {
		t.Errorf("again: %+v, %t, %v", again, duplicate, err)
	}
	f.close()
	f.open()
	got, words, err := f.media.Transcript(ctx, ask, first.ID)
	if err != nil || got != first || !slices.Equal(words, said) {
		t.Errorf("read %+v %+v, %v", got, words, err)
	}
	if _, ids, err := f.media.OfCall(ctx, ask, call); err != nil || !slices.Equal(ids, []string{first.ID}) {
		t.Errorf("of the call: %v, %v", ids, err)
	}
	_, _, err = f.media.Transcript(ctx, f.ask(storetest.TenantB), first.ID)
	wantReason(t, err, policy.NotFound)
	wantReason(t, f.media.DeleteTranscript(ctx, f.ask(storetest.TenantB), first.ID), policy.NotFound)
	// Its words did not come before a crash: sent again, they do.
	f.must(f.store.DeleteItem(ctx, storetest.PermitOf(t, storetest.TenantA, policy.Erase, policy.Transcript), store.TranscriptTextItem, "TT"+first.ID[2:], 0))
	if again, duplicate, err := f.media.PutTranscript(ctx, ask, put, said); err != nil || !duplicate || again.ID != first.ID {
		t.Errorf("sent again: %+v, %t, %v", again, duplicate, err)
	}
	if _, words, err := f.media.Transcript(ctx, ask, first.ID); err != nil || !slices.Equal(words, said) {
		t.Errorf("read %+v, %v", words, err)
	}
	f.must(f.media.DeleteTranscript(ctx, ask, first.ID))
	_, _, err = f.media.Transcript(ctx, ask, first.ID)
	wantReason(t, err, policy.NotFound)
	for _, bad := range [][]media.Segment{nil, {{StartMS: 5, EndMS: 4}}, {{StartMS: -1}}, {{Confidence: 1.1}}, {{Speaker: strings.Repeat("x", 65)}}, make([]media.Segment, media.MaxSegments+1)} {
		_, _, err := f.media.PutTranscript(ctx, ask, media.Transcript{}, bad)
		wantReason(t, err, policy.InvalidArgument)
	}
	for _, bad := range []media.Transcript{{Call: "CA" + strings.Repeat("0", 32)}, {Recording: "RE" + strings.Repeat("0", 32)}} {
		_, _, err := f.media.PutTranscript(ctx, ask, bad, said)
		wantReason(t, err, policy.NotFound)
	}
}

// A search finds words and phrases whatever their case and accents, in every
// script, all of them or nothing, and only of this tenant.
func TestSearch(t *testing.T) {
	f := newFixture(t)
	a := f.transcribe(storetest.TenantA, "", "I'd like to cancel my broadband, please", "Is that the café account?")
	b := f.transcribe(storetest.TenantA, "", "My broadband is slow. Please help", "We can't cancel that")
	c := f.transcribe(storetest.TenantA, "", "料金を確認します", "Straße ÉCLAIR 12345")
	f.transcribe(storetest.TenantB, "", "cancel broadband please", "料金 éclair")
	for query, want := range map[string][]string{
		"broadband":                          {a.ID, b.ID},
		"BROADBAND cancel":                   {a.ID, b.ID},
		`"cancel my broadband"`:              {a.ID},
		`"cancel that" broadband`:            {b.ID},
		`"broadband please"`:                 {a.ID},
		`"please is"`:                        nil, // of two segments
		"cafe":                               {a.ID},
		"CAFÉ account":                       {a.ID},
		"Id":                                 {a.ID},
		"cant":                               {b.ID},
		"料金":                                 {c.ID},
		`"料金"`:                               {c.ID},
		`"金料"`:                               nil,
		"eclair":                             {c.ID},
		"12345":                              {c.ID},
		"1234":                               nil,
		"broad":                              nil,
		"broadband absent":                   nil,
		`"cancel my broadband" "that the"`:   {a.ID},
		`"cancel my broadband" "can't that"`: nil,
	} {
		for _, size := range []int{1, 2, 100} {
			if got := f.find(storetest.TenantA, query, size); !slices.Equal(got, want) {
				t.Errorf("%s, pages of %d: got %v, want %v", query, size, got, want)
			}
		}
	}
	found, _, err := f.media.Search(context.Background(), f.ask(storetest.TenantA), "cancel", media.Query{})
	f.must(err)
	if s := found[1].Segments; len(s) != 1 || s[0].Number != 1 || s[0].Speaker != "caller" || s[0].StartMS != 1000 || s[0].Text != "We can't cancel that" {
		t.Errorf("matched %+v", s)
	}
	for _, query := range []string{"", "  ", `""`, "?!", strings.Repeat("x", media.MaxQuery+1), strings.Repeat("a ", 17)} {
		_, _, err := f.media.Search(context.Background(), f.ask(storetest.TenantA), query, media.Query{})
		wantReason(t, err, policy.InvalidArgument)
	}
	f.must(f.media.DeleteTranscript(context.Background(), f.ask(storetest.TenantA), a.ID))
	if got := f.find(storetest.TenantA, "broadband", 100); !slices.Equal(got, []string{b.ID}) {
		t.Errorf("after a deletion: %v", got)
	}
}

// A search of many transcripts goes on page by page and finds each once.
func TestSearchOfMany(t *testing.T) {
	f := newFixture(t)
	var want []string
	for n := range 450 {
		word := "nothing"
		if n%3 == 0 {
			word = "needle"
		}
		r := f.transcribe(storetest.TenantA, "", fmt.Sprintf("call %d with %s in it", n, word))
		if n%3 == 0 {
			want = append(want, r.ID)
		}
	}
	for _, size := range []int{7, 1000} {
		if got := f.find(storetest.TenantA, "needle", size); len(got) != len(want) || !slices.Equal(sorted(got), sorted(want)) {
			t.Errorf("pages of %d: found %d of %d", size, len(got), len(want))
		}
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// TestINV01_TranscriptsAreSealed: no word, and no hash of a word, is in a file.
func TestINV01_TranscriptsAreSealed(t *testing.T) {
	f := newFixture(t)
	f.transcribe(storetest.TenantA, "", "the canarybird sang", "of Aoife")
	hash := uint32(2166136261)
	for _, c := range []byte("canarybird") {
		hash = (hash ^ uint32(c)) * 16777619
	}
	if hits := grep(t, f.dir, "canarybird", "Aoife", string([]byte{byte(hash >> 24), byte(hash >> 16), byte(hash >> 8), byte(hash)})); hits != nil {
		t.Errorf("in clear: %v", hits)
	}
}

// BenchmarkSearch looks for a word that nobody said in transcripts of 40 words.
func BenchmarkSearch(b *testing.B) {
	f := newFixture(b)
	const n = 2000
	for i := range n {
		f.transcribe(storetest.TenantA, "", fmt.Sprintf("call %d %s", i, strings.Repeat(fmt.Sprintf("word%d other ", i), 20)))
	}
	for b.Loop() {
		if got := f.find(storetest.TenantA, "absent", 100); got != nil {
			b.Fatal(got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/transcript")
}
