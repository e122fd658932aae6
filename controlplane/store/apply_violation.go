package store

import (
	"encoding/binary"
	"regexp"
	"slices"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// ViolationCategories and AcknowledgeReasons are closed lists.
var (
	ViolationCategories = []string{"LOCATION", "ACCESS", "ENCRYPTION", "EGRESS", "STALENESS", "ATTESTATION"}
	AcknowledgeReasons  = []string{"INVESTIGATING", "MAINTENANCE", "KNOWN_FAULT", "ACCEPTED_RISK"}
)

// sightingsApart is how far apart two written sightings of one violation are,
// so that a noisy node does not fill the log.
const sightingsApart = time.Minute

var (
	causePattern    = regexp.MustCompile(`^[A-Z][A-Z_]{0,39}$`)
	resourcePattern = regexp.MustCompile(`^((ND|SK|TN)[0-9a-f]{32}|[a-z]{2}[0-9]{1,2}|[A-Z][A-Z0-9-]{1,31})$`)
)

func (e *entry) settleViolation(p SettleViolation) (any, error) {
	switch p.To {
	case ViolationOpen:
		return e.seeViolation(p)
	case ViolationAcknowledged:
		return e.acknowledgeViolation(p)
	case ViolationResolved:
		return e.resolveViolation(p)
	}
	return nil, invalid("to", "must be open, acknowledged or resolved")
}

func (e *entry) seeViolation(p SettleViolation) (any, error) {
	if f := checkSighting(p); f != nil {
		return nil, f.refusal()
	}
	v, known, err := e.unresolved(p)
	if err != nil {
		return nil, err
	}
	if !known {
		if _, taken, err := load[Violation](e.tx, bucketViolations, []byte(p.ID)); err != nil || taken {
			return nil, invalid("id", "is taken")
		}
		if err := e.makeRoom(); err != nil {
			return nil, err
		}
		v = Violation{ID: p.ID, State: ViolationOpen, Category: p.Category, Resource: p.Resource, FirstSeen: e.stamp.Now}
		if err := e.put(bucketUnresolved, path(p.Category, p.Resource), v.ID); err != nil {
			return nil, err
		}
	} else if e.stamp.Now.Sub(v.LastSeen) < sightingsApart {
		return v, nil
	}
	before := v
	v.Cause, v.Revision, v.LastSeen, v.Count = p.Cause, p.Revision, e.stamp.Now, v.Count+max(p.Count, 1)
	return e.putViolation(before, v)
}

func checkSighting(p SettleViolation) *fault {
	switch {
	case !policy.ValidID(policy.KindViolation, p.ID):
		return &fault{"id", "must be VI and 32 hex digits"}
	case !slices.Contains(ViolationCategories, p.Category):
		return &fault{"category", "is not of the closed list"}
	case !resourcePattern.MatchString(p.Resource):
		return &fault{"resource", "must be the id of a node, key, tenant, region or transfer basis"}
	case !causePattern.MatchString(p.Cause):
		return &fault{"cause", "must match " + causePattern.String()}
	}
	return nil
}

// unresolved finds the violation of a category and resource that still holds.
func (e *entry) unresolved(p SettleViolation) (v Violation, known bool, err error) {
	id, known, err := load[string](e.tx, bucketUnresolved, path(p.Category, p.Resource))
	if err != nil || !known {
		return v, false, err
	}
	v, err = need[Violation](e.tx, bucketViolations, []byte(id), "violation")
	return v, err == nil, dangling(err)
}

func (e *entry) acknowledgeViolation(p SettleViolation) (any, error) {
	if !slices.Contains(AcknowledgeReasons, p.ReasonCode) {
		return nil, invalid("reason_code", "must be one of %v", AcknowledgeReasons)
	}
	v, err := need[Violation](e.tx, bucketViolations, []byte(p.ID), "violation")
	if err != nil {
		return nil, err
	}
	if p.IfMatch != "" {
		if err := match(p.IfMatch, v.ETag); err != nil {
			return nil, err
		}
	}
	if v.State == ViolationResolved {
		return nil, policy.Errorf(policy.AlreadyExists, "the violation is resolved: there is nothing to acknowledge any more")
	}
	before := v
	v.State, v.AcknowledgedBy, v.AcknowledgedAt, v.ReasonCode = ViolationAcknowledged, e.stamp.Actor, &e.stamp.Now, p.ReasonCode
	return e.putViolation(before, v)
}

func (e *entry) resolveViolation(p SettleViolation) (any, error) {
	if !slices.Contains(ViolationCategories, p.Category) || !resourcePattern.MatchString(p.Resource) {
		return nil, invalid("category", "and resource must be those of a violation")
	}
	v, known, err := e.unresolved(p)
	if err != nil || !known {
		return nil, err
	}
	before := v
	v.State, v.ResolvedAt = ViolationResolved, &e.stamp.Now
	e.drop(bucketUnresolved, path(v.Category, v.Resource))
	return e.putViolation(before, v)
}

// putViolation stages a violation and its place in the order of removal.
func (e *entry) putViolation(before, v Violation) (any, error) {
	e.changed = true
	v.ETag = etagOf(e.revision())
	if before.ETag != "" {
		e.drop(bucketViolationAge, ageOf(before))
	}
	e.mark(bucketViolationAge, ageOf(v))
	return v, e.put(bucketViolations, []byte(v.ID), v)
}

// ageOf orders violations by who goes first: resolved before acknowledged
// before open, and of each the one seen longest ago.
func ageOf(v Violation) []byte {
	rank := map[ViolationState]byte{ViolationResolved: 0, ViolationAcknowledged: 1, ViolationOpen: 2}[v.State]
	key := binary.BigEndian.AppendUint64([]byte{rank}, uint64(v.LastSeen.UnixNano()))
	return append(key, v.ID...)
}

// makeRoom removes the first in the order of removal when the list is full.
func (e *entry) makeRoom() error {
	if e.count(bucketViolationAge) < MaxViolations {
		return nil
	}
	first, _ := e.tx.Bucket(bucketViolationAge).Cursor().First()
	v, err := need[Violation](e.tx, bucketViolations, first[9:], "violation")
	if err != nil {
		return dangling(err)
	}
	if v.State != ViolationResolved {
		e.drop(bucketUnresolved, path(v.Category, v.Resource))
	}
	e.drop(bucketViolationAge, ageOf(v))
	e.drop(bucketViolations, []byte(v.ID))
	return nil
}
