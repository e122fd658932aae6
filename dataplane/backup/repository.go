package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Options of a repository. Place, Region, Cluster and Keys are required.
type Options struct {
	Place   Place           // a folder on another disk of the region, or a bucket in it
	Region  policy.RegionID // bound into every sealed byte, as is the cluster
	Cluster string          // CL…
	Keys    store.Keys

	// Known is the id of the repository that the node used before, "" when it used
	// none: an empty place is then that of a disk that is not mounted, and is not made
	// a repository.
	Known string

	// GivenUp is what a restore of this node has left behind, nil when there was none.
	// The first note says it.
	GivenUp *GivenUp

	// Shared: other nodes of the region write notes too, so that the number of the next
	// is looked for each time. Two may get one number; a snapshot that has a number has
	// what both tell of, because each committed it before it looked.
	Shared bool

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil discards

	// Step is called at named points; an error ends the work there, as a crash
	// would. Tests use it.
	Step func(point string) error
}

// keyName is the region key that seals repositories.
const keyName = "backup/repository"

const (
	identityFile = "domicile-backup.json"
	lockFile     = "lock"
	objectsDir   = "objects"
	snapshotsDir = "snapshots"
	notesDir     = "notes"
	erasuresDir  = "erasures"
	incomingDir  = "incoming"

	snapshotExt = ".snapshot"

	maxIdentity = 4 << 10
)

// folders are those of a repository.
func folders() []string { return []string{objectsDir, snapshotsDir, notesDir, erasuresDir, givenUpDir} }

// identity is what a repository says of itself.
type identity struct {
	Format  int             `json:"format"`
	ID      string          `json:"id"`
	Region  policy.RegionID `json:"region"`
	Cluster string          `json:"cluster"`
}

// bytes is the identity as it lies in its file.
func (id identity) bytes() []byte {
	b, err := json.Marshal(id)
	if err != nil {
		panic(err) // strings and a number
	}
	return append(b, '\n')
}

// Repository is an open repository; one process changes it at a time.
type Repository struct {
	o      Options
	place  Place
	id     identity
	sealer *sealer
	unlock func() error     // nil: not locked
	have   map[string]int64 // sizes of objects, by name; nil: not listed yet
}

// ErrForeign is the refusal of a repository of another region or cluster.
var ErrForeign = errors.New("it belongs to another region or cluster")

// Open opens a repository for a use; Make makes one of a place that is empty. It
// refuses one of another region, cluster or format, and one that is in use.
func Open(ctx context.Context, o Options, use Use) (*Repository, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Repository{o: o, place: o.Place}
	if err := r.open(ctx, use); err != nil {
		return nil, errors.Join(fmt.Errorf("open the backup %s: %w", o.Place, err), r.Close())
	}
	return r, nil
}

func (r *Repository) open(ctx context.Context, use Use) error {
	if err := r.place.Ready(ctx); err != nil {
		return err
	}
	key, err := r.o.Keys.For(store.UseBackup).Named(keyName)
	if err != nil {
		return err
	}
	r.sealer = &sealer{key: key, whom: string(r.o.Region) + "\x00" + r.o.Cluster}
	if r.id, err = readIdentity(ctx, r.place); errors.Is(err, fs.ErrNotExist) && use == Make {
		err = r.found(ctx)
	}
	if err != nil {
		return err
	}
	switch {
	case r.id.Format != Format:
		return fmt.Errorf("it has format %d, this program reads %d: use the version that wrote it", r.id.Format, Format)
	case r.id.Region != r.o.Region || r.id.Cluster != r.o.Cluster:
		return fmt.Errorf("%w: region %s of %s; this node is of region %s of %s", ErrForeign, r.id.Region, r.id.Cluster, r.o.Region, r.o.Cluster)
	case r.o.Known != "" && r.o.Known != r.id.ID:
		return fmt.Errorf("it is repository %s, and this node's is %s: is the right disk mounted? To begin with this one, remove backup.json from data_dir", r.id.ID, r.o.Known)
	}
	r.unlock, err = r.place.Lock(ctx, use)
	return err
}

func readIdentity(ctx context.Context, p Place) (id identity, err error) {
	raw, err := readAll(ctx, p, identityFile, maxIdentity)
	if errors.Is(err, fs.ErrNotExist) {
		return id, fmt.Errorf("%w; is its disk mounted, or the bucket's name right?", err)
	}
	if err != nil {
		return id, err
	}
	err = json.Unmarshal(raw, &id)
	if err != nil || len(id.ID) != 32 || !bytes.Equal(raw, id.bytes()) {
		return id, fmt.Errorf("%s is damaged: put it back; it says nothing but {format, id, region, cluster}", identityFile)
	}
	return id, nil
}

