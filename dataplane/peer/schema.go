package peer

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// formatVersion is the format of received.db and of DeliverRequest; others are refused.
const formatVersion = 1

// Buckets of received.db.
var (
	bucketMeta    = []byte("meta")    // "format" → uint32
	bucketMarks   = []byte("marks")   // TN…/RP… → uint64 high-water mark
	bucketRows    = []byte("rows")    // TN…/RP…/sequence/row → sealed JSON row
	bucketTaken   = []byte("taken")   // TN…/RP…/EX… → uint64 sequence under which it was taken
	bucketSources = []byte("sources") // TN…/RP… → region that the rows came from; absent for rows of before it was noted
	keyFormat     = []byte("format")  //
	allOfBuckets  = [][]byte{bucketMeta, bucketMarks, bucketRows, bucketTaken, bucketSources}
)

func streamKey(tenant policy.TenantID, recipient policy.RecipientID) []byte {
	return []byte(string(tenant) + "/" + string(recipient))
}

// rowKey orders by stream, then sequence, then place within the transfer.
func rowKey(stream []byte, sequence uint64, row uint32) []byte {
	key := append(append([]byte{}, stream...), '/')
	key = binary.BigEndian.AppendUint64(key, sequence)
	return binary.BigEndian.AppendUint32(key, row)
}

func prepare(db *bbolt.DB) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range allOfBuckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return fmt.Errorf("make bucket %s: %w", name, err)
			}
		}
		meta := tx.Bucket(bucketMeta)
		found := meta.Get(keyFormat)
		if found == nil {
			return meta.Put(keyFormat, binary.BigEndian.AppendUint32(nil, formatVersion))
		}
		if got := binary.BigEndian.Uint32(found); got != formatVersion {
			return fmt.Errorf("received.db has format %d, this build reads %d: start the version that wrote it", got, formatVersion)
		}
		return nil
	})
}
