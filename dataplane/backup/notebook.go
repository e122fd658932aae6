package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
)

// Notebook writes notes into a repository beside whoever takes snapshots. One
// process has one. It is safe for concurrent use.
type Notebook struct {
	r    Repository
	mu   sync.Mutex
	next uint64 // 0: not known yet
}

// noteStage begins the name of a note that is being written.
const noteStage = "note-"

// noteStaged is how old one must be before prune takes it for a crash's.
const noteStaged = time.Hour

// NewNotebook prepares to write; it looks at the folder with the first note.
func NewNotebook(o Options) (*Notebook, error) {
	key, err := o.Keys.For(store.UseBackup).Named(keyName)
	if err != nil {
		return nil, err
	}
	return &Notebook{r: Repository{o: o, dir: o.Folder, sealer: &sealer{key: key, whom: string(o.Region) + "\x00" + o.Cluster}}}, nil
}

// Write makes a note durable. known is the id of the repository that it belongs
// into: another one, or an empty folder in its place, is an error.
func (b *Notebook) Write(known string, n Note) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	id, err := readIdentity(b.r.dir)
	if err != nil {
		return fmt.Errorf("write a note: %w", err)
	}
	if id.ID != known || id.Region != b.r.o.Region || id.Cluster != b.r.o.Cluster {
		return fmt.Errorf("write a note: the folder is another repository")
	}
	if b.next == 0 {
		b.r.id = id
		if err := b.r.giveUp(b.r.o.GivenUp); err != nil {
			return fmt.Errorf("write a note: %w", err)
		}
		last, err := b.r.lastNote()
		if err != nil {
			return fmt.Errorf("write a note: %w", err)
		}
		b.next = last + 1
	}
	if err := b.write(b.next, n); err != nil {
		return fmt.Errorf("write a note: %w", err)
	}
	b.next++
	return nil
}

func (b *Notebook) write(number uint64, n Note) error {
	plain, err := json.Marshal(n)
	if err != nil {
		return err
	}
	var sealed bytes.Buffer
	s, err := b.r.sealer.seal(&sealed, notePurpose(number))
	if err != nil {
		return err
	}
	if _, err := s.Write(plain); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	sum := sha256.Sum256(sealed.Bytes())
	name := fmt.Sprintf("%010d-%s", number, hex.EncodeToString(sum[:]))
	staged := filepath.Join(b.r.dir, incomingDir, noteStage+name)
	if err := writeSynced(staged, sealed.Bytes()); err != nil {
		return err
	}
	if err := os.Rename(staged, filepath.Join(b.r.dir, notesDir, name)); err != nil {
		return err
	}
	return syncDir(filepath.Join(b.r.dir, notesDir))
}

// staging reports whether a file of incoming may be a note that is being written.
func staging(info os.FileInfo, now time.Time) bool {
	return strings.HasPrefix(info.Name(), noteStage) && now.Sub(info.ModTime()) < noteStaged
}
