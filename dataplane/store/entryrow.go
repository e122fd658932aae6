package store

import (
	"encoding/binary"
	"errors"

	"github.com/domicile-io/domicile/policy"
)

// errEntry means that a kept entry or leaf is not what was written.
var errEntry = errors.New("a row of the region's log is not what was written")

// Append encodes a noted entry without its Seq, for stores that keep bytes.
func (n *Noted) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, 1), uint64(n.Time))
	for _, s := range []string{n.Action, n.Resource, string(n.Tenant), string(n.Detail)} {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	d := &n.Done
	for _, v := range []uint64{d.Dropped, d.Redacted, d.Versions, d.Chunks, d.Keys, d.Damaged} {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

// ReadNoted decodes what Append encoded.
func ReadNoted(seq uint64, raw []byte) (n Noted, err error) {
	r := reader{b: raw}
	if r.take(1)[0] != 1 {
		return n, errEntry
	}
	n.Seq, n.Time = seq, int64(r.number())
	n.Action, n.Resource, n.Tenant, n.Detail = r.text(), r.text(), policy.TenantID(r.text()), []byte(r.text())
	d := &n.Done
	for _, v := range []*uint64{&d.Dropped, &d.Redacted, &d.Versions, &d.Chunks, &d.Keys, &d.Damaged} {
		*v = r.number()
	}
	if r.bad || len(r.b) > 0 {
		return n, errEntry
	}
	return n, nil
}

// Append encodes a leaf without its Index and Seqs, for stores that keep bytes.
func (l *LogLeaf) Append(dst []byte) []byte {
	dst = append(dst, 1)
	for _, s := range []string{string(l.Tenant), string(l.Record), string(l.Detail), string(l.Parts)} {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return dst
}

// ReadLogLeaf decodes what Append encoded.
func ReadLogLeaf(index uint64, raw []byte) (l LogLeaf, err error) {
	r := reader{b: raw}
	if r.take(1)[0] != 1 {
		return l, errEntry
	}
	l = LogLeaf{Index: index, Tenant: policy.TenantID(r.text()), Record: []byte(r.text()), Detail: []byte(r.text()), Parts: []byte(r.text())}
	if r.bad || len(r.b) > 0 {
		return l, errEntry
	}
	return l, nil
}

// reader reads from the front of b; after the first fault it reads zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return make([]byte, min(max(n, 0), 32))
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	return string(r.take(int(n)))
}
