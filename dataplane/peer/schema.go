package peer

import (
	"encoding/binary"

	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// formatVersion is the format of an inbox and of DeliverRequest; others are refused.
const formatVersion = 1

// Buckets of an inbox.
const (
	bucketMarks   shelf.Bucket = "marks"   // TN…/RP… → uint64 high-water mark
	bucketRows    shelf.Bucket = "rows"    // TN…/RP…/sequence/row → sealed JSON row
	bucketTaken   shelf.Bucket = "taken"   // TN…/RP…/EX… → uint64 sequence under which it was taken
	bucketSources shelf.Bucket = "sources" // TN…/RP… → region that the rows came from; absent for rows of before it was noted
	bucketGraves  shelf.Bucket = "graves"  // TN…/RP…/pseudonym → a row that must not come, or come back: byte 1, or 2 when it was looked for to the end, then how many rows were deleted for it (varint; absent: of before it was noted)
)

// Buckets are those that the shelf of an inbox has.
func Buckets() []shelf.Bucket {
	return []shelf.Bucket{bucketMarks, bucketRows, bucketTaken, bucketSources, bucketGraves}
}

func streamKey(tenant policy.TenantID, recipient policy.RecipientID) []byte {
	return []byte(string(tenant) + "/" + string(recipient))
}

func graveKey(stream []byte, row string) []byte {
	return append(append(append([]byte{}, stream...), '/'), row...)
}

// rowKey orders by stream, then sequence, then place within the transfer.
func rowKey(stream []byte, sequence uint64, row uint32) []byte {
	key := append(append([]byte{}, stream...), '/')
	key = binary.BigEndian.AppendUint64(key, sequence)
	return binary.BigEndian.AppendUint32(key, row)
}
