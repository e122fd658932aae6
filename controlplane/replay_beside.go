package controlplane

import (
	"fmt"
	"slices"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// What a restore repeats by what was exported beside the records (docs/adr/0093).

// withdrawal repeats one withdrawal of an approver of a tenant: the next that the
// export has and the state has not. One whose key the backup does not know is
// lost with the key. known is false for what is lost.
func (a *applier) withdrawal(id policy.TenantID) (p store.Payload, known bool, err error) {
	pol, err := a.store.Policy(id)
	switch {
	case absent(err):
		return nil, true, nil
	case err != nil:
		return nil, true, err
	}
	for _, w := range a.beside.Withdrawals[id] {
		if a.told[string(id)+w.Key] || pol.Signers.Withdrew(w.Key) {
			continue
		}
		if pol.Signers.Withdrawable(w.Key) {
			next := *pol.Signers
			next.Withdrawn = append(slices.Clone(next.Withdrawn), w)
			if next.Verify(a.cluster, id, a.root) != nil {
				continue // nobody who may has signed it
			}
			p = store.WithdrawApprover{Tenant: id, Withdrawal: w}
		}
		if a.told == nil {
			a.told = map[string]bool{}
		}
		a.told[string(id)+w.Key] = true
		return p, p != nil, nil
	}
	if a.ended[id] || a.incomplete { // of one that has ended nothing was kept, and it is suspended
		return nil, false, nil
	}
	return nil, true, lacks("a withdrawal of an approver of tenant %s: the key would approve again", id)
}

// reservation keeps the slug of a tenant that came and ended after the backup from
// being given again. known is false when the slug is lost, also because what the file
// says cannot be so: no signature stands under it, and a name is not worth a restore.
func (a *applier) reservation(id policy.TenantID) (p store.Payload, known bool, err error) {
	wrong, err := a.reserved(id)
	switch {
	case err != nil:
		return nil, true, err
	case wrong != nil && a.incomplete:
		return nil, false, nil
	case wrong != nil:
		return nil, true, wrong
	}
	slug := a.beside.Slugs[id]
	if t, err := a.store.SlugOf(slug); err != nil || t == id {
		return nil, true, err // by an earlier record of the same end
	}
	return store.ReserveSlug{Tenant: id, Slug: slug}, true, nil
}

// reserved says why the slug that the export tells of a tenant cannot be reserved for
// it: wrong, which --audit-incomplete passes over; or the state could not be asked.
func (a *applier) reserved(id policy.TenantID) (wrong, err error) {
	slug, ok := a.beside.Slugs[id]
	if !ok {
		return lacks("the slug of tenant %s, which has ended: another could take it", id), nil
	}
	if _, err := policy.ParseSlug(string(slug)); err != nil {
		return fmt.Errorf("the exported audit log gives tenant %s, which has ended, what is no slug: the file was changed by hand. %s", id, anotherExport), nil
	}
	whose, err := a.store.SlugOf(slug)
	if err == nil && whose != "" && whose != id {
		wrong = fmt.Errorf("the exported audit log gives tenant %s, which has ended, the slug of tenant %s: no slug is given twice, so one of the two lines under `slugs` was changed. %s", id, whose, anotherExport)
	}
	return wrong, err
}

const anotherExport = "Export it with a present `domicile audit list -o json`, from number 0 and without --filter, or say --audit-incomplete: then it is listed among what is lost"

func lacks(what string, id policy.TenantID) error {
	return fmt.Errorf("the exported audit log lacks "+what+". "+anotherExport, id)
}
