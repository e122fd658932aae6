package dataplane

import (
	"context"
	"fmt"
	"time"
)

// failedLook is how often a node looks whether its disk has failed it.
const failedLook = 200 * time.Millisecond

// failing is what remembers its first failed write or sync, after which it does
// nothing more: what the disk holds is unknown until it is read again.
type failing interface{ Failed() error }

// Failed waits until a write or sync of the node's own files has failed, and says
// which; nil when ctx ends before. Nothing has been acknowledged since. The process
// should end: a new start reads what the disk really holds.
// ErrMoved: the records have moved to the region's database, and there is nothing
// left that this process could do.
func (n *Node) Failed(ctx context.Context) error {
	for ctx.Err() == nil {
		if n.moving.done() {
			return ErrMoved
		}
		for _, part := range []struct {
			name string
			part any
		}{{"record store", n.store}, {"keyring", n.keyring}} {
			if f, ok := part.part.(failing); ok {
				if err := f.Failed(); err != nil {
					return fmt.Errorf("%s: %w", part.name, err)
				}
			}
		}
		wait(ctx, failedLook)
	}
	return nil
}
