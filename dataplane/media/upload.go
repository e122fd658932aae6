package media

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Upload is a recording that is still arriving.
type Upload struct {
	ID      string // UP + 32 hex; the recording has the same digits
	Call    string
	Length  int64 // bytes in all; -1 when it is not known yet
	Offset  int64 // bytes that are durable
	Expires time.Time

	Recording string // what it has become; "" while it is an upload
}

// Done reports whether everything has arrived.
func (u Upload) Done() bool { return u.Length == u.Offset }

// part is one blob of a recording.
type part struct {
	Name string `json:"n"`
	Size int64  `json:"s"` // plain bytes
}

// uploadState is the body of an upload's item.
type uploadState struct {
	Length  int64     `json:"length"`
	Offset  int64     `json:"offset"`
	Hash    []byte    `json:"hash"` // state of SHA-256 over what arrived
	Format  Format    `json:"format"`
	Expires time.Time `json:"expires"`
	Parts   []part    `json:"parts"`
}

// upload is an upload with what it takes to go on with it.
type upload struct {
	item  store.Item
	state uploadState
}

func (u *upload) shown() Upload {
	return Upload{ID: u.item.ID, Call: u.item.Call, Length: u.state.Length, Offset: u.state.Offset, Expires: u.state.Expires}
}

// recordingID is the recording that an upload becomes.
func recordingID(uploadID string) string { return string(policy.KindRecording) + uploadID[2:] }

// Begin makes an upload of length bytes (-1: not known yet) for a call ("": none).
func (l *Library) Begin(ctx context.Context, ask Ask, call string, length int64) (Upload, error) {
	switch {
	case length > MaxRecording:
		return Upload{}, tooLarge()
	case length == 0:
		return Upload{}, policy.Errorf(policy.InvalidArgument, "a recording holds at least one byte")
	}
	permit, err := ask(policy.Ingest, policy.Recording)
	if err != nil {
		return Upload{}, err
	}
	if err := l.checkCall(ctx, ask, call); err != nil {
		return Upload{}, err
	}
	id, err := policy.NewID(store.UploadItem.IDKind(), l.o.Rand)
	if err != nil {
		return Upload{}, err
	}
	key, _, err := l.o.Keys.Draw()
	if err != nil {
		return Upload{}, err
	}
	u := &upload{item: store.Item{Kind: store.UploadItem, ID: id, Call: call, Keys: []store.KeyID{key}},
		state: uploadState{Length: length, Expires: l.o.Now().UTC().Add(uploadLife).Truncate(time.Second)}}
	if u.state.Hash, err = sha256.New().(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
		return Upload{}, err
	}
	if err := l.save(ctx, permit, u); err != nil {
		return Upload{}, errors.Join(err, l.o.Keys.Destroy([]store.KeyID{key}))
	}
	if err := l.stillThere(ctx, ask, call, func() error { return l.Abort(ctx, ask, id) }); err != nil {
		return Upload{}, err
	}
	return u.shown(), nil
}

func tooLarge() error {
	return policy.Errorf(policy.PayloadTooLarge, "a recording may hold %d bytes", int64(MaxRecording))
}

// save makes an upload's state durable.
func (l *Library) save(ctx context.Context, permit policy.Permit, u *upload) (err error) {
	if u.item.Body, err = json.Marshal(u.state); err != nil {
		return err
	}
	u.item, err = l.o.Store.PutItem(ctx, permit, u.item, u.item.Version)
	return err
}

// load finds an upload; one that has expired is gone.
func (l *Library) load(ctx context.Context, ask Ask, id string) (*upload, error) {
	permit, err := ask(policy.Process, policy.Recording)
	if err != nil {
		return nil, err
	}
	item, err := l.o.Store.Item(ctx, permit, store.UploadItem, id)
	if err != nil {
		if isReason(err, policy.NotFound) {
			err = errNoUpload
		}
		return nil, err
	}
	u := &upload{item: item}
	if err := json.Unmarshal(item.Body, &u.state); err != nil || len(item.Keys) != 1 {
		return nil, l.corrupt("upload", err)
	}
	if !l.o.Now().Before(u.state.Expires) {
		return nil, errNoUpload
	}
	return u, nil
}

var errNoUpload = policy.Errorf(policy.NotFound, "there is no such upload: it was never begun, has ended, or has expired; begin another")

// Upload tells how far an upload is, also when it has become a recording.
func (l *Library) Upload(ctx context.Context, ask Ask, id string) (Upload, error) {
	u, err := l.load(ctx, ask, id)
	if isReason(err, policy.NotFound) && policy.ValidID(store.UploadItem.IDKind(), id) {
		return l.became(ctx, ask, id)
	}
	if err != nil {
		return Upload{}, err
	}
	return u.shown(), nil
}

// became tells of an upload that is a recording now.
func (l *Library) became(ctx context.Context, ask Ask, id string) (Upload, error) {
	permit, err := ask(policy.Process, policy.Recording)
	if err != nil {
		return Upload{}, err
	}
	item, state, err := l.recordingItem(ctx, permit, recordingID(id))
	if isReason(err, policy.NotFound) {
		err = errNoUpload
	}
	if err != nil {
		return Upload{}, err
	}
	return Upload{ID: id, Call: item.Call, Length: state.Size, Offset: state.Size, Recording: item.ID}, nil
}

// Announce says how long an upload that began without a length will be.
func (l *Library) Announce(ctx context.Context, ask Ask, id string, length int64) (Upload, error) {
	leave, err := l.enter(id)
	if err != nil {
		return Upload{}, err
	}
	defer leave()
	u, err := l.load(ctx, ask, id)
	if err != nil {
		return Upload{}, err
	}
	switch {
	case u.state.Length == length:
		return u.shown(), nil
	case u.state.Length >= 0 || length < u.state.Offset:
		return u.shown(), policy.Errorf(policy.InvalidArgument, "the length of an upload is said once, and is not less than what has arrived")
	case length > MaxRecording:
		return u.shown(), tooLarge()
	}
	permit, err := ask(policy.Ingest, policy.Recording)
	if err != nil {
		return u.shown(), err
	}
	u.state.Length = length
	return u.shown(), l.save(ctx, permit, u)
}

