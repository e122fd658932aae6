package log

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// gathering is the batches of one tenant that one leaf is of. Parts keeps them:
// each entry's number 8, its length, and the batch as it was noted.
type gathering struct {
	tenant     policy.TenantID
	seqs       []uint64
	parts      []byte
	statements int
}

func (g *gathering) add(seq uint64, batch []byte, statements int) {
	g.seqs = append(g.seqs, seq)
	g.parts = binary.BigEndian.AppendUint64(g.parts, seq)
	g.parts = append(binary.AppendUvarint(g.parts, uint64(len(batch))), batch...)
	g.statements += statements
}

// receiptLeaf is the leaf of gathered batches: it commits to the root over the
// statements of all requests in them.
func (l *Log) receiptLeaf(g *gathering) (*leaf, error) {
	statements, err := l.statementsIn(g.tenant, g.parts)
	if err != nil {
		return nil, err
	}
	root := audit.RootOf(hashesOf(statements))
	return &leaf{LogLeaf: store.LogLeaf{Tenant: g.tenant, Parts: g.parts, Seqs: g.seqs}, time: l.o.Now().UTC(), action: store.BatchAction, resource: string(g.tenant),
		about: map[string]any{"receipts": len(statements), "root": hex.EncodeToString(root[:])}}, nil
}

// statement is what one receipt says.
type statement struct {
	seq   uint64
	part  int // within its batch
	batch *store.Batch
	text  string
}

// statementsIn reads gathered batches.
func (l *Log) statementsIn(tenant policy.TenantID, parts []byte) (out []statement, err error) {
	for len(parts) > 0 {
		if len(parts) < 9 {
			return nil, errParts
		}
		seq := binary.BigEndian.Uint64(parts)
		n, size := binary.Uvarint(parts[8:])
		if size <= 0 || n > uint64(len(parts)-8-size) {
			return nil, errParts
		}
		batch, err := store.ReadBatch(parts[8+size : 8+size+int(n)])
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", seq, err)
		}
		for i := range batch.Parts {
			out = append(out, statement{seq: seq, part: i, batch: &batch, text: l.statement(tenant, &batch, &batch.Parts[i])})
		}
		parts = parts[8+size+int(n):]
	}
	return out, nil
}

var errParts = errors.New("the batches of a leaf of the region's log are not what was written")

// statement is JSON of closed forms, as encoding/json would write it.
func (l *Log) statement(tenant policy.TenantID, b *store.Batch, p *store.BatchPart) string {
	out := make([]byte, 0, 384)
	out = append(append(out, `{"format":1,"region":"`...), l.o.Region...)
	out = append(append(out, `","tenant":"`...), tenant...)
	out = hex.AppendEncode(append(out, `","writer":"`...), b.Writer[:])
	out = strconv.AppendUint(append(out, `","first":`...), p.First, 10)
	out = strconv.AppendUint(append(out, `,"count":`...), p.Count, 10)
	out = strconv.AppendUint(append(out, `,"revision":`...), p.Revision, 10)
	out = time.UnixMicro(b.Time).UTC().AppendFormat(append(out, `,"time":"`...), time.RFC3339Nano)
	out = hex.AppendEncode(append(out, `","records":"`...), p.Records[:])
	return string(append(out, `"}`...))
}

func hashesOf(statements []statement) []audit.Hash {
	out := make([]audit.Hash, len(statements))
	for i := range statements {
		out[i] = audit.RecordHash([]byte(statements[i].text))
	}
	return out
}

// errNoReceipt is also what a foreign tenant's receipt is answered with.
var errNoReceipt = policy.Errorf(policy.NotFound, "there is no such receipt")

// Receipt proves that what one request stored is in the log. A batch that waits
// for its place gets it now.
func (l *Log) Receipt(ctx context.Context, tenant policy.TenantID, id string, open Opener) (out data.Receipt, err error) {
	seq, part, ok := l.receipts.Read(tenant, id)
	if !ok {
		return out, errNoReceipt
	}
	index, err := l.o.Store.LogLeafOf(ctx, tenant, seq)
	if isReason(err, policy.NotFound) {
		if err = l.Round(ctx); err != nil {
			return out, refused(err)
		}
		index, err = l.o.Store.LogLeafOf(ctx, tenant, seq)
	}
	if isReason(err, policy.NotFound) {
		err = errNoReceipt
	}
	if err != nil {
		return out, err
	}
	leaf, err := l.o.Store.LogLeaf(ctx, index)
	if err != nil {
		return out, err
	}
	statements, err := l.statementsIn(tenant, leaf.Parts)
	if err != nil {
		return out, err
	}
	for i := range statements {
		s := &statements[i]
		if s.seq != seq || s.part != part {
			continue
		}
		path, err := audit.PathOf(i, hashesOf(statements))
		if err != nil {
			return out, err
		}
		out = data.Receipt{ID: id, Statement: s.text, Index: uint64(i), Hashes: hexes(path), Records: []data.ReceiptPart{}}
		if out.Proof, err = l.prove(ctx, &leaf); err != nil {
			return out, err
		}
		if open != nil {
			out.Records, err = l.opened(ctx, open, s)
		}
		return out, err
	}
	return out, errNoReceipt
}

// Opener reads what a receipt commits to; nothing when some of it is gone.
type Opener func(ctx context.Context, writer [16]byte, part store.BatchPart) ([]store.Opened, error)

func (l *Log) opened(ctx context.Context, open Opener, s *statement) ([]data.ReceiptPart, error) {
	found, err := open(ctx, s.batch.Writer, s.batch.Parts[s.part])
	out := make([]data.ReceiptPart, 0, len(found))
	for _, o := range found {
		out = append(out, data.ReceiptPart{ID: o.Call, Salt: hex.EncodeToString(o.Salt[:]), Content: hex.EncodeToString(o.Content[:])})
	}
	return out, err
}
