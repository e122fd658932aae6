package media

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Recording is what is known of a recording. Its sound never changes.
type Recording struct {
	ID       string // RE + 32 hex
	Call     string // CA…; "" none
	Format   Format
	Size     int64         // bytes
	SHA256   string        // of the whole file, hex
	Channels int           // 0 when the file does not say
	Duration time.Duration // 0 when the file does not say
	Created  time.Time     // when its upload was finished
}

// recordingState is the body of a recording's item.
type recordingState struct {
	Format     Format `json:"format"`
	Size       int64  `json:"size"`
	SHA256     []byte `json:"sha256"`
	Channels   int    `json:"channels"`
	DurationMS int64  `json:"duration_ms"`
	Parts      []part `json:"parts"`
}

func shownRecording(item *store.Item, s *recordingState) Recording {
	return Recording{ID: item.ID, Call: item.Call, Format: s.Format, Size: s.Size, SHA256: hex.EncodeToString(s.SHA256),
		Channels: s.Channels, Duration: time.Duration(s.DurationMS) * time.Millisecond, Created: item.Created}
}

// Finish makes a recording of an upload that is complete. The same content for
// the same call is the recording that is there already: then the upload ends,
// and duplicate is true.
func (l *Library) Finish(ctx context.Context, ask Ask, id string) (r Recording, duplicate bool, err error) {
	leave, err := l.enter(id)
	if err != nil {
		return Recording{}, false, err
	}
	defer leave()
	u, err := l.load(ctx, ask, id)
	if err != nil {
		return Recording{}, false, err
	}
	if u.state.Offset == 0 || u.state.Length >= 0 && u.state.Length != u.state.Offset {
		return Recording{}, false, policy.Errorf(policy.InvalidArgument, "the recording is not complete: %d bytes have come", u.state.Offset)
	}
	permit, err := ask(policy.Ingest, policy.Recording)
	if err != nil {
		return Recording{}, false, err
	}
	state, err := l.finished(ctx, permit.Tenant(), u)
	if err != nil {
		return Recording{}, false, err
	}
	item := store.Item{Kind: store.RecordingItem, ID: recordingID(id), Call: u.item.Call, Keys: u.item.Keys,
		Unique: l.uniqueTag(permit.Tenant(), store.RecordingItem, u.item.Call, state.SHA256)}
	if item.Body, err = json.Marshal(state); err != nil {
		return Recording{}, false, err
	}
	item, err = l.o.Store.ConvertItem(ctx, permit, store.UploadItem, id, u.item.Version, item)
	var taken *policy.Error
	if errors.As(err, &taken) && taken.Reason == policy.AlreadyExists {
		return l.finishDuplicate(ctx, ask, u, taken.Metadata["id"])
	}
	if err != nil {
		return Recording{}, false, err
	}
	keep := map[string]bool{}
	for _, p := range state.Parts {
		keep[folder(permit.Tenant(), item.ID)+p.Name] = true
	}
	if _, err := l.dropBlobs(ctx, folder(permit.Tenant(), item.ID), keep); err != nil { // parts of requests that a crash cut off
		l.log.Warn("parts of an upload that nothing names are left; they are deleted later", "cause", err)
	}
	return shownRecording(&item, &state), false, nil
}

// finished is what is known of a complete upload.
func (l *Library) finished(ctx context.Context, t policy.TenantID, u *upload) (recordingState, error) {
	state := recordingState{Format: u.state.Format, Size: u.state.Offset, Parts: u.state.Parts}
	sum := sha256.New()
	if err := sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(u.state.Hash); err != nil {
		return state, l.corrupt("upload", err)
	}
	state.SHA256 = sum.Sum(nil)
	r, err := l.reader(ctx, t, store.RecordingItem, recordingID(u.item.ID), u.item.Keys[0], u.state.Parts)
	if err != nil {
		return state, err
	}
	defer r.Close()
	head, err := readSome(r, 0, frameSize)
	if err != nil {
		return state, err
	}
	tail, err := readSome(r, max(0, state.Size-frameSize), frameSize)
	if err != nil {
		return state, err
	}
	s := describe(state.Format, head, tail, state.Size)
	state.Channels, state.DurationMS = s.channels, s.duration.Milliseconds()
	return state, nil
}

func readSome(r *Reader, at int64, n int) ([]byte, error) {
	if _, err := r.Seek(at, io.SeekStart); err != nil {
		return nil, err
	}
	out := make([]byte, n)
	got, err := io.ReadFull(r, out)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return out[:got], err
}

