package replica

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Each record of the log carries a checksum on disk. A command carries another
// through log and wire, and a file of votes its own.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4

func withSum(command []byte) []byte {
	return binary.BigEndian.AppendUint32(command, crc32.Checksum(command, castagnoli))
}

func checkSum(data []byte) ([]byte, error) {
	if len(data) < sumSize {
		return nil, errors.New("raft log: an entry is too short: " + rejoin)
	}
	command, sum := data[:len(data)-sumSize], binary.BigEndian.Uint32(data[len(data)-sumSize:])
	if crc32.Checksum(command, castagnoli) != sum {
		return nil, errors.New("raft log: an entry fails its checksum: " + rejoin)
	}
	return command, nil
}
