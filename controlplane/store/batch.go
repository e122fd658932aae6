package store

import (
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/policy"
)

// MaxBatch is how many items one batch holds.
const MaxBatch = 250

// Batch is many changes in one entry. They apply in order, each like a command
// of its own, with a revision and an audit leaf of its own; one that is refused leaves nothing, and the others stand. The idempotency
// key is the batch's. Result body: []BatchOutcome, one for each item.
type Batch struct {
	Items []BatchItem `json:"items"`
}

// BatchItem is an encoded CreateTenant, PutPolicy or AddChange, without an
// idempotency key and with the batch's own stamp; or why the proposer refused it.
type BatchItem struct {
	Command []byte        `json:"command,omitempty"`
	Tenant  string        `json:"tenant,omitempty"` // with Refused only
	Refused policy.Reason `json:"refused,omitempty"`
}

// BatchOutcome is what became of one item. It holds no object, so that the record of
// an idempotency key stays small.
type BatchOutcome struct {
	Tenant string        `json:"tenant,omitempty"`
	ETag   string        `json:"etag,omitempty"`
	Reason policy.Reason `json:"reason,omitempty"`
	Change string        `json:"change,omitempty"`
}

func (Batch) kind() Kind { return KindBatch }

func (Batch) subject() (audit.Action, string) { return "", "" } // its items are recorded

// runBatch applies a batch's items, each as an entry of its own revision.
func runBatch(tx *bolt.Tx, c Command, b Batch, next *cursor) (Result, error) {
	whole := next.entry(tx, c.Stamp)
	r := Result{Kind: KindBatch, Revision: next.revision}
	if f := checkStamp(c.Stamp); f != nil {
		r.Err = f.refusal()
		return r, nil
	}
	if past, seen, err := lookup(tx, next.index, c.Stamp); err != nil || seen {
		return past, err
	}
	commands, refusal, err := b.open(c.Stamp)
	if err != nil || refusal != nil {
		r.Err = refusal
		return r, err
	}
	outcomes := make([]BatchOutcome, len(b.Items))
	for i, item := range b.Items {
		if item.Refused != "" {
			outcomes[i] = BatchOutcome{Tenant: item.Tenant, Reason: item.Refused}
			continue
		}
		e := next.entry(tx, c.Stamp)
		e.command, e.part = item.Command, true
		got, err := e.run(commands[i])
		if err != nil {
			return Result{}, fmt.Errorf("item %d of a batch: %w", i, err)
		}
		if e.changed && got.Err == nil {
			next.revision = e.revision()
			whole.log.Touches = append(whole.log.Touches, e.log.Touches...)
		}
		if outcomes[i], err = outcomeOf(commands[i], got, e.changed); err != nil {
			return Result{}, err
		}
	}
	body, err := encode(outcomes)
	if err != nil {
		return Result{}, err
	}
	if next.revision != whole.before { // one place in the change log for all: nobody sees a batch half applied
		whole.log.First = whole.before + 1
		if err := whole.logUpTo(next.revision); err != nil {
			return Result{}, err
		}
	}
	r.Revision, r.Body = next.revision, body
	if err := whole.remember(r); err != nil {
		return Result{}, err
	}
	return r, whole.commit()
}

// open decodes the items, and refuses what no proposer of ours makes: a batch must
// not carry another's name, or a kind whose permission was not asked for.
func (b Batch) open(s Stamp) (commands []Command, refusal *policy.Error, err error) {
	if len(b.Items) == 0 || len(b.Items) > MaxBatch {
		return nil, invalid("items", "must be 1 to %d", MaxBatch), nil
	}
	commands = make([]Command, len(b.Items))
	for i, item := range b.Items {
		if item.Refused != "" {
			if !reasonPattern.MatchString(string(item.Refused)) || item.Tenant != "" && !policy.ValidID(policy.KindTenant, item.Tenant) {
				return nil, invalid("items", "must hold reasons and ids only"), nil
			}
			continue
		}
		c, err := Decode(item.Command)
		if err != nil {
			return nil, nil, fmt.Errorf("item %d of a batch: %w", i, err)
		}
		switch c.Payload.(type) {
		case CreateTenant, PutPolicy, AddChange:
		default:
			return nil, invalid("items", "must create tenants or change policies"), nil
		}
		if c.Stamp.Actor != s.Actor || !c.Stamp.Now.Equal(s.Now) || c.Stamp.IdempotencyKey != "" {
			return nil, invalid("items", "must carry the stamp of the batch"), nil
		}
		commands[i] = c
	}
	return commands, nil, nil
}

// outcomeOf reads the result of an item. What it changed carries its revision as
// etag; what it left as it was, or added as a pending change, says so itself.
func outcomeOf(c Command, r Result, changed bool) (o BatchOutcome, err error) {
	switch p := c.Payload.(type) {
	case CreateTenant:
		o.Tenant = string(p.ID)
	case PutPolicy:
		o.Tenant = string(p.Tenant)
	case AddChange:
		o.Tenant = string(p.Tenant)
	}
	add, pending := c.Payload.(AddChange)
	switch {
	case r.Err != nil:
		o.Reason = r.Err.Reason
		if _, created := c.Payload.(CreateTenant); created {
			o.Tenant = "" // there is none
		}
	case pending:
		var change Change
		if err = r.Decode(&change); err == nil {
			o.Change, o.Reason = change.ID, policy.ApprovalRequired
			if (Change{Fields: add.Fields}).Loosens() {
				o.Reason = policy.LooseningNeedsApproval
			}
		}
	case changed:
		o.ETag = etagOf(r.Revision)
	case r.Body != nil:
		o.ETag, err = etagIn(r.Body)
	}
	if err != nil {
		return o, fmt.Errorf("read the result of an item: %w", err)
	}
	return o, nil
}
