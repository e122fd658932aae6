package store

import (
	"bytes"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// entry is one command being applied. Handlers read the transaction and stage
// their writes; the writes reach the transaction only if the handler does not
// refuse, so that a refusal leaves nothing behind. A handler does not see its
// own staged writes: it checks first and writes last.
type entry struct {
	tx      *bolt.Tx
	stamp   Stamp
	command []byte // as it stands in the Raft log
	before  uint64 // revision before this command
	epoch   uint64 // that this command begins; 0: the present one goes on
	index   *index // of the store, as are the next three
	answers *answers
	recent  *recent
	edge    *edge
	regions *policy.Topology // as of the command before this one
	changed bool             // takes the next revision
	part    bool             // of a batch, which has the idempotency key and tidies up after all its items
	writes  []write
	made    *known // what the writes leave of the tenant; nil: it is read when it is needed
	log     logRecord
}

// entry of a command with a stamp, at the state so far.
func (c *cursor) entry(tx *bolt.Tx, s Stamp) entry {
	return entry{tx: tx, index: c.index, answers: &c.answers, recent: c.recent, edge: c.edge, stamp: s, before: c.revision, regions: c.topology}
}

// storedRow is the content of a row that is also the command's answer.
type storedRow []byte

type write struct {
	bucket, key []byte
	content     []byte // nil deletes
}

// revision that this command's effects carry.
func (e *entry) revision() uint64 {
	if e.epoch > 0 {
		return policy.RevisionOf(e.epoch, policy.CountOf(e.before)+1)
	}
	return e.before + 1
}

// put stages an object.
func (e *entry) put(bucket, key []byte, v any) error {
	content, err := encode(v)
	if err != nil {
		return err
	}
	e.writes = append(e.writes, write{bucket, key, content})
	return nil
}

// mark stages an index entry.
func (e *entry) mark(bucket, key []byte) {
	e.writes = append(e.writes, write{bucket, key, []byte{}})
}

// drop stages a deletion.
func (e *entry) drop(bucket, key []byte) {
	e.writes = append(e.writes, write{bucket, key, nil})
}

// touch notes that the command changes a row of a region's bundle.
func (e *entry) touch(region policy.RegionID, row string) {
	t := touch{Region: region, Row: row}
	for _, have := range e.log.Touches {
		if have == t {
			return
		}
	}
	e.log.Touches = append(e.log.Touches, t)
}

// commit carries the staged writes into the transaction.
func (e *entry) commit() error {
	for _, w := range e.writes {
		b := e.tx.Bucket(w.bucket)
		b.FillPercent = fill(w.bucket)
		var err error
		if w.content == nil {
			err = b.Delete(w.key)
		} else {
			err = b.Put(w.key, seal(w.bucket, w.key, w.content))
		}
		if err != nil {
			return fmt.Errorf("write %s/%q: %w", w.bucket, w.key, err)
		}
		if e.recent != nil {
			e.recent.wrote(w)
		}
	}
	if e.made != nil {
		e.recent.keep(*e.made)
	}
	return nil
}

// run applies one command: replay, handler, change log, audit leaf, idempotency.
func (e *entry) run(c Command) (Result, error) {
	if f := checkStamp(c.Stamp); f != nil {
		return Result{Kind: c.Kind(), Revision: e.before, Err: f.refusal()}, nil
	}
	if r, seen, err := lookup(e.tx, e.index, c.Stamp); err != nil || seen {
		return r, err
	}
	body, err := e.handle(c.Payload)
	if err == nil && e.changed {
		err = e.record(c)
	}
	var refusal *policy.Error
	switch {
	case errors.As(err, &refusal):
		return Result{Kind: c.Kind(), Revision: e.before, Err: refusal}, nil
	case err != nil:
		return Result{}, err
	}
	r := Result{Kind: c.Kind(), Revision: e.before}
	switch body := body.(type) {
	case nil:
	case storedRow:
		r.Body = body
	default:
		if r.Body, err = encode(body); err != nil {
			return Result{}, err
		}
	}
	if e.changed {
		r.Revision = e.revision()
	}
	if e.changed && !e.part {
		if err := e.logUpTo(r.Revision); err != nil {
			return Result{}, err
		}
	}
	if !e.part {
		if err := e.remember(r); err != nil {
			return Result{}, err
		}
	}
	return r, e.commit()
}

// logUpTo stages a place in the change log up to a revision, and the removal of those
// that fall off the log's end: as many as there are revisions in it, at most.
func (e *entry) logUpTo(rev uint64) error {
	if rev > LogRevisions && e.epoch == 0 { // a new epoch has removed them all
		end := revisionKey(rev - LogRevisions)
		c := e.tx.Bucket(bucketLog).Cursor()
		for k, _ := c.First(); k != nil && bytes.Compare(k, end) <= 0; k, _ = c.Next() {
			e.drop(bucketLog, bytes.Clone(k))
		}
	}
	return e.put(bucketLog, revisionKey(rev), e.log)
}

// handle dispatches to the handler of a payload. A *policy.Error is a refusal;
// any other error stops the node.
func (e *entry) handle(p Payload) (body any, err error) {
	switch p := p.(type) {
	case InitCluster:
		return e.initCluster(p)
	case CreateTenant:
		return e.createTenant(p)
	case UpdateTenant:
		return e.updateTenant(p)
	case PutPolicy:
		return e.putPolicy(p)
	case AddChange:
		return e.addChange(p)
	case RejectChange:
		return e.rejectChange(p)
	case CreateKey:
		return e.createKey(p)
	case DeleteKey:
		return nil, e.deleteKey(p)
	case PutRegion:
		return e.putRegion(p)
	case CreateToken:
		return e.createToken(p.Token)
	case Nop:
		return nil, nil
	case EnrolKey:
		return e.enrolAlone(p)
	case Approve:
		return e.approve(p)
	case RaiseEpoch:
		return e.raiseEpoch(p)
	case PutBasis:
		return e.putBasis(p)
	case DrillBasis:
		return e.drillBasis(p)
	case PutFeature:
		return e.putFeature(p)
	case PutEntity:
		return e.putEntity(p)
	case RegisterNode:
		return e.registerNode(p)
	case AdmitNode:
		return e.admitNode(p)
	case EvictNode:
		return e.evictNode(p)
	case SettleViolation:
		return e.settleViolation(p)
	case PutNodeAdmission:
		return e.putNodeAdmission(p)
	case RevokeToken:
		return nil, e.revokeToken(p)
	case BindPrincipal:
		return e.bindPrincipal(p.Principal)
	case UnbindPrincipal:
		return nil, e.unbindPrincipal(p)
	case UseBootstrap:
		return e.useBootstrap(p)
	case RenewBootstrap:
		return nil, e.renewBootstrap(p)
	}
	return e.handleLifecycle(p)
}

// need reads an object that the command is about; NOT_FOUND without it.
func need[T any](tx *bolt.Tx, bucket, key []byte, what string) (T, error) {
	v, ok, err := load[T](tx, bucket, key)
	if err == nil && !ok {
		err = policy.Errorf(policy.NotFound, "no such %s: check the id, or list what there is", what)
	}
	return v, err
}

// match compares If-Match with an object's etag.
func match(ifMatch, etag string) error {
	switch ifMatch {
	case etag:
		return nil
	case "":
		return policy.Errorf(policy.IfMatchRequired, "this changes what exists: send the etag you read as If-Match").With("etag", etag)
	}
	return policy.Errorf(policy.ETagMismatch, "it was changed since you read it: read it again and repeat with the new etag").With("etag", etag)
}

// invalid is a refusal that names one bad field.
func invalid(field, format string, args ...any) *policy.Error {
	return &policy.Error{Reason: policy.InvalidArgument, Message: "the change is invalid: correct the named fields",
		Fields: []policy.FieldError{{Field: field, Message: fmt.Sprintf(format, args...)}}}
}
