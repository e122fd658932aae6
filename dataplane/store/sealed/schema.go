package sealed

import (
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/domicile-io/domicile/policy"
)

// Every key of the store, since schema 5 (in 4 random bytes were compressed with the rest, in 3 tags were longer and each record had its hash, in 2 records had another binary form and no frame was covered, in 1
// all tenants' indexes were under one key). All numbers are big endian; tenant is
// the 16 bytes of the TN id; a ref is 12 bytes: chunk 8, frame 2, entry 2. What
// stands in clear here is random, keyed, ordinal or a time; never a number, a
// name or anything a source wrote.
//
//	m/<name>                                    the store's own rows: schema, region, index check
//	k/<tenant>/<chunk 8>/<frame 2>              a sealed frame of records (frame.go), or a pointer to the cover that holds it
//	j/<tenant>/<chunk 8>/<frame 2>              a sealed cover of frames, named by its first (cover.go)
//	f/<tenant>/<HMAC of source,instance,CallKey 12> fold and dedup row of one call (foldrow.go)
//	d/<tenant>/<fold tag>/<key tag 4>/<content tag 8> → ref: events past foldInline
//	t/<tenant>/<ListedAt µs 8>/<ref of the call> → ref of its current view, empty when the same
//	p/<tenant>/<first 8 of subject id>/<ListedAt µs 8>/<ref of the call>: a subject's calls
//	s/<tenant>/<HMAC of the party 12>           → the 16 random bytes of its subject id
//	r/<tenant>/<day 4>/<tag of direction,country 8> → sealed counters
//	i/<tenant>/<HMAC of the instance>           → sealed name of a feed that raw numbers came from
//	q/<tenant>/<id 16>                          → sealed quarantined payload
//	e/<tenant>/<HMAC of source,name>            → sealed settings of a feed
//	F/ D/ S/                                    f/, d/ and s/ of every other generation of the index key
//	x/<tenant>/<what 1>                         which key the index is under (index.go), how far frames were merged (merge.go)
//	y/<tenant>/<kind><rest of the key>          what stood there and was not what had been written (aside.go)
//	g/<tenant>/<ref of the call>                a dropped call of which a chunk's key is not known, and so not destroyed (damaged.go)
//	z/<tenant>/<key id 16>                      a key that nothing is sealed under any more, still to be destroyed
//	o/<tenant>/<item kind 1>/<id 16>            → a sealed item (itemrow.go)
//	l/<tenant>/<item kind 1>/<created µs 8>/<id 16>: items in order of time
//	c/<tenant>/<call id 16>/<item kind 1>/<created µs 8>/<id 16>: items of a call
//	u/<tenant>/<item kind 1>/<unique tag>       → id 16
//	n/<number 8>                                → an entry that waits for its place in the region's log (log.go)
//	a/<index 8>                                 → a leaf of that log
//	h/<number 8>                                → a hash of its tree
//	v/<tenant>/<index 8>: a tenant's leaves
//	w/<tenant>/<number 8>                       → index 8 of the leaf that gathers the entry
//	b/<16 of a hash>: what was noted once
const schema = 5

type kind byte

const (
	kindMeta       kind = 'm'
	kindFrame      kind = 'k'
	kindCover      kind = 'j'
	kindFold       kind = 'f'
	kindSpill      kind = 'd'
	kindTime       kind = 't'
	kindPosting    kind = 'p'
	kindSubject    kind = 's'
	kindRollup     kind = 'r'
	kindInstance   kind = 'i'
	kindQuarantine kind = 'q'
	kindFeed       kind = 'e'
	kindDestroy    kind = 'z'
	kindUndead     kind = 'g'
	kindItem       kind = 'o'
	kindItemTime   kind = 'l'
	kindItemCall   kind = 'c'
	kindItemUnique kind = 'u'
	kindAside      kind = 'y'
	kindIndex      kind = 'x'
	kindNoted      kind = 'n'
	kindLeaf       kind = 'a'
	kindHash       kind = 'h'
	kindTenantLeaf kind = 'v'
	kindLeafOf     kind = 'w'
	kindOnce       kind = 'b'
	kindTable      kind = 0 // a file of the engine's; in no key
)

