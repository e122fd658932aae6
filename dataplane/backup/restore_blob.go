package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// extractBlob puts a recording back into a bucket, unless it is there. The sealed
// bytes are passed on as they come; the bucket keeps none of them before the last
// was held against the list.
func (r *Repository) extractBlob(ctx context.Context, f File, to store.Blobs) error {
	there, err := to.Stat(ctx, f.Name)
	switch {
	case err == nil:
		return r.sameBlob(ctx, f, there, to)
	case !errors.Is(err, &policy.Error{Reason: policy.NotFound}):
		return fmt.Errorf("ask the bucket of recordings: %w", err)
	}
	var broken error
	in, out := io.Pipe()
	read := make(chan struct{})
	go func() {
		defer close(read)
		broken = r.read(ctx, f, out)
		out.CloseWithError(broken)
	}()
	_, err = to.Create(ctx, f.Name, in)
	in.CloseWithError(errors.New("the bucket of recordings takes no more"))
	<-read
	switch {
	case err == nil:
		return r.step("blob")
	case broken != nil && !errors.Is(broken, io.ErrClosedPipe) && errors.Is(err, broken):
		return fmt.Errorf("%w: %w", ErrDamaged, broken)
	}
	return fmt.Errorf("put it into the bucket of recordings: %w", err)
}

// sameBlob refuses a recording that is there under the name and is another one. One
// that the bucket says is unchanged since the snapshot is not read.
func (r *Repository) sameBlob(ctx context.Context, f File, there store.BlobInfo, at store.Blobs) error {
	if there.Size == f.Size && there.Tag != "" && there.Tag == f.Tag {
		return nil
	}
	sum := &counter{hash: sha256.New(), before: ctx.Err}
	if there.Size == f.Size {
		in, err := at.Open(ctx, f.Name, 0, -1)
		if err == nil {
			_, err = io.Copy(sum, in)
			err = errors.Join(err, in.Close())
		}
		if err != nil {
			return fmt.Errorf("read it in the bucket of recordings: %w", err)
		}
	}
	if sum.n != f.Size || sum.sum() != f.SHA256 {
		return errors.New("the bucket of recordings has other bytes under this name: somebody changed it there; delete it in the bucket, and the backup's is put back")
	}
	return nil
}
