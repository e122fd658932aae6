package log

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/dataplane/store"
)

// A log that was put back from a backup has lost leaves that were signed. Were
// it to go on under its name, it would sign others in their places: a fork. So
// each node keeps a floor beside the records, and in no backup of them: what it
// signed last. A store that does not have what the floor says, or has a log
// whose floor is gone, goes on as another log, under a new id and so a new
// origin; its first leaf says from where it goes on and what is lost.

// Actions of the first leaf of a log.
const (
	beginAction   = "log.begin"
	restoreAction = "log.restore"
)

// floor is what was signed last.
type floor struct {
	Log   string `json:"log"`
	Epoch uint64 `json:"epoch"`
	Size  uint64 `json:"size"`
	Root  string `json:"root"` // hex
}

const floorFile = "floor.json"

// ErrFloor means that the floor cannot be read.
var errFloor = errors.New("the floor of the region's log is not what was written; put the folder away: the log then goes on under a new id, and says so")

func readFloor(dir string) (f floor, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, floorFile))
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err == nil && (json.Unmarshal(raw, &f) != nil || f.Log == "" || f.Epoch == 0) {
		err = errFloor
	}
	if err != nil {
		return f, fmt.Errorf("open the region's log: %w", err)
	}
	return f, nil
}

// save makes the floor durable. It is called before what it tells of is shown to
// anybody.
func (f floor) save(dir string) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, floorFile)
	out, err := os.OpenFile(path+".next", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(append(raw, '\n'))
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = os.Rename(path+".next", path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// begin compares the head with the floor, and begins a log where there is none
// or where the one that is there must not be signed any more.
func (l *Log) begin(ctx context.Context, head store.LogHead) error {
	l.mu.Lock()
	low := l.floor
	l.mu.Unlock()
	why, err := l.broken(ctx, head, low)
	if err != nil || why == "" {
		return err
	}
	id := make([]byte, 8)
	if _, err := io.ReadFull(l.o.Rand, id); err != nil {
		return err
	}
	next := store.LogHead{ID: hex.EncodeToString(id), Epoch: max(head.Epoch, low.Epoch) + 1, Size: head.Size, Key: hex.EncodeToString(l.public)}
	first := &leaf{time: l.o.Now().UTC(), action: beginAction, resource: string(l.o.Region), about: map[string]any{"log": next.ID, "key": next.Key}}
	if why != beginAction {
		root, err := audit.Root(head.Size, l.sparse(ctx, nil, nil))
		if err != nil {
			return fmt.Errorf("go on from the region's log: %w", err)
		}
		first.action = restoreAction
		first.about["why"] = why
		first.about["after"] = floor{Log: head.ID, Epoch: head.Epoch, Size: head.Size, Root: hex.EncodeToString(root[:])}
		if low.Log != "" {
			first.about["signed"] = low
		}
		l.log.Warn("the region's log goes on under a new id, because the one that is here is not the one that was signed", "why", why, "log", next.ID, "size", head.Size, "signed", low.Size)
	}
	g := &growth{l: l, head: head, entering: store.Entering{From: head, To: next}}
	if err := g.add(ctx, first); err != nil {
		return err
	}
	return l.o.Store.Enter(ctx, g.entering)
}

// broken says why the log that is here must not be gone on with; "" when it may.
func (l *Log) broken(ctx context.Context, head store.LogHead, low floor) (string, error) {
	switch {
	case head.ID == "" && low.Log == "":
		return beginAction, nil
	case low.Log == "" && !l.o.Shared:
		return "NO_FLOOR", nil // put back, or moved, without what was signed
	case head.ID != "" && head.Key != hex.EncodeToString(l.public):
		return "NEW_KEY", nil
	case low.Log == "":
		return "", nil
	case head.ID != low.Log && head.Epoch > low.Epoch && l.o.Shared:
		return "", nil // another node began it
	case head.ID != low.Log || head.Size < low.Size:
		return "ROLLED_BACK", nil
	}
	root, err := audit.Root(low.Size, l.sparse(ctx, nil, nil))
	if err != nil {
		return "", fmt.Errorf("compare the region's log with what was signed: %w", err)
	}
	if hex.EncodeToString(root[:]) != low.Root {
		return "OTHER_LEAVES", nil
	}
	return "", nil
}
