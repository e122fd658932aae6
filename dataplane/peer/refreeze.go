package peer

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/api/data"
)

// Row is one row of a frozen transfer, as it was frozen. Only Thawed makes one.
type Row struct {
	data.PseudonymRow
	raw json.RawMessage
}

// Class is every generalised field, joined, as record.Pseudonymised.Class says it.
func (r *Row) Class() string {
	return r.FromCC + "|" + r.ToCC + "|" + r.Direction + "|" + r.Outcome + "|" + r.Hour + "|" + r.Duration + "|" + r.Source
}

// External is the pseudonym of the party outside the tenant; "" when it is anonymous.
func (r *Row) External() string {
	if r.Direction == "outbound" {
		return r.To
	}
	return r.From
}

// Thawed reads the rows of a frozen transfer at home, before it has left.
func Thawed(payload []byte, rows int) ([]Row, error) {
	lines, err := thaw(payload, uint32(rows))
	if err != nil {
		return nil, err
	}
	out := make([]Row, len(lines))
	for i, raw := range lines {
		if err := json.Unmarshal(raw, &out[i].PseudonymRow); err != nil {
			return nil, fmt.Errorf("row %d does not parse", i)
		}
		out[i].raw = raw
	}
	return out, nil
}

// Refreeze makes the bytes of a transfer of rows that were frozen before.
func Refreeze(rows []Row) (payload []byte, sum [32]byte, err error) {
	var plain bytes.Buffer
	for _, r := range rows {
		plain.Write(r.raw)
		plain.WriteByte('\n')
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, sum, fmt.Errorf("make compressor: %w", err)
	}
	defer w.Close()
	payload = w.EncodeAll(plain.Bytes(), nil)
	return payload, sha256.Sum256(payload), nil
}