// found makes a repository of an empty place. The identity comes last: a place
// without one is begun anew.
func (r *Repository) found(ctx context.Context) error {
	if r.o.Known != "" {
		return fmt.Errorf("it is empty, and this node's repository is %s: is its disk mounted? To begin a new one, remove backup.json from data_dir", r.o.Known)
	}
	tops, err := r.place.Tops(ctx)
	if err != nil {
		return err
	}
	for _, name := range tops {
		if !slices.Contains(append(folders(), incomingDir), name) {
			return fmt.Errorf("it is no repository, and not empty (%s): give an empty folder, or a bucket of its own", name)
		}
	}
	if err := r.place.Lay(ctx); err != nil {
		return err
	}
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	r.id = identity{Format: Format, ID: hex.EncodeToString(raw[:]), Region: r.o.Region, Cluster: r.o.Cluster}
	return r.put(ctx, identityFile, r.id.bytes())
}

// Place says where the repository is.
func (r *Repository) Place() string { return r.place.String() }

// ID names the repository.
func (r *Repository) ID() string { return r.id.ID }

// Close lets the repository go.
func (r *Repository) Close() error {
	if r.unlock == nil {
		return nil
	}
	err := r.unlock()
	r.unlock = nil
	return err
}

func (r *Repository) step(point string) error {
	if r.o.Step == nil {
		return nil
	}
	return r.o.Step(point)
}

// Snapshots lists the heads, oldest first. One that cannot be read is an error
// beside those that can.
func (r *Repository) Snapshots(ctx context.Context) (out []Snapshot, err error) {
	ids, err := r.snapshotIDs(ctx)
	if err != nil {
		return nil, err
	}
	var bad error
	for _, id := range ids {
		if path.Ext(id) != "" {
			continue // put aside under another name
		}
		head, err := r.head(ctx, id)
		if err != nil {
			bad = errors.Join(bad, err)
			continue
		}
		out = append(out, head)
	}
	slices.SortFunc(out, func(a, b Snapshot) int { return int(int64(a.Number) - int64(b.Number)) })
	return out, bad
}

func snapshotName(id string) string { return snapshotsDir + "/" + id + snapshotExt }

// snapshotIDs are the names under which snapshots lie, readable or not.
func (r *Repository) snapshotIDs(ctx context.Context) (ids []string, err error) {
	err = r.place.List(ctx, snapshotsDir, func(e Entry) error {
		ids = append(ids, strings.TrimSuffix(path.Base(e.Name), snapshotExt))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	return ids, nil
}

func (r *Repository) head(ctx context.Context, id string) (Snapshot, error) {
	f, err := r.place.Open(ctx, snapshotName(id))
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %s: %w", id, err)
	}
	defer f.Close()
	head, _, err := readHead(f)
	if err == nil {
		err = r.ours(head, id)
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %s: %w", id, err)
	}
	return head, nil
}

// ours refuses a snapshot that came from elsewhere.
func (r *Repository) ours(head Snapshot, id string) error {
	switch {
	case head.Region != r.id.Region || head.Cluster != r.id.Cluster || head.Repository != r.id.ID:
		return fmt.Errorf("%w, or repository", ErrForeign)
	case head.ID != id:
		return errors.New("it stands under another snapshot's name")
	}
	return nil
}

// files reads and checks a snapshot's list.
func (r *Repository) files(ctx context.Context, id string) (head Snapshot, files []File, err error) {
	f, err := r.place.Open(ctx, snapshotName(id))
	if err != nil {
		return head, nil, fmt.Errorf("snapshot %s: %w", id, err)
	}
	defer f.Close()
	head, raw, err := readHead(f)
	if err == nil {
		err = r.ours(head, id)
	}
	if err != nil {
		return head, nil, fmt.Errorf("snapshot %s: %w", id, err)
	}
	s, err := r.sealer.open(f, listPurpose(raw))
	if err != nil {
		return head, nil, fmt.Errorf("snapshot %s: %w", id, err)
	}
	in := bufio.NewScanner(s)
	in.Buffer(nil, maxLine)
	for in.Scan() {
		var x File
		if err := json.Unmarshal(in.Bytes(), &x); err != nil {
			return head, nil, fmt.Errorf("snapshot %s: a line of the list cannot be read", id)
		}
		if err := x.check(); err != nil {
			return head, nil, fmt.Errorf("snapshot %s: %w", id, err)
		}
		files = append(files, x)
	}
	if err := in.Err(); err != nil {
		return head, nil, fmt.Errorf("snapshot %s: %w", id, err)
	}
	if uint64(len(files)) != head.Files {
		return head, nil, fmt.Errorf("snapshot %s: it lists %d files and says %d", id, len(files), head.Files)
	}
	return head, files, nil
}