func (l *Library) finishDuplicate(ctx context.Context, ask Ask, u *upload, id string) (Recording, bool, error) {
	permit, err := ask(policy.Process, policy.Recording)
	if err != nil {
		return Recording{}, false, err
	}
	item, state, err := l.recordingItem(ctx, permit, id)
	if err != nil {
		return Recording{}, false, err
	}
	erase, err := ask(policy.Erase, policy.Recording)
	if err != nil {
		return Recording{}, false, err
	}
	if err := l.o.Store.DeleteItem(ctx, erase, store.UploadItem, u.item.ID, 0); err != nil {
		return Recording{}, false, err
	}
	if _, err := l.dropBlobs(ctx, folder(permit.Tenant(), recordingID(u.item.ID)), nil); err != nil {
		l.log.Warn("the blobs of a duplicate are left; they are deleted later", "cause", err)
	}
	return shownRecording(&item, &state), true, nil
}

func (l *Library) recordingItem(ctx context.Context, permit policy.Permit, id string) (store.Item, recordingState, error) {
	var state recordingState
	item, err := l.o.Store.Item(ctx, permit, store.RecordingItem, id)
	if isReason(err, policy.NotFound) {
		return item, state, errNoRecording
	}
	if err != nil {
		return item, state, err
	}
	if err := json.Unmarshal(item.Body, &state); err != nil || len(item.Keys) != 1 {
		return item, state, l.corrupt("recording", err)
	}
	return item, state, nil
}

var errNoRecording = policy.Errorf(policy.NotFound, "there is no such recording")

// Recording finds what is known of one.
func (l *Library) Recording(ctx context.Context, ask Ask, id string) (Recording, error) {
	permit, err := ask(policy.View, policy.Recording)
	if err != nil {
		return Recording{}, err
	}
	item, state, err := l.recordingItem(ctx, permit, id)
	if err != nil {
		return Recording{}, err
	}
	return shownRecording(&item, &state), nil
}

// Query selects recordings or transcripts, created in [Start, End).
type Query struct {
	Call       string // only those of this call; "" all
	Start, End time.Time
	Newest     bool // the latest first
	PageSize   int
	PageToken  string
}

// Recordings lists, in order of Created or the other way round; the token is "" at the end.
func (l *Library) Recordings(ctx context.Context, ask Ask, q Query) ([]Recording, string, error) {
	permit, err := ask(policy.View, policy.Recording)
	if err != nil {
		return nil, "", err
	}
	page, err := l.o.Store.Items(ctx, permit, q.of(store.RecordingItem))
	if err != nil {
		return nil, "", err
	}
	out := make([]Recording, 0, len(page.Items))
	for i := range page.Items {
		var state recordingState
		if err := json.Unmarshal(page.Items[i].Body, &state); err != nil {
			return nil, "", l.corrupt("recording", err)
		}
		out = append(out, shownRecording(&page.Items[i], &state))
	}
	return out, page.NextPageToken, nil
}

// Open opens a recording's sound. The caller closes the reader.
func (l *Library) Open(ctx context.Context, ask Ask, id string) (Recording, *Reader, error) {
	permit, err := ask(policy.View, policy.Recording)
	if err != nil {
		return Recording{}, nil, err
	}
	item, state, err := l.recordingItem(ctx, permit, id)
	if err != nil {
		return Recording{}, nil, err
	}
	r, err := l.reader(ctx, permit.Tenant(), store.RecordingItem, id, item.Keys[0], state.Parts)
	if isReason(err, policy.Destroyed) {
		err = errNoRecording
	}
	return shownRecording(&item, &state), r, err
}

// Delete destroys a recording: first its key, from when on no copy of it opens,
// then its blobs. It wants a permit to erase.
func (l *Library) Delete(ctx context.Context, ask Ask, id string) error {
	return l.destroyRecording(ctx, ask, id, "delete")
}

// destroyRecording tells the region's log why: "delete" or "expire".
func (l *Library) destroyRecording(ctx context.Context, ask Ask, id, why string) error {
	permit, err := ask(policy.Erase, policy.Recording)
	if err != nil {
		return err
	}
	err = l.o.Store.DeleteItem(l.tell(ctx, permit.Tenant(), "recording."+why, id), permit, store.RecordingItem, id, 0)
	if isReason(err, policy.NotFound) {
		return errNoRecording
	}
	if err != nil {
		return err
	}
	if _, err := l.dropBlobs(ctx, folder(permit.Tenant(), id), nil); err != nil {
		l.log.Warn("blobs whose key is destroyed are left; they are deleted later", "cause", err)
	}
	return nil
}

// corrupt reports bytes that are not what was written: never served (INV34).
func (l *Library) corrupt(what string, cause error) error {
	l.o.OnCorrupt("media")
	l.log.Error("stored media is not what was written", "what", what, "cause", cause)
	return &policy.Error{Reason: policy.Internal, Cause: cause,
		Message: "a stored " + what + " is not what was written; it is not served; restore this region's media from a backup"}
}
