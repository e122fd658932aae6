package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/domicile-io/domicile/dataplane/store"
)

// Notebook writes notes into a repository beside whoever takes snapshots. One
// process has one. It is safe for concurrent use.
type Notebook struct {
	r    Repository
	mu   sync.Mutex
	next uint64 // 0: not known yet
}

// NewNotebook prepares to write; it looks at the place with the first note, and
// shares it with nobody.
func NewNotebook(o Options) (*Notebook, error) {
	key, err := o.Keys.For(store.UseBackup).Named(keyName)
	if err != nil {
		return nil, err
	}
	return &Notebook{r: Repository{o: o, place: o.Place, sealer: &sealer{key: key, whom: string(o.Region) + "\x00" + o.Cluster}}}, nil
}

// Write makes a note durable. known is the id of the repository that it belongs
// into: another one, or an empty place, is an error.
func (b *Notebook) Write(ctx context.Context, known string, n Note) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	id, err := readIdentity(ctx, b.r.place)
	if err != nil {
		return fmt.Errorf("write a note: %w", err)
	}
	if id.ID != known || id.Region != b.r.o.Region || id.Cluster != b.r.o.Cluster {
		return fmt.Errorf("write a note: the %s is another repository", b.r.place)
	}
	if b.next == 0 || b.r.o.Shared {
		b.r.id = id
		if err := b.r.giveUp(ctx, b.r.o.GivenUp); err != nil {
			return fmt.Errorf("write a note: %w", err)
		}
		last, err := b.r.lastNote(ctx)
		if err != nil {
			return fmt.Errorf("write a note: %w", err)
		}
		b.next = last + 1
	}
	if err := b.write(ctx, b.next, n); err != nil {
		b.next = 0 // it may be there all the same: look again
		return fmt.Errorf("write a note: %w", err)
	}
	b.next++
	return nil
}

func (b *Notebook) write(ctx context.Context, number uint64, n Note) error {
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
	name := noteName{number: number, file: fmt.Sprintf("%010d-%s", number, hex.EncodeToString(sum[:]))}.name()
	return write(ctx, b.r.place, stageNote, name, func(w io.Writer) error { _, err := w.Write(sealed.Bytes()); return err })
}
