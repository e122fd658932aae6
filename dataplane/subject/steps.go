package subject

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/domicile-io/domicile/dataplane/export"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/internal/failpoint"
	"github.com/domicile-io/domicile/policy"
)

// step is where an erasure stands. Each can be repeated, so that a crash between
// any two, or within one, costs nothing but the repetition.
type step string

// The steps, in order.
const (
	stepIntent     step = "intent"     // the ledger's entry
	stepPayloads   step = "payloads"   // payloads that mention the number: those of before, so that a replay brings none of them back
	stepUnlink     step = "unlink"     // the number leads to nobody any more
	stepCalls      step = "calls"      // page by page: media, records, indexes, counters, exports
	stepQuarantine step = "quarantine" // payloads that came meanwhile
	stepForget     step = "forget"     // what processes remember, and the old key generation
	stepExecuted   step = "executed"
	stepFinal      step = "final"
)

var order = []step{stepIntent, stepPayloads, stepUnlink, stepCalls, stepQuarantine, stepForget, stepExecuted, stepFinal}

func (s step) next() step { return order[min(slices.Index(order, s)+1, len(order)-1)] }

// advance does the job's present step, as far as it goes, and makes durable
// where the job stands then.
func (s *Service) advance(ctx context.Context, j *job) error {
	var done bool
	var err error
	at := j.Step
	switch at {
	case stepIntent:
		done, err = true, s.intend(ctx, j)
	case stepUnlink:
		done, err = true, s.unlink(ctx, j)
	case stepCalls:
		done, err = s.page(ctx, j)
	case stepPayloads, stepQuarantine:
		done, err = s.quarantine(ctx, j)
	case stepForget:
		done, err = true, s.forget(j)
	case stepExecuted:
		done, err = true, s.execute(j)
	default:
		return fmt.Errorf("certificate %s stands at step %q, which this build does not know", j.Certificate.ID, at)
	}
	if err != nil {
		return err
	}
	if done {
		j.Step = at.next()
	}
	j.Certificate.Problem = ""
	failpoint.At("erase/" + string(at))
	told := ctx
	if at == stepExecuted {
		told = tell(ctx, j.Tenant, "erasure.execute", j.Certificate.ID, j.Certificate.Counts)
	}
	if err := s.save(told, j); err != nil {
		return err
	}
	failpoint.At("erased/" + string(at))
	if s.o.Between != nil {
		return s.o.Between(string(at))
	}
	return nil
}

// intend writes the intent into the ledger, once.
func (s *Service) intend(ctx context.Context, j *job) error {
	if err := s.audited(ctx); err != nil {
		return err
	}
	entries, err := s.o.Ledger.Since(j.Tenant, 0)
	if err != nil {
		return err
	}
	for _, in := range entries {
		if in.Certificate == j.Certificate.ID {
			j.Certificate.Entry = in.N
			return nil
		}
	}
	n, err := s.o.Ledger.Append(Intent{Certificate: j.Certificate.ID, Tenant: j.Tenant, Owners: j.Owners, Time: s.now().UTC()})
	j.Certificate.Entry = n
	return err
}

// unlink makes number and subjects strangers. Records that are acknowledged
// after it belong to a new subject, and not to this erasure.
func (s *Service) unlink(ctx context.Context, j *job) error {
	permit, err := s.permit(j.Tenant, policy.Erase, policy.CallRecord)
	if err != nil {
		return err
	}
	u := store.Unlinking{Owners: j.Owners}
	if j.Who != nil {
		w := j.Who.who()
		u.Number, u.Instance = w.number(), w.Instance
	}
	return s.o.Store.Unlink(tell(ctx, j.Tenant, "subject.unlink", j.Certificate.ID, nil), permit, u)
}

// page works on the next calls of the person; done when there are none. The
// page is durable before anything of it is destroyed, because afterwards
// nothing leads to its media and to the rows that left.
func (s *Service) page(ctx context.Context, j *job) (done bool, err error) {
	if len(j.Page) == 0 {
		if err := s.unheldPage(ctx, j); err != nil || len(j.Page) == 0 {
			return err == nil, err
		}
		failpoint.At("erased/page")
		if err := s.between("page"); err != nil {
			return false, err
		}
	}
	return false, s.erasePage(ctx, j)
}

