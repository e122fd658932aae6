package media

import (
	"context"
	"fmt"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// tell makes the store's next commit tell the region's log that something of a
// tenant ended. What it was, only the region can tell from the reference.
func (l *Library) tell(ctx context.Context, t policy.TenantID, action, id string) context.Context {
	e := store.Entry{Action: action, Resource: string(t), Tenant: t}
	if l.o.Reference != nil {
		e.Detail = fmt.Appendf(nil, `{"reference":%q}`, l.o.Reference(t, id))
	}
	return store.WithEntry(ctx, e)
}
