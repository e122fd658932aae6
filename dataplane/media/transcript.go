package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Segment is what one speaker said without a break.
type Segment struct {
	Speaker    string  `json:"p,omitempty"` // as the transcriber named them; at most MaxSpeaker bytes
	StartMS    int64   `json:"s"`           // from the beginning of the recording
	EndMS      int64   `json:"e"`
	Text       string  `json:"t"`
	Confidence float64 `json:"c,omitempty"` // 0…1; 0: not said
}

// Transcript is what is known of a transcript. Its words never change.
type Transcript struct {
	ID        string // TR + 32 hex
	Call      string // CA…; "" none
	Recording string // RE…; "" none
	Language  string // BCP 47, such as en-IE; "" not said
	Segments  int
	Speakers  int
	Duration  time.Duration // where the last segment ends
	Created   time.Time
}

// Limits of transcripts.
const (
	MaxSegments = 20_000
	MaxSpeaker  = 64 // bytes
	MaxLanguage = 35 // bytes
)

// transcriptState is the beginning of the body of a transcript's item; its
// filter follows.
type transcriptState struct {
	Recording  string `json:"recording,omitempty"`
	Language   string `json:"language,omitempty"`
	Segments   int    `json:"segments"`
	Speakers   int    `json:"speakers"`
	DurationMS int64  `json:"duration_ms"`
}

func (s *transcriptState) body(f filter) ([]byte, error) {
	head, err := json.Marshal(s)
	return append(append(binary.AppendUvarint(nil, uint64(len(head))), head...), f...), err
}

func readTranscript(item *store.Item) (s transcriptState, f filter, err error) {
	n, size := binary.Uvarint(item.Body)
	if size <= 0 || n > uint64(len(item.Body)-size) {
		return s, nil, errors.New("malformed")
	}
	rest := item.Body[size:]
	return s, filter(rest[n:]), json.Unmarshal(rest[:n], &s)
}

func shownTranscript(item *store.Item, s *transcriptState) Transcript {
	return Transcript{ID: item.ID, Call: item.Call, Recording: s.Recording, Language: s.Language, Segments: s.Segments, Speakers: s.Speakers,
		Duration: time.Duration(s.DurationMS) * time.Millisecond, Created: item.Created}
}

// textID is the item that holds a transcript's words.
func textID(id string) string { return string(store.TranscriptTextItem.IDKind()) + id[2:] }

// PutTranscript keeps a transcript: what is known of it first, which owns it,
// then its words. The same for the same call and recording is the one that is
// there already; then duplicate is true. One whose words a crash kept from
// coming was never acknowledged, and gets them when it is sent again.
func (l *Library) PutTranscript(ctx context.Context, ask Ask, t Transcript, segments []Segment) (out Transcript, duplicate bool, err error) {
	if err := checkSegments(segments); err != nil {
		return out, false, err
	}
	if err := l.checkCall(ctx, ask, t.Call); err != nil {
		return out, false, err
	}
	if t.Recording != "" { // when it may not be looked at now, it is believed
		if _, err := l.Recording(ctx, ask, t.Recording); isReason(err, policy.NotFound) {
			return out, false, err
		}
	}
	permit, err := ask(policy.Ingest, policy.Transcript)
	if err != nil {
		return out, false, err
	}
	text, err := encodeSegments(segments)
	if err != nil {
		return out, false, err
	}
	item := store.Item{Kind: store.TranscriptItem, Call: t.Call}
	if item.ID, err = policy.NewID(item.Kind.IDKind(), l.o.Rand); err != nil {
		return out, false, err
	}
	state, f := summarise(t, segments)
	if item.Body, err = state.body(f); err != nil {
		return out, false, err
	}
	sum := sha256.Sum256(append(text[:len(text):len(text)], t.Recording+"\x00"+t.Language...))
	item.Unique = l.uniqueTag(permit.Tenant(), item.Kind, t.Call, sum[:])
	stored, err := l.o.Store.PutItem(ctx, permit, item, 0)
	var taken *policy.Error
	if errors.As(err, &taken) && taken.Reason == policy.AlreadyExists {
		duplicate = true
		stored, err = l.transcriptAgain(ctx, ask, taken.Metadata["id"])
	}
	if err != nil {
		return out, false, err
	}
	_, err = l.o.Store.PutItem(ctx, permit, store.Item{Kind: store.TranscriptTextItem, ID: textID(stored.ID), Call: t.Call, Body: text}, 0)
	if duplicate && isReason(err, policy.AlreadyExists) {
		err = nil
	}
	if err == nil {
		err = l.stillThere(ctx, ask, t.Call, func() error { return l.DeleteTranscript(ctx, ask, stored.ID) })
	}
	return shownTranscript(&stored, &state), duplicate, err
}

func (l *Library) transcriptAgain(ctx context.Context, ask Ask, id string) (store.Item, error) {
	permit, err := ask(policy.Process, policy.Transcript)
	if err != nil {
		return store.Item{}, err
	}
	return l.o.Store.Item(ctx, permit, store.TranscriptItem, id)
}