// enter takes an upload for one request of this process. Between processes the
// item's version decides.
func (l *Library) enter(id string) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[id] {
		return nil, policy.Errorf(policy.AlreadyExists, "another request is writing this upload; ask for its offset and go on from there")
	}
	l.busy[id] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.busy, id)
	}, nil
}

// Append adds what r yields to an upload, which must be at offset. What arrived
// is kept even when r breaks off: the upload that is answered beside an error
// says how far it is.
func (l *Library) Append(ctx context.Context, ask Ask, id string, offset int64, r io.Reader) (Upload, error) {
	leave, err := l.enter(id)
	if err != nil {
		return Upload{}, err
	}
	defer leave()
	u, err := l.load(ctx, ask, id)
	if err != nil {
		return Upload{}, err
	}
	if u.state.Offset != offset {
		return u.shown(), policy.Errorf(policy.AlreadyExists, "the upload is at offset %d; go on from there", u.state.Offset)
	}
	err = l.appendParts(ctx, ask, u, bufio.NewReaderSize(r, sniffBytes))
	return u.shown(), err
}

func (l *Library) appendParts(ctx context.Context, ask Ask, u *upload, r *bufio.Reader) error {
	if u.state.Offset == 0 {
		if err := u.recognise(r); err != nil {
			return err
		}
	}
	sum := sha256.New()
	if err := sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(u.state.Hash); err != nil {
		return l.corrupt("upload", err)
	}
	most := int64(MaxRecording)
	if u.state.Length >= 0 {
		most = u.state.Length
	}
	for {
		size, err := l.appendPart(ctx, ask, u, io.LimitReader(r, min(l.o.PartSize, most-u.state.Offset)), sum)
		if err != nil {
			return err
		}
		if u.state.Offset == most {
			if _, err := r.Peek(1); err == nil {
				return policy.Errorf(policy.PayloadTooLarge, "more bytes came than the upload is long")
			}
			return nil
		}
		if size < l.o.PartSize {
			return nil
		}
	}
}

// recognise tells the format from the first bytes.
func (u *upload) recognise(r *bufio.Reader) error {
	head, err := r.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) && len(head) == 0 {
		return err
	}
	if len(head) == 0 {
		return nil // nothing yet
	}
	u.state.Format = sniff(head)
	if u.state.Format == "" && len(head) < minFirst && u.state.Length != int64(len(head)) {
		return policy.Errorf(policy.InvalidArgument, "the first part of a recording must hold %d bytes, so that its format can be told", minFirst)
	}
	if u.state.Format == "" {
		return unsupported()
	}
	return nil
}

// appendPart seals one part into a blob and notes it. It answers how many plain
// bytes came; an error of the source comes after what it yielded was kept.
func (l *Library) appendPart(ctx context.Context, ask Ask, u *upload, r io.Reader, sum hash.Hash) (int64, error) {
	permit, err := ask(policy.Ingest, policy.Recording)
	if err != nil {
		return 0, err
	}
	name, err := l.randomName()
	if err != nil {
		return 0, err
	}
	sealer, err := l.sealer(permit.Tenant(), store.RecordingItem, recordingID(u.item.ID), u.item.Keys[0], name)
	if err != nil {
		return 0, err
	}
	s := newSealing(sealer, r, sum)
	if !s.begin() {
		return 0, s.broken()
	}
	if len(u.state.Parts) >= maxParts {
		return 0, policy.Errorf(policy.PayloadTooLarge, "an upload may have %d parts; begin again and send larger ones", maxParts)
	}
	// The blob outlives a client that goes away: what it sent is kept.
	info, err := l.o.Blobs.Create(context.WithoutCancel(ctx), folder(permit.Tenant(), recordingID(u.item.ID))+name, s)
	if err != nil {
		return 0, err
	}
	if info.Size != sealedSize(s.size) {
		return 0, policy.Errorf(policy.Internal, "the blob store kept %d bytes of %d", info.Size, sealedSize(s.size))
	}
	u.state.Parts = append(u.state.Parts, part{Name: name, Size: s.size})
	u.state.Offset += s.size
	if u.state.Hash, err = sum.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
		return 0, err
	}
	if err := l.save(context.WithoutCancel(ctx), permit, u); err != nil {
		return 0, err
	}
	return s.size, s.broken()
}

// sealer makes the sealer of one part.
func (l *Library) sealer(t policy.TenantID, kind store.ItemKind, id string, key store.KeyID, name string) (*partSealer, error) {
	raw, err := l.o.Keys.Open(key)
	if err != nil {
		return nil, err
	}
	return box{region: l.o.Region, tenant: t, kind: kind, id: id, key: key}.part(raw, name)
}

// Abort ends an upload: its key is destroyed, then its blobs are deleted.
func (l *Library) Abort(ctx context.Context, ask Ask, id string) error {
	leave, err := l.enter(id)
	if err != nil {
		return err
	}
	defer leave()
	permit, err := ask(policy.Erase, policy.Recording)
	if err != nil {
		return err
	}
	err = l.o.Store.DeleteItem(ctx, permit, store.UploadItem, id, 0)
	if isReason(err, policy.NotFound) {
		return errNoUpload
	}
	if err != nil {
		return err
	}
	_, err = l.dropBlobs(ctx, folder(permit.Tenant(), recordingID(id)), nil)
	return err
}
