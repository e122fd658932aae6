package media

import (
	"context"
	"errors"
	"io"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Reader reads the plain bytes of a recording or transcript, from any place. It
// opens only the frames that it is asked for, and holds one. It is not safe for
// concurrent use.
type Reader struct {
	l     *Library
	ctx   context.Context
	box   box
	key   [32]byte
	parts []part
	size  int64
	pos   int64

	at      int           // the part that is open
	next    int64         // its next frame
	stream  io.ReadCloser // from that frame on; nil: none is open
	sealer  *partSealer
	sealed  []byte
	plain   []byte // the frame that was opened last
	plainAt int64  // where it begins in the whole
}

func (l *Library) reader(ctx context.Context, t policy.TenantID, kind store.ItemKind, id string, key store.KeyID, parts []part) (*Reader, error) {
	raw, err := l.o.Keys.Open(key)
	if err != nil {
		return nil, err
	}
	r := &Reader{l: l, ctx: ctx, box: box{region: l.o.Region, tenant: t, kind: kind, id: id, key: key}, key: raw, parts: parts, plainAt: -1}
	for _, p := range parts {
		r.size += p.Size
	}
	return r, nil
}

// Size is how many bytes there are.
func (r *Reader) Size() int64 { return r.size }

// Seek implements io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.pos = offset
	return offset, nil
}

// Read implements io.Reader. Bytes that are not what was written are an error
// and never yielded.
func (r *Reader) Read(b []byte) (int, error) {
	if r.pos >= r.size {
		return 0, io.EOF
	}
	if r.plainAt < 0 || r.pos < r.plainAt || r.pos >= r.plainAt+int64(len(r.plain)) {
		if err := r.load(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.plain[r.pos-r.plainAt:])
	r.pos += int64(n)
	return n, nil
}

// load opens the frame that holds pos.
func (r *Reader) load() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	start, at := int64(0), 0
	for r.pos >= start+r.parts[at].Size {
		start += r.parts[at].Size
		at++
	}
	frame := (r.pos - start) / frameSize
	if r.stream == nil || r.at != at || r.next != frame {
		if err := r.open(at, frame); err != nil {
			return err
		}
	}
	size, last := int64(frameSize), frame == frames(r.parts[at].Size)-1
	if last {
		size = r.parts[at].Size - frame*frameSize
	}
	if r.sealed == nil {
		r.sealed, r.plain = make([]byte, sealedFrame), make([]byte, 0, frameSize)
	}
	sealed := r.sealed[:size+frameTag]
	r.plainAt = -1
	if _, err := io.ReadFull(r.stream, sealed); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return r.l.corrupt(string(r.box.kind), errors.New("a blob is shorter than it was"))
		}
		return err
	}
	plain, err := r.sealer.open(r.plain[:0], sealed, uint64(frame), last)
	if err != nil {
		return r.l.corrupt(string(r.box.kind), err)
	}
	r.plain, r.plainAt, r.next = plain, start+frame*frameSize, frame+1
	return nil
}

// open begins to read a part at one of its frames.
func (r *Reader) open(at int, frame int64) (err error) {
	if err := r.Close(); err != nil {
		return err
	}
	p := r.parts[at]
	if r.sealer, err = r.box.part(r.key, p.Name); err != nil {
		return err
	}
	offset := frame * sealedFrame
	r.stream, err = r.l.o.Blobs.Open(r.ctx, folder(r.box.tenant, r.box.id)+p.Name, offset, sealedSize(p.Size)-offset)
	if isReason(err, policy.NotFound) {
		if _, keyErr := r.l.o.Keys.Open(r.box.key); isReason(keyErr, policy.Destroyed) {
			return keyErr // deleted meanwhile
		}
		return r.l.corrupt(string(r.box.kind), errors.New("a blob is gone"))
	}
	r.at, r.next = at, frame
	return err
}

// Close ends reading. The reader can be used again.
func (r *Reader) Close() error {
	if r.stream == nil {
		return nil
	}
	err := r.stream.Close()
	r.stream = nil
	return err
}
