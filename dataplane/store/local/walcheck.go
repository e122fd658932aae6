package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Pebble ends the replay of its newest log at the first damaged chunk, since a
// crash may have torn it. To tell a torn end from a changed middle, each chunk
// says up to which offset the log was synced when it was written; but pebble
// looks for such a witness only from the next 32 KiB block on. A byte changed
// among the last block's chunks would so lose every later one of them, each
// acknowledged. checkLogs looks at every byte behind the damage instead (found
// by TestINV34_FlippedLogAfterACrash). What remains: the very last group has no
// later chunk to vouch for it.
//
// A chunk, in pebble's FormatWALSyncChunks:
//
//	0  CRC-32C, cooked, of what follows from byte 6
//	4  length 2
//	6  encoding, 9 to 12 (full, first, middle, last)
//	7  log number 4
//	11 synced offset 8
//	19 payload
//
// all little endian; no chunk straddles a block.
const (
	walBlock  = 32 << 10
	walHeader = 19
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errLog     = errors.New("the log of the store was changed behind what it had already synced: starting would lose records silently; restore the folder from a backup")
)

// checkLogs refuses logs that hold a proof of having been synced past damage.
func checkLogs(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		number, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), ".log"), 10, 32)
		if err != nil {
			continue // no log of pebble's
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if at := damagedAt(data, uint32(number)); at >= 0 {
			return fmt.Errorf("%s, offset %d: %w", filepath.Base(path), at, errLog)
		}
	}
	return nil
}

// damagedAt gives the offset of damage that a later chunk proves was synced, or -1.
func damagedAt(data []byte, number uint32) int {
	end := 0
	for {
		if rest := walBlock - end%walBlock; rest < walHeader {
			end += rest
		}
		n, _, ok := walChunk(data, end, number)
		if !ok {
			break
		}
		end += n
	}
	for at := end; at+walHeader <= len(data); at++ {
		if _, synced, ok := walChunk(data, at, number); ok && synced > uint64(end) {
			return end
		}
	}
	return -1
}

// walChunk reads the chunk at an offset: its size and its synced offset.
func walChunk(data []byte, at int, number uint32) (size int, synced uint64, ok bool) {
	if at+walHeader > len(data) {
		return 0, 0, false
	}
	h := data[at:]
	if h[6] < 9 || h[6] > 12 || binary.LittleEndian.Uint32(h[7:]) != number {
		return 0, 0, false
	}
	size = walHeader + int(binary.LittleEndian.Uint16(h[4:]))
	if size > len(h) || at%walBlock+size > walBlock {
		return 0, 0, false
	}
	sum := crc32.Checksum(h[6:size], castagnoli)
	if (sum>>15|sum<<17)+0xa282ead8 != binary.LittleEndian.Uint32(h) {
		return 0, 0, false
	}
	return size, binary.LittleEndian.Uint64(h[11:]), true
}
