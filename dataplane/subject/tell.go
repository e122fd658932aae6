package subject

import (
	"context"
	"encoding/json"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// tell makes the store's next commit tell the region's log what was done and
// under which certificate or hold. about holds codes and counts, never a person.
func tell(ctx context.Context, t policy.TenantID, action, resource string, about any) context.Context {
	e := store.Entry{Action: action, Resource: resource, Tenant: t}
	if about != nil {
		e.Detail, _ = json.Marshal(about) // numbers and codes always encode
	}
	return store.WithEntry(ctx, e)
}

// tellOfExport tells the log before the first byte of a person's archive is
// read: an export that cannot be told of is refused (INV28).
func (s *Service) tellOfExport(ctx context.Context, t policy.TenantID, owners []store.Owner, withoutMedia bool) error {
	if s.o.Log == nil {
		return nil
	}
	about := struct {
		Owners []string `json:"owners"`
		Media  bool     `json:"media"`
	}{Media: !withoutMedia}
	for i := range owners[:min(len(owners), 16)] {
		about.Owners = append(about.Owners, s.o.Log.Reference(t, owners[i].Subject))
	}
	detail, err := json.Marshal(about)
	if err != nil {
		return err
	}
	return s.o.Log.Note(ctx, store.Entry{Action: "subject.export", Resource: string(t), Tenant: t, Detail: detail})
}

// tellOfCall tells that one call was deleted; which, only the region can tell.
func (s *Service) tellOfCall(ctx context.Context, t policy.TenantID, id string) context.Context {
	about := map[string]any{}
	if s.o.Log != nil {
		about["reference"] = s.o.Log.Reference(t, id)
	}
	return tell(ctx, t, "call.delete", string(t), about)
}
