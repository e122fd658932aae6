package subject

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Erase begins to forget a person, and answers the certificate, which is then
// pending: Run does the rest, here or after a restart. The intent is durable in
// the ledger when it answers. Asked again while the first is under way, it
// answers that one. A number that nothing is kept of is searched for in the
// quarantine all the same. LEGAL_HOLD: a hold stands against it.
func (s *Service) Erase(ctx context.Context, t policy.TenantID, w Who) (data.Certificate, error) {
	defer s.o.Room()()
	if err := s.audited(ctx); err != nil {
		return data.Certificate{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	permit, err := s.permit(t, policy.Erase, policy.CallRecord)
	if err != nil {
		return data.Certificate{}, err
	}
	if running, err := s.running(ctx, t, &w); err != nil || running != nil {
		if running != nil {
			return running.Certificate, nil
		}
		return data.Certificate{}, err
	}
	owners, err := s.owners(ctx, t, w)
	if err != nil {
		return data.Certificate{}, err
	}
	owners = slices.DeleteFunc(owners, func(o store.Owner) bool { return len(o.Subjects()) == 0 })
	if err := one(owners, w); err != nil {
		return data.Certificate{}, err
	}
	j, err := s.decide(ctx, permit, &w, owners)
	if err != nil {
		return data.Certificate{}, err
	}
	err = s.advance(ctx, j) // the ledger's entry
	if errors.Is(err, &policy.Error{Reason: policy.ETagMismatch}) {
		return s.Certificate(ctx, t, j.Certificate.ID) // another goroutine, or node, carries it on already
	}
	if err != nil {
		return data.Certificate{}, err
	}
	s.nudge()
	return j.Certificate, nil
}

// running finds an erasure of the same person that is under way.
func (s *Service) running(ctx context.Context, t policy.TenantID, w *Who) (found *job, err error) {
	err = s.jobs(ctx, t, func(j *job) error {
		if j.Certificate.State != Pending || j.Who == nil {
			return nil
		}
		same := j.Who.E164 == w.Party.E164 && j.Who.Raw == w.Party.Raw && j.Who.Instance == w.Instance
		if same && (w.Subject == "" || slices.ContainsFunc(j.Owners, func(o store.Owner) bool { return o.Subject == w.Subject })) {
			found = j
		}
		return nil
	})
	return found, err
}

// decide makes the job of an erasure durable, unless a hold stands against it. From
// then on it is carried out, by whoever finds it, and holds on the person are refused.
func (s *Service) decide(ctx context.Context, permit policy.Permit, w *Who, owners []store.Owner) (j *job, err error) {
	t := permit.Tenant()
	err = decided(ctx, func(ctx context.Context) error {
		if err := s.refusedBy(ctx, t, permit, owners); err != nil {
			return err
		}
		if err := s.between("unheld"); err != nil {
			return err
		}
		if j, err = s.newJob(t, w, owners); err != nil {
			return err
		}
		return s.save(tell(ctx, t, "erasure.request", j.Certificate.ID, nil), j)
	})
	return j, err
}

// between is where tests come in between, or crash.
func (s *Service) between(step string) error {
	if s.o.Between == nil {
		return nil
	}
	return s.o.Between(step)
}

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Certificate finds one.
func (s *Service) Certificate(ctx context.Context, t policy.TenantID, id string) (data.Certificate, error) {
	j, err := s.job(ctx, t, id)
	if err != nil {
		return data.Certificate{}, err
	}
	return j.Certificate, nil
}

func (s *Service) job(ctx context.Context, t policy.TenantID, id string) (*job, error) {
	if !policy.ValidID(store.CertificateItem.IDKind(), id) {
		return nil, policy.Errorf(policy.NotFound, "there is no such certificate")
	}
	permit, err := s.reads(t, store.CertificateItem)
	if err != nil {
		return nil, err
	}
	item, err := s.o.Store.Item(ctx, permit, store.CertificateItem, id)
	if err != nil {
		return nil, err
	}
	return jobOf(item)
}

// Certificates lists a tenant's certificates, in order of creation.
func (s *Service) Certificates(ctx context.Context, t policy.TenantID, size int, token string) ([]data.Certificate, string, error) {
	permit, err := s.reads(t, store.CertificateItem)
	if err != nil {
		return nil, "", err
	}
	page, err := s.o.Store.Items(ctx, permit, store.ItemQuery{Kind: store.CertificateItem, PageSize: size, PageToken: token})
	if err != nil {
		return nil, "", err
	}
	out := make([]data.Certificate, 0, len(page.Items))
	for _, item := range page.Items {
		j, err := jobOf(item)
		if err != nil {
			return nil, "", err
		}
		out = append(out, j.Certificate)
	}
	return out, page.NextPageToken, nil
}

// execute makes the certificate executed. The person goes out of the job with
// this version: the keys of those before it are destroyed.
func (s *Service) execute(j *job) error {
	now := s.now().UTC()
	c := &j.Certificate
	c.State, c.Executed = Executed, &now
	j.Who, j.Token = nil, [32]byte{}
	return s.sign(c)
}

// sign adds the node's signature over the certificate as it is now.
func (s *Service) sign(c *data.Certificate) error {
	statement, err := Statement(*c)
	if err != nil {
		return err
	}
	value, err := s.o.Sign(statement)
	if err != nil {
		return fmt.Errorf("sign a certificate: %w", err)
	}
	c.Signed = append(c.Signed, data.Signature{State: c.State, Node: string(s.o.Node), Time: s.now().UTC(), Statement: statement, Value: value})
	return nil
}

// Statement is what a signature of a certificate signs.
func Statement(c data.Certificate) ([]byte, error) {
	c.Signed, c.Waits, c.Problem, c.Step = nil, nil, "", ""
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode a certificate: %w", err)
	}
	return slices.Concat([]byte("domicile erasure certificate 1\n"), raw), nil
}

// Stated reads a certificate out of a signed statement.
func Stated(statement []byte) (c data.Certificate, err error) {
	raw, ok := bytes.CutPrefix(statement, []byte("domicile erasure certificate 1\n"))
	if !ok {
		return c, errors.New("this is no statement of an erasure certificate")
	}
	return c, json.Unmarshal(raw, &c)
}

// conclude makes an executed certificate final when nothing is waited for any
// more, and else says what for.
func (s *Service) conclude(ctx context.Context, j *job) error {
	var waits []string
	now := s.now().UTC()
	c := &j.Certificate
	if err := s.rekeyed(ctx, j); err != nil {
		return err
	}
	if !j.Rekeyed {
		waits = append(waits, "INDEX_KEY")
	}
	beyond, err := s.beyond(j.Generation, now)
	if err != nil {
		return err
	}
	if !beyond {
		waits = append(waits, "KEY_GENERATION")
	}
	if c.Counts.Damaged > 0 {
		waits = append(waits, "DAMAGED_CHUNK") // for a store that is put back: see docs/operations/erasure.md
	}
	deleted := c.Counts.Deleted
	if s.o.Exports != nil {
		left := uint64(0)
		if left, deleted, err = s.o.Exports.Unburied(j.Tenant, c.ID); err != nil {
			return err
		}
		if left > 0 {
			waits = append(waits, "RECIPIENTS")
		}
	}
	if len(waits) > 0 {
		if slices.Equal(waits, c.Waits) && deleted == c.Counts.Deleted {
			return nil
		}
		c.Waits, c.Counts.Deleted = waits, deleted
		return s.save(ctx, j)
	}
	c.State, c.Final, c.Waits, c.Counts.Deleted, j.Step = Final, &now, nil, deleted, stepFinal
	if err := s.sign(c); err != nil {
		return err
	}
	return s.save(tell(ctx, j.Tenant, "erasure.final", c.ID, nil), j)
}

// rekeyed notes that the indexes were keyed anew since the execution. Copies of
// the key table still have the old index key then, so that their generation has
// to end as well.
func (s *Service) rekeyed(ctx context.Context, j *job) error {
	if j.Rekeyed || s.o.Rekeyed == nil {
		return nil
	}
	done, err := s.o.Rekeyed(ctx, j.Tenant, *j.Certificate.Executed)
	if err != nil {
		return fmt.Errorf("ask whether the indexes were keyed anew: %w", err)
	}
	if !done {
		return nil
	}
	if s.o.Retire != nil {
		if j.Generation, err = s.o.Retire(); err != nil {
			return fmt.Errorf("ask for the key generation to be replaced: %w", err)
		}
	}
	j.Rekeyed = true
	return s.save(ctx, j)
}

func (s *Service) beyond(generation uint64, now time.Time) (bool, error) {
	if s.o.Beyond == nil || generation == 0 {
		return false, nil
	}
	ok, err := s.o.Beyond(generation, now)
	if err != nil {
		err = fmt.Errorf("ask for the fate of a key generation: %w", err)
	}
	return ok, err
}
