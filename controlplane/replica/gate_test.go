package replica

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// A kind of command that not every member may know yet reaches no log.
func TestNewerKindIsRefusedBeforeItIsProposed(t *testing.T) {
	c := startCluster(t, 1, func(o *Options) {
		o.since = func(k store.Kind) int {
			if k == store.KindCreateTenant {
				return 2
			}
			return 1
		}
	})
	n := c.leader()
	before := n.Status().LastLog
	_, err := n.Propose(context.Background(), store.Command{Stamp: store.Stamp{Now: time.Now(), Actor: actor}, Payload: tenantPayload(1)})
	if !errors.Is(err, &policy.Error{Reason: policy.NotYet}) {
		t.Errorf("refused with %v", err)
	}
	if after := n.Status().LastLog; after != before {
		t.Errorf("the log went from %d to %d", before, after)
	}
}
