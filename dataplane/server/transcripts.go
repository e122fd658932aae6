package server

import (
	"context"
	"net/http"
	"regexp"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/media"
	"github.com/domicile-io/domicile/policy"
)

// language is the form of a BCP 47 tag; whether it exists is not looked at.
var language = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

// createTranscript stores a transcript. It is durable when this answers 201.
func (x *exchange) createTranscript() error {
	p := newParams(x.r.URL)
	if err := p.done(); err != nil {
		return err
	}
	lib, err := x.media()
	if err != nil {
		return err
	}
	before, err := x.permit(policy.Ingest, policy.Transcript)
	if err != nil {
		return err
	}
	var in data.NewTranscript
	if err := x.decode(&in); err != nil {
		return err
	}
	if in.CallID != "" && !policy.ValidID(policy.KindCall, in.CallID) {
		p.fail("call_id", "is not CA and 32 hex digits")
	}
	if in.RecordingID != "" && !policy.ValidID(policy.KindRecording, in.RecordingID) {
		p.fail("recording_id", "is not RE and 32 hex digits")
	}
	if in.Language != "" && (len(in.Language) > media.MaxLanguage || !language.MatchString(in.Language)) {
		p.fail("language", "is not a language tag such as en-IE")
	}
	if err := invalid(p.bad); err != nil {
		return err
	}
	segments := make([]media.Segment, 0, len(in.Segments))
	for _, s := range in.Segments {
		segments = append(segments, media.Segment(s))
	}
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	t, duplicate, err := lib.PutTranscript(ctx, x.permit, media.Transcript{Call: in.CallID, Recording: in.RecordingID, Language: in.Language}, segments)
	if err != nil {
		return err
	}
	if err := x.stillHome(before); err != nil {
		return err
	}
	out := transcriptForm(t, nil, x.s.o.Region)
	out.State = "stored"
	if duplicate {
		out.State = "duplicate"
	}
	x.w.Header().Set("Location", "/v1/transcripts/"+t.ID)
	return x.answer(http.StatusCreated, out)
}

func transcriptForm(t media.Transcript, segments []media.Segment, region policy.RegionID) data.Transcript {
	out := data.Transcript{ID: t.ID, CallID: t.Call, RecordingID: t.Recording, Language: t.Language, SegmentCount: t.Segments, SpeakerCount: t.Speakers,
		DurationMS: t.Duration.Milliseconds(), CreateTime: t.Created.UTC(), Region: string(region)}
	for _, s := range segments {
		out.Segments = append(out.Segments, data.Segment(s))
	}
	return out
}

// listTranscripts answers the transcripts of a call, or of all calls.
func (x *exchange) listTranscripts() error {
	q, err := x.mediaQuery()
	if err != nil {
		return err
	}
	lib, err := x.media()
	if err != nil {
		return err
	}
	list, next, err := lib.Transcripts(x.r.Context(), x.permit, q)
	if err != nil {
		return err
	}
	out := data.Transcripts{Transcripts: make([]data.Transcript, 0, len(list)), NextPageToken: next}
	for _, t := range list {
		out.Transcripts = append(out.Transcripts, transcriptForm(t, nil, x.s.o.Region))
	}
	return x.answer(http.StatusOK, out)
}

// transcript answers one transcript.
func (x *exchange) transcript() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	lib, err := x.media()
	if err != nil {
		return err
	}
	t, segments, err := lib.Transcript(x.r.Context(), x.permit, x.r.PathValue("id"))
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, transcriptForm(t, segments, x.s.o.Region))
}

// searchTranscripts finds words and phrases; they stand in the body, because
// URLs are logged by whatever stands in between.
func (x *exchange) searchTranscripts() error {
	p := newParams(x.r.URL)
	if err := p.done(); err != nil {
		return err
	}
	lib, err := x.media()
	if err != nil {
		return err
	}
	var in data.TranscriptSearch
	if err := x.decode(&in); err != nil {
		return err
	}
	q := media.Query{Call: in.CallID, End: endOfTime, PageSize: in.PageSize, PageToken: in.PageToken}
	if in.Start != nil {
		q.Start = in.Start.UTC()
	}
	if in.End != nil {
		q.End = in.End.UTC()
	}
	if in.CallID != "" && !policy.ValidID(policy.KindCall, in.CallID) {
		p.fail("call_id", "is not CA and 32 hex digits")
	}
	if in.Query == "" {
		p.fail("query", "is required")
	}
	if err := invalid(p.bad); err != nil {
		return err
	}
	found, next, err := lib.Search(x.r.Context(), x.permit, in.Query, q)
	if err != nil {
		return err
	}
	out := data.TranscriptMatches{Results: make([]data.TranscriptMatch, 0, len(found)), NextPageToken: next}
	for _, m := range found {
		r := data.TranscriptMatch{Transcript: transcriptForm(m.Transcript, nil, x.s.o.Region)}
		for _, s := range m.Segments {
			r.Matches = append(r.Matches, data.SegmentMatch{Number: s.Number, Segment: data.Segment(s.Segment)})
		}
		out.Results = append(out.Results, r)
	}
	return x.answer(http.StatusOK, out)
}

// deleteTranscript destroys one transcript and its key.
func (x *exchange) deleteTranscript() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	lib, err := x.media()
	if err != nil {
		return err
	}
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	id := x.r.PathValue("id")
	err = x.destroy(ctx, func() (string, error) {
		t, _, err := lib.Transcript(ctx, x.permit, id)
		return t.Call, err
	}, func(ctx context.Context) error { return lib.DeleteTranscript(ctx, x.permit, id) })
	if err != nil {
		return err
	}
	return x.nothingMore()
}
