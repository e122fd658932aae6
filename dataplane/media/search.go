package media

import (
	"context"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// There is no index to search in: each transcript carries the hashes of its own
// words, sealed with it under its own key. So nothing is left of a transcript
// when its keys are destroyed, no index has to be made anew for it, and a stolen
// disk does not show which transcripts share a word (docs/adr/0041). A search
// opens these and reads the words only of what may match.

// Bounds of one page of a search.
const (
	maxSearched = 20_000 // transcripts whose words' hashes are looked at
	maxRead     = 200    // of these, whose words are read
	searchStep  = 100    // looked at together
	maxMatches  = 20     // segments shown of one transcript
	MaxQuery    = 1024   // bytes of a query
	maxPhrases  = 16
)

// Match is a transcript that a search found, with the segments (at most 20)
// that hold a word or phrase of the query.
type Match struct {
	Transcript
	Segments []MatchedSegment
}

// MatchedSegment is one of them, and its place.
type MatchedSegment struct {
	Number int // from 0
	Segment
}

// Search finds transcripts that hold every word and every phrase ("in quotes")
// of a query, in order of Created. A page may be short, even empty, and have a
// token: then more transcripts remain to be looked at.
func (l *Library) Search(ctx context.Context, ask Ask, query string, q Query) ([]Match, string, error) {
	wanted := parseQuery(query)
	if len(query) > MaxQuery || len(wanted) == 0 || len(wanted) > maxPhrases {
		return nil, "", policy.Errorf(policy.InvalidArgument, "a query has 1 to %d words or quoted phrases, and at most %d bytes", maxPhrases, MaxQuery)
	}
	if q.PageSize == 0 {
		q.PageSize = store.DefaultPage
	}
	if q.PageSize < 0 || q.PageSize > store.MaxPageSize {
		return nil, "", policy.Errorf(policy.InvalidArgument, "a page has 1 to %d transcripts", store.MaxPageSize)
	}
	var out []Match
	looked, read := 0, 0
	for {
		permit, err := ask(policy.View, policy.Transcript)
		if err != nil {
			return nil, "", err
		}
		step := q.of(store.TranscriptItem)
		step.PageSize = min(searchStep, q.PageSize-len(out), maxRead-read)
		page, err := l.o.Store.Items(ctx, permit, step)
		if err != nil {
			return nil, "", err
		}
		for i := range page.Items {
			m, opened, err := l.match(ctx, permit, &page.Items[i], wanted)
			if err != nil {
				return nil, "", err
			}
			if opened {
				read++
			}
			if len(m.Segments) > 0 {
				out = append(out, m)
			}
		}
		looked += len(page.Items)
		q.PageToken = page.NextPageToken
		if q.PageToken == "" || len(out) >= q.PageSize || looked >= maxSearched || read >= maxRead {
			return out, q.PageToken, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
	}
}

// match looks at one transcript; opened says that its words had to be read.
func (l *Library) match(ctx context.Context, permit policy.Permit, item *store.Item, wanted []phrase) (m Match, opened bool, err error) {
	state, f, err := readTranscript(item)
	if err != nil {
		return m, false, l.corrupt("transcript", err)
	}
	for _, p := range wanted {
		for _, w := range p {
			if !f.has(w) {
				return m, false, nil
			}
		}
	}
	segments, err := l.segments(ctx, permit, item.ID)
	if isReason(err, policy.NotFound) {
		return m, true, nil // deleted meanwhile
	}
	if err != nil {
		return m, true, err
	}
	m.Transcript = shownTranscript(item, &state)
	found := make([]bool, len(wanted))
	for n := range segments {
		text, hit := words(segments[n].Text), false
		for i, p := range wanted {
			if p.within(text) {
				found[i], hit = true, true
			}
		}
		if hit && len(m.Segments) < maxMatches {
			m.Segments = append(m.Segments, MatchedSegment{Number: n, Segment: segments[n]})
		}
	}
	for _, ok := range found {
		if !ok {
			return Match{}, true, nil
		}
	}
	return m, true, nil
}

// of is the query for items of a kind.
func (q Query) of(kind store.ItemKind) store.ItemQuery {
	return store.ItemQuery{Kind: kind, Call: q.Call, Start: q.Start, End: q.End, Newest: q.Newest, PageSize: q.PageSize, PageToken: q.PageToken}
}
