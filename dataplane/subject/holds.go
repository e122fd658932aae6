package subject

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Reasons of holds, a closed list.
var holdReasons = []string{"LITIGATION", "REGULATOR", "INVESTIGATION", "CONTRACT"}

// reference is what a hold may be filed under: no room for a name's spaces, and
// no run of digits that a telephone number fits into.
var (
	referenceForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$`)
	digitRun      = regexp.MustCompile(`[0-9]{8,}`)
)

// Hold stands against erasing: of one person, or of everybody of a tenant.
type Hold struct {
	ID        string        `json:"-"`
	Everybody bool          `json:"everybody,omitempty"`
	Owners    []store.Owner `json:"owners,omitempty"`
	Reason    string        `json:"reason"`
	Reference string        `json:"reference,omitempty"`
	Until     time.Time     `json:"until,omitzero"`
	By        policy.KeyID  `json:"by"`
	Created   time.Time     `json:"-"`
	Released  time.Time     `json:"released,omitzero"`
}

// stands reports whether the hold is in force.
func (h *Hold) stands(now time.Time) bool {
	return h.Released.IsZero() && (h.Until.IsZero() || now.Before(h.Until))
}

// covers reports whether a call that an owner takes part in by its present view is
// held; see keeps for earlier versions.
func (h *Hold) covers(c *store.Call) bool {
	if h.Everybody {
		return true
	}
	for _, o := range h.Owners {
		if within(c.ListedAt, o.Since, o.Until) && (names(o, c.Record.From.Subject) || names(o, c.Record.To.Subject)) {
			return true
		}
	}
	return false
}

// meets reports whether the hold is about one of the owners.
func (h *Hold) meets(owners []store.Owner) bool {
	if h.Everybody {
		return true
	}
	for _, a := range h.Owners {
		for _, b := range owners {
			if names(a, b.Subject) && (a.Until.IsZero() || b.Since.IsZero() || b.Since.Before(a.Until)) &&
				(b.Until.IsZero() || a.Since.IsZero() || a.Since.Before(b.Until)) {
				return true
			}
		}
	}
	return false
}

func names(o store.Owner, subject string) bool {
	return subject != "" && slices.Contains(o.Subjects(), subject)
}

// PutHold places a hold. What is being erased already cannot be held any more.
func (s *Service) PutHold(ctx context.Context, t policy.TenantID, w *Who, h Hold) (Hold, error) {
	if err := h.check(s.now()); err != nil {
		return h, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.Everybody = w == nil; w != nil {
		var err error
		if h.Owners, err = s.owners(ctx, t, *w); err != nil {
			return h, err
		}
		if err := one(h.Owners, *w); err != nil {
			return h, err
		}
		if len(h.Owners) == 0 {
			return h, policy.Errorf(policy.NotFound, "nothing is kept of this number, so that there is nothing to hold")
		}
	}
	h, err := s.createHold(ctx, t, h)
	if err != nil {
		return h, err
	}
	// From now on nothing is destroyed by who does not know the hold. What was decided
	// before stands in a document of the store, which is looked for now: what is not
	// there was not decided.
	if err = s.begun(ctx, t, &h); err == nil {
		return h, nil
	}
	_, undo := s.releaseHold(ctx, t, h.ID)
	return h, errors.Join(err, undo)
}

func (h *Hold) check(now time.Time) error {
	var bad []policy.FieldError
	if !slices.Contains(holdReasons, h.Reason) {
		bad = append(bad, policy.FieldError{Field: "reason", Message: "is not one of " + strings.Join(holdReasons, ", ")})
	}
	if h.Reference != "" && (!referenceForm.MatchString(h.Reference) || digitRun.MatchString(strings.NewReplacer("-", "", ".", "", "/", "").Replace(h.Reference))) {
		bad = append(bad, policy.FieldError{Field: "reference", Message: "must be 1 to 64 letters, digits and . _ / - without eight digits in a row, separators left out: a telephone number must not fit"})
	}
	if !h.Until.IsZero() && !h.Until.After(now) {
		bad = append(bad, policy.FieldError{Field: "until", Message: "is in the past"})
	}
	if len(bad) == 0 {
		return nil
	}
	return &policy.Error{Reason: policy.InvalidArgument, Message: "the hold is not usable; correct the fields and send it again", Fields: bad}
}

func (s *Service) createHold(ctx context.Context, t policy.TenantID, h Hold) (Hold, error) {
	permit, err := s.permit(t, policy.Erase, store.HoldItem.Class())
	if err != nil {
		return h, err
	}
	body, err := json.Marshal(h)
	if err != nil {
		return h, fmt.Errorf("encode a hold: %w", err)
	}
	if h.ID, err = policy.NewID(store.HoldItem.IDKind(), rand.Reader); err != nil {
		return h, err
	}
	told := tell(ctx, t, "hold.put", h.ID, map[string]any{"reason": h.Reason, "everybody": h.Everybody})
	item, err := s.o.Store.PutItem(told, permit, store.Item{Kind: store.HoldItem, ID: h.ID, Body: body}, 0)
	h.Created = item.Created
	return h, err
}

// ReleaseHold ends a hold; it stays listed. Released again, it answers the same.
func (s *Service) ReleaseHold(ctx context.Context, t policy.TenantID, id string) (Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.releaseHold(ctx, t, id)
}

func (s *Service) releaseHold(ctx context.Context, t policy.TenantID, id string) (Hold, error) {
	if !policy.ValidID(store.HoldItem.IDKind(), id) {
		return Hold{}, policy.Errorf(policy.NotFound, "there is no such hold")
	}
	permit, err := s.permit(t, policy.Erase, store.HoldItem.Class())
	if err != nil {
		return Hold{}, err
	}
	item, err := s.o.Store.Item(ctx, permit, store.HoldItem, id)
	if err != nil {
		return Hold{}, err
	}
	return s.released(item, func(item store.Item) error {
		_, err := s.o.Store.PutItem(tell(ctx, t, "hold.release", id, nil), permit, item, item.Version)
		return err
	})
}

// released ends the hold of an item, unless it has ended, and puts the item.
func (s *Service) released(item store.Item, put func(store.Item) error) (Hold, error) {
	h, err := holdOf(item)
	if err != nil || !h.Released.IsZero() {
		return h, err
	}
	h.Released = s.now().UTC()
	if item.Body, err = json.Marshal(h); err != nil {
		return h, fmt.Errorf("encode a hold: %w", err)
	}
	return h, put(item)
}

func holdOf(item store.Item) (h Hold, err error) {
	if err := json.Unmarshal(item.Body, &h); err != nil {
		return h, fmt.Errorf("a hold does not parse: %w", err)
	}
	h.ID, h.Created = item.ID, item.Created
	return h, nil
}

// Holds lists a tenant's holds, released ones included.
func (s *Service) Holds(ctx context.Context, t policy.TenantID, size int, token string) ([]Hold, string, error) {
	permit, err := s.reads(t, store.HoldItem)
	if err != nil {
		return nil, "", err
	}
	page, err := s.o.Store.Items(ctx, permit, store.ItemQuery{Kind: store.HoldItem, PageSize: size, PageToken: token})
	if err != nil {
		return nil, "", err
	}
	out := make([]Hold, 0, len(page.Items))
	for _, item := range page.Items {
		h, err := holdOf(item)
		if err != nil {
			return nil, "", err
		}
		out = append(out, h)
	}
	return out, page.NextPageToken, nil
}

// standing lists the holds that are in force, for who destroys: see store.WithHolds.
func (s *Service) standing(ctx context.Context, t policy.TenantID) (out []Hold, err error) {
	items, seen, err := s.o.Store.Holds(ctx, t)
	if err != nil {
		return nil, err
	}
	store.LookedAt(ctx, seen)
	for _, item := range items {
		h, err := holdOf(item)
		if err != nil {
			return nil, err
		}
		if h.stands(s.now()) {
			out = append(out, h)
		}
	}
	return out, nil
}

// keeps reports whether a hold covers a call by any of its versions: a correction
// that names somebody else does not take a call out of a hold. In doubt it covers.
func (s *Service) keeps(ctx context.Context, permit policy.Permit, h *Hold, c *store.Call) (bool, error) {
	if h.covers(c) || c.Versions < 2 {
		return h.covers(c), nil
	}
	for _, o := range h.Owners {
		if !within(c.ListedAt, o.Since, o.Until) {
			continue
		}
		for _, subject := range o.Subjects() {
			if named, err := s.everNamed(ctx, permit, c, subject); named || err != nil {
				return named, err
			}
		}
	}
	return false, nil
}

// everNamed reports whether some version or event of a call names a subject.
func (s *Service) everNamed(ctx context.Context, permit policy.Permit, c *store.Call, subject string) (bool, error) {
	q := store.Query{Subject: subject, AnyVersion: true, Start: c.ListedAt, End: c.ListedAt.Add(time.Microsecond), PageSize: maxPage}
	for {
		page, err := s.o.Store.List(ctx, permit, q)
		if err != nil {
			return false, err
		}
		if page.Corrupt > 0 || slices.ContainsFunc(page.Calls, func(at store.Call) bool { return at.ID == c.ID }) {
			return true, nil
		}
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			return false, nil
		}
	}
}

// whichKeep are the ids of the holds that cover a call.
func (s *Service) whichKeep(ctx context.Context, permit policy.Permit, holds []Hold, c *store.Call, into map[string]bool) error {
	for i := range holds {
		if into[holds[i].ID] {
			continue
		}
		is, err := s.keeps(ctx, permit, &holds[i], c)
		if err != nil {
			return err
		}
		if is {
			into[holds[i].ID] = true
		}
	}
	return nil
}
