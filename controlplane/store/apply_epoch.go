package store

import (
	"fmt"

	"github.com/domicile-io/domicile/policy"
)

// raiseEpoch begins a new cluster epoch. What was given out in the former one
// and could have been taken back since is void; what only a later decision of
// people could renew, lapses. Idempotency records stay: they say what was done.
func (e *entry) raiseEpoch(p RaiseEpoch) (any, error) {
	cluster, err := need[Cluster](e.tx, bucketMeta, metaCluster, "cluster yet")
	if err != nil {
		return nil, err
	}
	switch now := policy.EpochOf(e.before); {
	case p.ClusterID != cluster.ID:
		return nil, invalid("cluster_id", "is another cluster's")
	case p.Epoch <= now || p.Epoch > policy.MaxEpoch:
		return nil, invalid("epoch", "must be above %d, the present one, and at most %d", now, policy.MaxEpoch)
	case p.Cause != CauseRestore && p.Cause != CauseRecover:
		return nil, invalid("cause", "must be restore or recover")
	case !voterPattern.MatchString(p.Voter):
		return nil, invalid("voter", "must match %s", voterPattern)
	case !hashPattern.MatchString(p.Source):
		return nil, invalid("source", "must be 64 hex digits")
	}
	e.changed, e.epoch = true, p.Epoch
	if err := e.lapsePending(); err != nil {
		return nil, err
	}
	if err := e.dropMembers(); err != nil {
		return nil, err
	}
	if err := e.interruptOperations(); err != nil {
		return nil, err
	}
	for _, given := range [][]byte{bucketTokens, bucketTokenIDs, bucketTokenExpiry, bucketPrincipals} {
		e.dropAll(given)
	}
	if err := e.voidBootstrap(); err != nil {
		return nil, err
	}
	e.dropAll(bucketLog) // no delta leads from one epoch into another
	e.log.Resync = true
	for i, t := range p.Tokens {
		if err := checkToken(t); err != nil {
			return nil, err.within(fmt.Sprintf("tokens[%d]", i))
		}
		if _, err := e.storeToken(t); err != nil {
			return nil, err
		}
	}
	return Epoch{ClusterID: cluster.ID, Epoch: p.Epoch, Revision: e.revision()}, nil
}

// lapsePending ends every pending change: who signed it looked at a state that
// may not be this one.
func (e *entry) lapsePending() error {
	c := e.tx.Bucket(bucketPending).Cursor()
	for k, raw := c.First(); k != nil; k, raw = c.Next() {
		id, err := decode[string](bucketPending, k, raw)
		if err != nil {
			return err
		}
		change, err := need[Change](e.tx, bucketChanges, []byte(id), "change")
		if err != nil {
			return dangling(err)
		}
		change.State, change.ETag = ChangeLapsed, etagOf(e.revision())
		if err := e.put(bucketChanges, []byte(id), change); err != nil {
			return err
		}
	}
	e.dropAll(bucketPending)
	return nil
}

// dropAll stages the deletion of everything in a bucket.
func (e *entry) dropAll(bucket []byte) {
	c := e.tx.Bucket(bucket).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		e.drop(bucket, append([]byte(nil), k...))
	}
}
