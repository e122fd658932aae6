package subject

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// States of a certificate.
const (
	Pending  = "pending"
	Executed = "executed"
	Final    = "final"
)

// job is one erasure: the body of its certificate's item, which is sealed under
// a key of its own for each version. The number stands in it until the erasure
// is executed; the key of the last version that held it is destroyed then.
type job struct {
	Tenant      policy.TenantID  `json:"tenant"`
	Certificate data.Certificate `json:"certificate"`
	Owners      []store.Owner    `json:"owners"`
	Who         *target          `json:"who,omitempty"` // nil once executed, and when a restore is made good
	Token       [32]byte         `json:"token,omitzero"`
	Step        step             `json:"step"`
	Page        []export.Gone    `json:"page,omitempty"` // calls being worked on, and what is to become of them
	Dropped     uint64           `json:"dropped,omitempty"`
	Items       []string         `json:"items,omitempty"`      // ids of quarantined payloads that go
	Generation  uint64           `json:"generation,omitempty"` // whose end takes what was destroyed out of every copy of the key table
	Rekeyed     bool             `json:"rekeyed,omitempty"`    // the indexes were keyed anew, and Generation is one of after that

	item store.Item // as last written
}

// target is what an erasure must search for in text, and let go of in the index.
type target struct {
	E164     string `json:"e164,omitempty"`
	Raw      string `json:"raw,omitempty"`
	Instance string `json:"instance,omitempty"`
}

func (p *target) who() Who {
	return Who{Party: record.Party{E164: p.E164, Raw: p.Raw}, Instance: p.Instance}
}

// save makes the job durable as it is.
func (s *Service) save(ctx context.Context, j *job) error {
	permit, err := s.permit(j.Tenant, policy.Erase, store.CertificateItem.Class())
	if err != nil {
		return err
	}
	j.Certificate.Step = string(j.Step)
	next := j.item
	if next.Body, err = json.Marshal(j); err != nil {
		return fmt.Errorf("encode an erasure: %w", err)
	}
	next.Kind, next.ID = store.CertificateItem, j.Certificate.ID
	kept, err := s.o.Store.PutItem(ctx, permit, next, j.item.Version)
	if err != nil {
		return err
	}
	j.item = kept
	return nil
}

func jobOf(item store.Item) (*job, error) {
	j := &job{}
	if err := json.Unmarshal(item.Body, j); err != nil {
		return nil, fmt.Errorf("a certificate does not parse: %w", err)
	}
	j.item = item
	return j, nil
}

// jobs visits a tenant's certificates in order of creation.
func (s *Service) jobs(ctx context.Context, t policy.TenantID, visit func(*job) error) error {
	for token := ""; ; {
		permit, err := s.reads(t, store.CertificateItem)
		if err != nil {
			return err
		}
		page, err := s.o.Store.Items(ctx, permit, store.ItemQuery{Kind: store.CertificateItem, PageSize: store.MaxPageSize, PageToken: token})
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			j, err := jobOf(item)
			if err != nil {
				return err
			}
			if err := visit(j); err != nil {
				return err
			}
		}
		if token = page.NextPageToken; token == "" {
			return nil
		}
	}
}

// erasing finds an erasure under way of owners that match; "" when there is none.
func (s *Service) erasing(ctx context.Context, t policy.TenantID, match func([]store.Owner) bool) (id string, err error) {
	err = s.jobs(ctx, t, func(j *job) error {
		if j.Certificate.State == Pending && match(j.Owners) {
			id = j.Certificate.ID
		}
		return nil
	})
	return id, err
}

// newJob draws ids and keys of an erasure.
func (s *Service) newJob(t policy.TenantID, w *Who, owners []store.Owner) (*job, error) {
	j := &job{Tenant: t, Owners: owners, Step: stepIntent}
	if w != nil {
		j.Who = &target{E164: w.Party.E164, Raw: w.Party.Raw, Instance: w.Instance}
	}
	if _, err := rand.Read(j.Token[:]); err != nil {
		return nil, err
	}
	id, err := policy.NewID(store.CertificateItem.IDKind(), rand.Reader)
	if err != nil {
		return nil, err
	}
	j.Certificate = data.Certificate{ID: id, Tenant: string(t), Region: string(s.o.Region), State: Pending,
		Owners: OwnerForms(owners), Kept: Kept, Created: s.now().UTC().Truncate(time.Microsecond)}
	return j, nil
}

// Kept is what certificates say of calls whose other party stays.
const Kept = "the other party's number, when the call was, its direction, length and outcome, and the feed that told of it"

// OwnerForms is owners as a client sees them.
func OwnerForms(owners []store.Owner) []data.Owner {
	out := make([]data.Owner, 0, len(owners))
	for _, o := range owners {
		f := data.Owner{Subject: o.Subject} // the instance's name is the source's word
		if !o.Since.IsZero() {
			f.Since = &o.Since
		}
		if !o.Until.IsZero() {
			f.Until = &o.Until
		}
		out = append(out, f)
	}
	return out
}