// unheldPage makes the next page durable, of calls that no hold covers. Those that
// one covers, which was placed on another of their parties since the erasure began,
// are left to the last; then the erasure waits for its end with LEGAL_HOLD.
func (s *Service) unheldPage(ctx context.Context, j *job) error {
	permit, err := s.permit(j.Tenant, policy.Erase, policy.CallRecord)
	if err != nil {
		return err
	}
	return decided(ctx, func(ctx context.Context) error {
		holds, err := s.standing(ctx, j.Tenant)
		if err != nil {
			return err
		}
		against := map[string]bool{}
		err = s.nextPage(ctx, j, func(c *store.Call) (bool, error) {
			by := map[string]bool{}
			err := s.whichKeep(ctx, permit, holds, c, by)
			maps.Copy(against, by)
			return len(by) > 0, err
		})
		if err != nil {
			return err
		}
		if len(j.Page) == 0 {
			return refusal(holds, func(h *Hold) bool { return against[h.ID] })
		}
		if err := s.between("unheld"); err != nil {
			return err
		}
		return s.save(ctx, j)
	})
}

// erasePage destroys what belongs to a page of calls. Media go first and rows
// that left go last, both by the ids of the page; each part can be repeated.
func (s *Service) erasePage(ctx context.Context, j *job) error {
	count := &j.Certificate.Counts
	if s.o.Media != nil {
		for _, c := range j.Page {
			recordings, transcripts, err := s.o.Media.Forget(ctx, j.Tenant, c.Call)
			if err != nil {
				return fmt.Errorf("destroy media: %w", err)
			}
			count.Recordings, count.Transcripts = count.Recordings+recordings, count.Transcripts+transcripts
		}
	}
	permit, err := s.permit(j.Tenant, policy.Erase, policy.CallRecord)
	if err != nil {
		return err
	}
	if err := s.between("page media"); err != nil {
		return err
	}
	x := s.redaction(j)
	ids := make([]string, len(j.Page))
	for i, c := range j.Page {
		ids[i] = c.Call
	}
	r, err := s.o.Store.Rewrite(tell(ctx, j.Tenant, "call.erase", j.Certificate.ID, nil), permit, store.Rewrite{Calls: ids, Fate: x.Fate, Redact: x.Apply})
	if err != nil {
		return fmt.Errorf("rewrite calls: %w", err)
	}
	if err := s.lastMedia(ctx, j.Tenant, ids...); err != nil { // of calls that stay, too: who brought it did not know of the erasure
		return err
	}
	count.Dropped += j.Dropped
	count.Redacted += uint64(len(j.Page)) - j.Dropped
	count.Versions, count.Chunks, count.Keys, count.Damaged = count.Versions+r.Versions, count.Chunks+r.Chunks, count.Keys+r.Keys, count.Damaged+r.Damaged
	if s.o.Exports != nil {
		f, err := s.o.Exports.Forget(ctx, j.Tenant, j.Certificate.ID, j.Page)
		if err != nil {
			return fmt.Errorf("take rows out of exports: %w", err)
		}
		count.Withdrawn, count.Tombstones = count.Withdrawn+f.Withdrawn, count.Tombstones+f.Tombstones
	}
	j.Page, j.Dropped = nil, 0
	return nil
}

var errEnough = errors.New("enough")

