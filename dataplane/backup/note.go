package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"

	"github.com/domicile-io/domicile/policy"
)

// A note is what stands between two snapshots: rows that were sealed anew
// because an erasure, or the end of a retention, destroys the keys that they
// stood under. A snapshot of before has them under those keys. So the new rows
// are written here, durably, before the old keys go; a restore puts them in the
// place of what does not open any more. Also holds, certificates and what
// receivers must forget are noted, because a restore must not lose them.
type Note struct {
	Tenant policy.TenantID `json:"tenant"`
	Kind   NoteKind        `json:"kind"`
	Rows   []Row           `json:"rows"`
}

// NoteKind is what the rows of a note are rows of, of a closed list.
type NoteKind string

// The kinds.
const (
	StoreRows    NoteKind = "store"    // of the record store: key and value
	ReceivedRows NoteKind = "received" // pseudonyms of received rows that were deleted; Key is the stream
	BuriedRows   NoteKind = "buried"   // of the outbox: what receivers are to delete
)

// Row is one row; both are base64 in JSON.
type Row struct {
	Key   []byte `json:"k"`
	Value []byte `json:"v,omitempty"`
}

var noteForm = regexp.MustCompile(`^([0-9]{10})-([0-9a-f]{64})$`)

type noteName struct {
	number uint64
	file   string
	size   int64
}

func (n noteName) name() string { return notesDir + "/" + n.file }

// maxNote bounds what is read of one: rows of one rewrite.
const maxNote = 1 << 30

// listNotes gives the notes in order.
func (r *Repository) listNotes(ctx context.Context) (out []noteName, err error) {
	err = r.place.List(ctx, notesDir, func(e Entry) error {
		file := path.Base(e.Name)
		m := noteForm.FindStringSubmatch(file)
		if m == nil {
			return fmt.Errorf("%s is no note", file)
		}
		n, err := strconv.ParseUint(m[1], 10, 64)
		out = append(out, noteName{n, file, e.Size})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list notes: %w", err)
	}
	slices.SortFunc(out, func(a, b noteName) int { return bytes.Compare([]byte(a.file), []byte(b.file)) })
	return out, nil
}

func (r *Repository) lastNote(ctx context.Context) (uint64, error) {
	list, err := r.listNotes(ctx)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	return list[len(list)-1].number, nil
}

func notePurpose(number uint64) string { return "note\x00" + strconv.FormatUint(number, 10) }

// readNote opens and checks one.
func (r *Repository) readNote(ctx context.Context, at noteName) (n Note, err error) {
	raw, err := readAll(ctx, r.place, at.name(), maxNote)
	if err != nil {
		return n, err
	}
	sum := sha256.Sum256(raw)
	if hex.EncodeToString(sum[:]) != noteForm.FindStringSubmatch(at.file)[2] {
		return n, errors.New("its bytes are not what was written")
	}
	s, err := r.sealer.open(bytes.NewReader(raw), notePurpose(at.number))
	if err != nil {
		return n, err
	}
	plain, err := io.ReadAll(s)
	if err != nil {
		return n, err
	}
	if err := json.Unmarshal(plain, &n); err != nil {
		return n, errors.New("it cannot be read")
	}
	return n, nil
}

// Notes visits the notes that a snapshot lacks, in order.
func (r *Repository) Notes(ctx context.Context, after uint64, visit func(Note) error) error {
	list, err := r.listNotes(ctx)
	if err != nil {
		return err
	}
	for _, at := range list {
		if at.number <= after {
			continue
		}
		n, err := r.readNote(ctx, at)
		if err == nil {
			err = visit(n)
		}
		if err != nil {
			return fmt.Errorf("note %d: %w", at.number, err)
		}
	}
	return nil
}