// tenantKinds are the kinds of keys that a tenant has.
var tenantKinds = []kind{kindFrame, kindCover, kindFold, kindSpill, kindTime, kindPosting, kindSubject, kindRollup, kindInstance, kindQuarantine, kindFeed,
	kindItem, kindItemTime, kindItemCall, kindItemUnique, kindDestroy, kindUndead, kindAside, kindIndex, 'F', 'D', 'S'}

// Kinds are the first bytes of all keys: what an engine must keep rows of, in
// order.
func Kinds() []byte {
	var out []byte
	for _, k := range append([]kind{kindMeta, kindNoted, kindLeaf, kindHash, kindTenantLeaf, kindLeafOf, kindOnce}, tenantKinds...) {
		out = append(out, byte(k))
	}
	slices.Sort(out)
	return out
}

// name of a kind, as metrics and AADs say it.
func (k kind) name() string {
	switch k.lower() {
	case kindFrame, kindCover:
		return "frame"
	case kindFold, kindSpill:
		return "fold"
	case kindTime:
		return "time"
	case kindPosting, kindSubject:
		return "subject"
	case kindRollup:
		return "rollup"
	case kindInstance:
		return "instance"
	case kindQuarantine:
		return "quarantine"
	case kindFeed:
		return "feed"
	case kindIndex:
		return "index"
	case kindAside:
		return "aside"
	case kindDestroy, kindUndead:
		return "destroy"
	case kindItem, kindItemTime, kindItemCall, kindItemUnique:
		return "item"
	case kindNoted, kindLeaf, kindHash, kindTenantLeaf, kindLeafOf, kindOnce:
		return "log"
	case kindTable:
		return "table"
	}
	return "meta"
}

// tenantRaw is the 16 bytes of a tenant's id.
type tenantRaw [16]byte

func rawTenant(id policy.TenantID) (raw tenantRaw, err error) {
	if !policy.ValidID(policy.KindTenant, string(id)) {
		return raw, policy.Errorf(policy.PermissionDenied, "the permit names no tenant")
	}
	_, err = hex.Decode(raw[:], []byte(id[2:]))
	return raw, err
}

// ref is the place of one entry: the chunk it is in (named by the ingest time
// of its first frame), the frame and the entry's place in the frame. A call is
// named by the ref of its first entry, for good.
type ref struct {
	chunk int64
	frame uint16
	entry uint16
}

const refSize = 12

func (r ref) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.chunk))
	dst = binary.BigEndian.AppendUint16(dst, r.frame)
	return binary.BigEndian.AppendUint16(dst, r.entry)
}

func readRef(b []byte) ref {
	return ref{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b[10:])}
}

// keyOf begins a key of one tenant; buf is reused when it is long enough.
func keyOf(buf []byte, k kind, t tenantRaw) []byte {
	return append(append(buf[:0], byte(k)), t[:]...)
}

func frameKey(buf []byte, t tenantRaw, chunk int64, frame uint16) []byte {
	b := binary.BigEndian.AppendUint64(keyOf(buf, kindFrame, t), uint64(chunk))
	return binary.BigEndian.AppendUint16(b, frame)
}

func timeKey(buf []byte, t tenantRaw, listed int64, call ref) []byte {
	return call.append(binary.BigEndian.AppendUint64(keyOf(buf, kindTime, t), orderedTime(listed)))
}

func postingKey(buf []byte, t tenantRaw, subject [16]byte, listed int64, call ref) []byte {
	b := append(keyOf(buf, kindPosting, t), subject[:8]...)
	return call.append(binary.BigEndian.AppendUint64(b, orderedTime(listed)))
}

// orderedTime maps µs so that times before 1970 sort before those after.
func orderedTime(us int64) uint64 { return uint64(us) ^ 1<<63 }

func unorderedTime(n uint64) int64 { return int64(n ^ 1<<63) }

// after is the first key that does not begin with prefix.
func after(prefix []byte) []byte {
	out := append([]byte(nil), prefix...)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}