// checkSegments names what is wrong without repeating it.
func checkSegments(segments []Segment) error {
	bad := func(message string) error {
		e := policy.Errorf(policy.InvalidArgument, "these are not usable: segments; correct them and send the request again")
		e.Fields = []policy.FieldError{{Field: "segments", Message: message}}
		return e
	}
	if len(segments) == 0 || len(segments) > MaxSegments {
		return bad("must be 1 to 20,000")
	}
	for i := range segments {
		s := &segments[i]
		switch {
		case s.StartMS < 0 || s.EndMS < s.StartMS || s.EndMS > int64(1000*time.Hour/time.Millisecond):
			return bad("have times that are not in order: 0 ≤ start_ms ≤ end_ms")
		case s.Confidence < 0 || s.Confidence > 1:
			return bad("have a confidence that is not 0 to 1")
		case len(s.Speaker) > MaxSpeaker:
			return bad("have a speaker of more than 64 bytes")
		}
	}
	return nil
}

func encodeSegments(segments []Segment) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(segments); err != nil {
		return nil, err
	}
	if b.Len() > store.MaxItem {
		return nil, policy.Errorf(policy.PayloadTooLarge, "a transcript may hold %d bytes", store.MaxItem)
	}
	return b.Bytes(), nil
}

// summarise counts, and gathers the distinct words.
func summarise(t Transcript, segments []Segment) (transcriptState, filter) {
	state := transcriptState{Recording: t.Recording, Language: t.Language, Segments: len(segments)}
	all, speakers := map[string]bool{}, map[string]bool{}
	for i := range segments {
		speakers[segments[i].Speaker] = true
		state.DurationMS = max(state.DurationMS, segments[i].EndMS)
		for _, w := range words(segments[i].Text) {
			all[w] = true
		}
	}
	state.Speakers = len(speakers)
	return state, newFilter(all)
}

var errNoTranscript = policy.Errorf(policy.NotFound, "there is no such transcript")

// Transcript finds one with its words.
func (l *Library) Transcript(ctx context.Context, ask Ask, id string) (Transcript, []Segment, error) {
	permit, err := ask(policy.View, policy.Transcript)
	if err != nil {
		return Transcript{}, nil, err
	}
	item, err := l.o.Store.Item(ctx, permit, store.TranscriptItem, id)
	if isReason(err, policy.NotFound) {
		err = errNoTranscript
	}
	if err != nil {
		return Transcript{}, nil, err
	}
	state, _, err := readTranscript(&item)
	if err != nil {
		return Transcript{}, nil, l.corrupt("transcript", err)
	}
	segments, err := l.segments(ctx, permit, id)
	return shownTranscript(&item, &state), segments, err
}

func (l *Library) segments(ctx context.Context, permit policy.Permit, id string) ([]Segment, error) {
	text, err := l.o.Store.Item(ctx, permit, store.TranscriptTextItem, textID(id))
	if isReason(err, policy.NotFound) {
		return nil, errNoTranscript // it is just being deleted
	}
	if err != nil {
		return nil, err
	}
	var out []Segment
	if err := json.Unmarshal(text.Body, &out); err != nil {
		return nil, l.corrupt("transcript", err)
	}
	return out, nil
}

// Transcripts lists, in order of Created; the token is "" at the end.
func (l *Library) Transcripts(ctx context.Context, ask Ask, q Query) ([]Transcript, string, error) {
	permit, err := ask(policy.View, policy.Transcript)
	if err != nil {
		return nil, "", err
	}
	page, err := l.o.Store.Items(ctx, permit, q.of(store.TranscriptItem))
	if err != nil {
		return nil, "", err
	}
	out := make([]Transcript, 0, len(page.Items))
	for i := range page.Items {
		state, _, err := readTranscript(&page.Items[i])
		if err != nil {
			return nil, "", l.corrupt("transcript", err)
		}
		out = append(out, shownTranscript(&page.Items[i], &state))
	}
	return out, page.NextPageToken, nil
}

// DeleteTranscript destroys a transcript: its words, then what is known of it.
// It wants a permit to erase, and can be repeated.
func (l *Library) DeleteTranscript(ctx context.Context, ask Ask, id string) error {
	return l.destroyTranscript(ctx, ask, id, "delete")
}

// destroyTranscript tells the region's log why: "delete" or "expire".
func (l *Library) destroyTranscript(ctx context.Context, ask Ask, id, why string) error {
	permit, err := ask(policy.Erase, policy.Transcript)
	if err != nil {
		return err
	}
	if !policy.ValidID(store.TranscriptItem.IDKind(), id) {
		return errNoTranscript
	}
	told := l.tell(ctx, permit.Tenant(), "transcript."+why, id)
	err = l.o.Store.DeleteItem(told, permit, store.TranscriptTextItem, textID(id), 0)
	if err != nil && !isReason(err, policy.NotFound) {
		return err
	}
	if err == nil {
		told = ctx // the words were the last that could be read, and their end is told of
	}
	// What is known of words that are gone goes with them: no hold comes in between.
	err = l.o.Store.DeleteItem(store.WithoutHolds(told), permit, store.TranscriptItem, id, 0)
	if isReason(err, policy.NotFound) {
		err = errNoTranscript
	}
	return err
}
