package peer

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/dataplane/record"
)

// Bounds of one transfer.
const (
	MaxRows         = 10_000
	maxPayload      = 3 << 20  // compressed; a gRPC message is at most 4 MiB
	maxDecompressed = 32 << 20 //
)

// Freeze makes the bytes of a transfer: zstd over newline-separated JSON rows,
// and their SHA-256. Only pseudonymised rows can be frozen.
func Freeze(rows []record.Pseudonymised) (payload []byte, sum [32]byte, err error) {
	if len(rows) == 0 || len(rows) > MaxRows {
		return nil, sum, fmt.Errorf("a transfer holds 1 to %d rows, not %d", MaxRows, len(rows))
	}
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	for i := range rows {
		if err := enc.Encode(rows[i]); err != nil {
			return nil, sum, fmt.Errorf("encode row %d: %w", i, err)
		}
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, sum, fmt.Errorf("make compressor: %w", err)
	}
	defer w.Close()
	payload = w.EncodeAll(plain.Bytes(), nil)
	if len(payload) > maxPayload {
		return nil, sum, fmt.Errorf("a transfer's payload is at most %d bytes, not %d", maxPayload, len(payload))
	}
	return payload, sha256.Sum256(payload), nil
}

// thaw reads the rows of a payload and checks each against the export schema:
// a field that is not on the allow-list refuses the whole transfer.
func thaw(payload []byte, want uint32) ([]json.RawMessage, error) {
	if len(payload) > maxPayload || want > MaxRows {
		return nil, fmt.Errorf("the transfer is larger than the bounds")
	}
	r, err := zstd.NewReader(bytes.NewReader(payload), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecompressed))
	if err != nil {
		return nil, fmt.Errorf("read payload: %w", err)
	}
	defer r.Close()
	plain, err := io.ReadAll(io.LimitReader(r, maxDecompressed+1))
	if err != nil || len(plain) > maxDecompressed {
		return nil, fmt.Errorf("the payload does not decompress within bounds")
	}
	rows := make([]json.RawMessage, 0, want)
	for line := range bytes.Lines(plain) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if err := checkRow(line); err != nil {
			return nil, fmt.Errorf("row %d is not of the export schema: %w", len(rows), err)
		}
		rows = append(rows, json.RawMessage(bytes.Clone(line)))
	}
	if uint32(len(rows)) != want {
		return nil, fmt.Errorf("the payload holds %d rows, the transfer says %d", len(rows), want)
	}
	return rows, nil
}
