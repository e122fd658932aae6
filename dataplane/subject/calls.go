package subject

import (
	"context"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// maxPage is how many calls are read, and rewritten, at once.
const maxPage = store.MaxPageSize

// each visits every call that is attributed to an owner: those that began while
// the number was its own, and of which any version names it.
func (s *Service) each(ctx context.Context, permit policy.Permit, o store.Owner, visit func(store.Call) error) error {
	seen := map[string]bool{}
	subjects := o.Subjects()
	for _, subject := range subjects {
		for token := ""; ; {
			page, err := s.o.Store.List(ctx, permit, s.query(o, subject, token))
			if err != nil {
				return err
			}
			for _, c := range page.Calls {
				if len(subjects) > 1 { // a call may name both
					if seen[c.ID] {
						continue
					}
					seen[c.ID] = true
				}
				if err := visit(c); err != nil {
					return err
				}
			}
			if token = page.NextPageToken; token == "" {
				break
			}
		}
	}
	return nil
}

func (s *Service) query(o store.Owner, subject, token string) store.Query {
	return store.Query{Subject: subject, AnyVersion: true, Start: o.Since, End: o.Until, PageSize: maxPage, PageToken: token}
}