// nextPage finds calls that still name the person, those aside that held says of.
func (s *Service) nextPage(ctx context.Context, j *job, held func(*store.Call) (bool, error)) error {
	permit, err := s.permit(j.Tenant, policy.Erase, policy.CallRecord)
	if err != nil {
		return err
	}
	j.Page, j.Dropped = nil, 0
	x := s.redaction(j)
	seen := map[string]bool{}
	for _, o := range j.Owners {
		err := s.each(ctx, permit, o, func(c store.Call) error {
			if seen[c.ID] {
				return nil
			}
			seen[c.ID] = true
			if is, err := held(&c); err != nil || is {
				return err
			}
			j.Page = append(j.Page, export.Gone{Call: c.ID, Ingested: c.IngestedAt})
			if x.Fate(c) == store.Drop {
				j.Dropped++
			}
			if len(j.Page) == maxPage {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) redaction(j *job) *Redaction {
	x := &Redaction{subjects: map[string]bool{}, who: j.Who, key: j.Token, mentions: s.mentionsOf(j.Who)}
	for _, o := range j.Owners {
		for _, subject := range o.Subjects() {
			x.subjects[subject] = true
		}
	}
	return x
}

func (s *Service) mentionsOf(p *target) (out []mentions) {
	if p == nil {
		return nil
	}
	code := ""
	if p.E164 != "" {
		code = s.o.CallingCode(p.E164)
	}
	if m := newMentions(p.E164, code, p.Raw); !m.empty() {
		out = append(out, m)
	}
	return out
}

// quarantine destroys the payloads that mention the number. Their ids are in
// the ledger first, for a store that is put back.
func (s *Service) quarantine(ctx context.Context, j *job) (done bool, err error) {
	if j.Who != nil && j.Items == nil {
		if j.Items, err = s.mentioned(ctx, j); err != nil {
			return false, err
		}
	}
	if len(j.Items) > 0 {
		if err := s.noteQuarantined(j); err != nil {
			return false, err
		}
	}
	permit, err := s.permit(j.Tenant, policy.Erase, policy.CallRecord)
	if err != nil {
		return false, err
	}
	for _, id := range j.Items {
		if err := s.o.Store.Unquarantine(tell(ctx, j.Tenant, "quarantine.erase", j.Certificate.ID, nil), permit, id); err != nil && !errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
			return false, fmt.Errorf("destroy a quarantined payload: %w", err)
		}
	}
	j.Certificate.Counts.Quarantined += uint64(len(j.Items))
	j.Items = nil
	return true, nil
}

// mentioned finds the payloads that mention the person. For an owner from a
// later time on, what came before it is of others.
func (s *Service) mentioned(ctx context.Context, j *job) ([]string, error) {
	search := s.mentionsOf(j.Who)
	ids := []string{}
	if len(search) == 0 {
		return ids, nil
	}
	for token := ""; ; {
		permit, err := s.permit(j.Tenant, policy.Erase, policy.CallRecord)
		if err != nil {
			return nil, err
		}
		page, next, err := s.o.Store.Quarantines(ctx, permit, 100, token)
		if err != nil {
			return nil, err
		}
		for _, q := range page {
			theirs := len(j.Owners) == 0 || slices.ContainsFunc(j.Owners, func(o store.Owner) bool { return o.Since.IsZero() || !q.ReceivedAt.Before(o.Since) })
			of := j.Who.Instance == "" || j.Who.Instance == q.Instance
			if theirs && of && slices.ContainsFunc(search, func(m mentions) bool { return m.in(q.Payload) }) {
				ids = append(ids, q.ID)
			}
		}
		if token = next; token == "" {
			return ids, nil
		}
	}
}

func (s *Service) noteQuarantined(j *job) error {
	noted := map[string]bool{}
	entries, err := s.o.Ledger.Since(j.Tenant, 0)
	if err != nil {
		return err
	}
	for _, in := range entries {
		if in.Certificate == j.Certificate.ID {
			for _, id := range in.Quarantined {
				noted[id] = true
			}
		}
	}
	fresh := slices.DeleteFunc(slices.Clone(j.Items), func(id string) bool { return noted[id] })
	for part := range slices.Chunk(fresh, 10_000) {
		if _, err := s.o.Ledger.Append(Intent{Certificate: j.Certificate.ID, Tenant: j.Tenant, Quarantined: part, Time: s.now().UTC()}); err != nil {
			return err
		}
	}
	return nil
}

// forget empties what this process remembers of numbers, and asks for the key
// generation to be replaced: copies of its table still open what was destroyed.
func (s *Service) forget(j *job) error {
	for _, empty := range s.o.Forget {
		empty()
	}
	if s.o.Retire != nil {
		generation, err := s.o.Retire()
		if err != nil {
			return fmt.Errorf("ask for the key generation to be replaced: %w", err)
		}
		j.Generation = generation
	}
	return nil
}
