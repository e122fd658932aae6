package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// A record on disk: CRC-32C over all that follows, length of the data (both 4
// bytes), its number, the number of the first record of its batch (both 8
// bytes), the data, and zeros up to a multiple of 8. Big-endian. A length of 0 is
// the zeros behind the last record.
const (
	headerSize = 24
	alignment  = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	sum          uint32
	length       int
	index, batch uint64
}

// frameSize is what data of n bytes takes on disk.
func frameSize(n int) int { return headerSize + (n+alignment-1)/alignment*alignment }

func appendFrame(to []byte, index, batch uint64, data []byte) []byte {
	at := len(to)
	to = append(to, 0, 0, 0, 0)
	to = binary.BigEndian.AppendUint32(to, uint32(len(data)))
	to = binary.BigEndian.AppendUint64(to, index)
	to = binary.BigEndian.AppendUint64(to, batch)
	to = append(to, data...)
	binary.BigEndian.PutUint32(to[at:], crc32.Checksum(to[at+4:], castagnoli))
	for len(to)%alignment != 0 {
		to = append(to, 0)
	}
	return to
}

// parseFrame reads the record at the beginning of b; ok is false when none
// stands there whole.
func parseFrame(b []byte) (h header, data []byte, ok bool) {
	if len(b) < headerSize {
		return h, nil, false
	}
	h = header{sum: binary.BigEndian.Uint32(b), length: int(binary.BigEndian.Uint32(b[4:])),
		index: binary.BigEndian.Uint64(b[8:]), batch: binary.BigEndian.Uint64(b[16:])}
	if h.length == 0 || h.length > MaxRecord || headerSize+h.length > len(b) || h.batch > h.index {
		return h, nil, false
	}
	end := headerSize + h.length
	return h, b[headerSize:end], crc32.Checksum(b[4:end], castagnoli) == h.sum
}
