package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/domicile-io/domicile/policy"
)

// BatchAction is the action of entries whose Detail is a Batch.
const BatchAction = "receipt.batch"

// KindReceipt is how ids of receipts begin.
const KindReceipt policy.IDKind = "RC"

// Batch is what one commit of Append made durable: a part for each call
// of Append that stored something in it.
type Batch struct {
	Writer [16]byte // random for each process start
	Time   int64    // µs since 1970, as the records' ingest time
	Parts  []BatchPart
}

// BatchPart is what one Append stored: the versions First to First+Count-1 of
// the writer's.
type BatchPart struct {
	First, Count uint64
	Revision     uint64   // of the policy that permitted it
	Records      [32]byte // root of the tree over the versions' commitments, in order
	Place        [12]byte // where the store finds the first of them; its own matter
}

// Opened is one stored version, as receipts commit to it.
type Opened struct {
	Call    string // CA…
	Salt    [16]byte
	Content [32]byte // SHA-256 of what was sent
}

// Commitment is the leaf hash (RFC 6962 §2.1) of one stored version. Whoever has
// not the salt, which dies with the version, learns nothing from it.
func Commitment(salt [16]byte, tenant policy.TenantID, writer [16]byte, n uint64, content [32]byte) [32]byte {
	buf := make([]byte, 0, 160)
	buf = append(append(buf, 0), commitmentLabel...)
	buf = append(append(append(buf, salt[:]...), tenant...), writer[:]...)
	buf = binary.BigEndian.AppendUint64(buf, n)
	return sha256.Sum256(append(buf, content[:]...))
}

const commitmentLabel = "domicile version 1\n"

// Append encodes a batch.
func (b *Batch) Append(dst []byte) []byte {
	dst = append(append(dst, 1), b.Writer[:]...)
	dst = binary.AppendUvarint(dst, uint64(b.Time))
	dst = binary.AppendUvarint(dst, uint64(len(b.Parts)))
	for i := range b.Parts {
		p := &b.Parts[i]
		dst = binary.AppendUvarint(dst, p.First)
		dst = binary.AppendUvarint(dst, p.Count)
		dst = binary.AppendUvarint(dst, p.Revision)
		dst = append(append(dst, p.Records[:]...), p.Place[:]...)
	}
	return dst
}

var errBatch = errors.New("not a batch of receipts")

// ReadBatch decodes a batch.
func ReadBatch(raw []byte) (b Batch, err error) {
	r := reader{b: raw}
	if r.take(1)[0] != 1 {
		return b, errBatch
	}
	copy(b.Writer[:], r.take(16))
	b.Time = int64(r.number())
	for range r.number() {
		p := BatchPart{First: r.number(), Count: r.number(), Revision: r.number()}
		copy(p.Records[:], r.take(32))
		copy(p.Place[:], r.take(12))
		if r.bad {
			return b, errBatch
		}
		b.Parts = append(b.Parts, p)
	}
	if r.bad || len(r.b) > 0 {
		return b, errBatch
	}
	return b, nil
}

// Receipts makes and reads ids of receipts: a permutation of where they stand,
// under a region key, so that an id looks random and needs no row.
type Receipts struct{ block cipher.Block }

// NewReceipts uses the region's key for ids of receipts.
func NewReceipts(keys Keys) (*Receipts, error) {
	key, err := keys.Named("store/receipt")
	if err != nil {
		return nil, fmt.Errorf("key of receipts: %w", err)
	}
	block, err := aes.NewCipher(key[:])
	return &Receipts{block}, err
}

// ID names part number part of the batch that was noted as seq.
func (r *Receipts) ID(tenant policy.TenantID, seq uint64, part int) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], seq)
	binary.BigEndian.PutUint32(b[8:], uint32(part))
	copy(b[12:], tenantMark(tenant))
	r.block.Encrypt(b[:], b[:])
	return string(KindReceipt) + hex.EncodeToString(b[:])
}

// Read finds what an id names; a foreign tenant's is as unknown as one that was
// never given out.
func (r *Receipts) Read(tenant policy.TenantID, id string) (seq uint64, part int, ok bool) {
	raw, err := hex.DecodeString(id[min(2, len(id)):])
	if err != nil || !policy.ValidID(KindReceipt, id) {
		return 0, 0, false
	}
	r.block.Decrypt(raw, raw)
	if string(raw[12:]) != tenantMark(tenant) {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(raw), int(binary.BigEndian.Uint32(raw[8:])), true
}

// tenantMark is four bytes of a tenant's id.
func tenantMark(tenant policy.TenantID) string {
	raw, err := hex.DecodeString(string(tenant[min(2, len(tenant)):]))
	if err != nil || len(raw) < 4 {
		return "\x00\x00\x00\x00"
	}
	return string(raw[:4])
}
