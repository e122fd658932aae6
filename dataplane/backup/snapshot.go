package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Format of repositories, and of snapshots of files. Readers refuse any other, but
// for RowsFormat.
const Format = 2

// Part is what a file of a snapshot belongs to, of a closed list: a folder of
// the node's. Keys are none of them.
type Part string

// The parts.
const (
	Records Part = "records" // the record store
	Media   Part = "media"   // sealed recordings and transcripts
	Exports Part = "exports" // outbox.db and received.db
	Egress  Part = "egress"  // the ledger of what left
	Purges  Part = "purges"  // receipts of tenants' ends
	Rows    Part = "rows"    // of a region's database, instead of records and exports: no folder, but rows.go
)

var parts = []Part{Records, Media, Exports, Egress, Purges, Rows}

// Snapshot is the head of a snapshot: it stands in clear, and the list is bound
// to it. Nothing in it is secret or personal.
type Snapshot struct {
	Format        int             `json:"format"`
	ID            string          `json:"id"` // began, and number
	Number        uint64          `json:"number"`
	Repository    string          `json:"repository"`
	Region        policy.RegionID `json:"region"`
	Cluster       string          `json:"cluster"`
	Program       string          `json:"program"` // version that wrote it
	Schema        int             `json:"schema"`  // of the record store
	Parent        string          `json:"parent,omitempty"`
	Began         time.Time       `json:"began"` // the records are those of a moment right after it
	Ended         time.Time       `json:"ended"`
	KeyGeneration uint64          `json:"key_generation"` // of the key table when it began
	Erasures      uint64          `json:"erasures"`       // entries of the erasure ledger when it began
	Notes         uint64          `json:"notes"`          // notes up to this one are in it
	Files         uint64          `json:"files"`
	Bytes         uint64          `json:"bytes"`  // of all files
	Copied        uint64          `json:"copied"` // bytes that no earlier snapshot had
	Stored        uint64          `json:"stored"` // bytes that these take in the repository
}

// File is a line of a snapshot's list.
type File struct {
	Part   Part   `json:"part"`
	Name   string `json:"name"` // slashes, below the part's folder
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // of its bytes
	Object string `json:"object"` // of the sealed bytes: the object's name
	Stored int64  `json:"stored"` // bytes of the object

	// Of a file that never changes: by what it is known to be the same one.
	Inode    uint64 `json:"inode,omitempty"`
	Modified int64  `json:"modified,omitempty"` // Unix ns
	Tag      string `json:"tag,omitempty"`      // of a recording in a bucket
}

const (
	snapshotMagic = "domicile region backup 1\n"
	maxHead       = 64 << 10
	maxLine       = 16 << 10
	idTime        = "20060102T150405Z"
)

var (
	idForm   = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9]{6,}$`)
	hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)
)

// check holds a line against its closed form.
func (f *File) check() error {
	if !slices.Contains(parts, f.Part) || !nameForm.MatchString(f.Name) || !fs.ValidPath(f.Name) || path.Clean(f.Name) != f.Name ||
		f.Size < 0 || f.Stored < 0 || !hashForm.MatchString(f.SHA256) || !hashForm.MatchString(f.Object) {
		return errors.New("a line of the list is malformed")
	}
	return nil
}

// writeSnapshot writes head and list.
func (r *Repository) writeSnapshot(w io.Writer, head Snapshot, files []File) error {
	raw, err := json.Marshal(head)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(binary.BigEndian.AppendUint32([]byte(snapshotMagic), uint32(len(raw))), raw...)); err != nil {
		return err
	}
	s, err := r.sealer.seal(w, listPurpose(raw))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(s)
	for i := range files {
		if err := enc.Encode(&files[i]); err != nil {
			return err
		}
	}
	return s.Close()
}

func listPurpose(head []byte) string {
	sum := sha256.Sum256(head)
	return "list\x00" + hex.EncodeToString(sum[:])
}

// readHead reads what stands in clear in a snapshot. It is not believed before
// the list was opened, which is bound to it.
func readHead(r io.Reader) (head Snapshot, raw []byte, err error) {
	begin := make([]byte, len(snapshotMagic)+4)
	if _, err := io.ReadFull(r, begin); err != nil || string(begin[:len(snapshotMagic)]) != snapshotMagic {
		return head, nil, errors.New("it is no snapshot, or one of another format")
	}
	n := binary.BigEndian.Uint32(begin[len(snapshotMagic):])
	if n > maxHead {
		return head, nil, errors.New("its head is longer than any can be: it is damaged")
	}
	raw = make([]byte, n)
	if _, err := io.ReadFull(r, raw); err != nil {
		return head, nil, errors.New("it is cut short")
	}
	var format struct {
		Format  int    `json:"format"`
		Program string `json:"program"`
	}
	if err := json.Unmarshal(raw, &format); err != nil {
		return head, nil, errors.New("its head cannot be read: it is damaged")
	}
	if format.Format != Format && format.Format != RowsFormat {
		return head, nil, fmt.Errorf("it has format %d and this program reads formats %d and %d: use the version that wrote it (%.40q)", format.Format, Format, RowsFormat, format.Program)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&head); err != nil || !idForm.MatchString(head.ID) {
		return head, nil, errors.New("its head cannot be read: it is damaged")
	}
	return head, raw, nil
}
