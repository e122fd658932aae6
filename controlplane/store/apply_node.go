package store

import (
	"regexp"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// Limits of nodes and violations.
const (
	MaxNodes      = 4096 // that were ever seen
	MaxViolations = 1000 // kept; what was resolved longest ago goes first
)

// EvictionReasons is the closed list of why a node is evicted.
var EvictionReasons = []string{"COMPROMISED", "LOST", "REPLACED", "DECOMMISSIONED"}

var (
	instancePattern = regexp.MustCompile(`^i-[0-9a-f]{8,17}$`)
	accountPattern  = regexp.MustCompile(`^[0-9]{12}$`)
)

func (e *entry) registerNode(p RegisterNode) (any, error) {
	if f := checkInstance(p.Instance, p.Account); f != nil {
		return nil, f.refusal()
	}
	n, known, err := e.node(p.ID, p.Region)
	if err != nil {
		return nil, err
	}
	switch {
	case known && n.State == NodeEvicted:
		return nil, policy.Errorf(policy.PermissionDenied, "this node was evicted and is not served any more; give its machine a certificate with another node id, or admit this one anew with `domicile nodes admit %s`", n.ID)
	case known && n.Region != p.Region:
		return nil, policy.Errorf(policy.PermissionDenied, "this node id was admitted to region %s, and the certificate is of %s: issue the certificate with an id of its own", n.Region, p.Region)
	}
	before := n
	if !known {
		mode, err := admissionOf(e.tx, p.Region)
		if err != nil {
			return nil, err
		}
		n = Node{ID: p.ID, Region: p.Region, State: NodeRequested, Level: policy.Declared, SeenAt: e.stamp.Now}
		if mode.Mode == AdmitAutomatic {
			n.State, n.AdmittedAt = NodeAdmitted, &e.stamp.Now
		}
	}
	if p.Instance != "" && n.Admits() {
		if err := e.bind(p.Instance, n.ID); err != nil {
			return nil, err
		}
		n.Level, n.Instance, n.Account = policy.CloudSigned, p.Instance, p.Account
	}
	if known && n == before {
		return n, nil
	}
	return e.putNode(n)
}

// bind gives an instance to one node for ever: its document can be shown by
// whoever has read it, so a second node that shows it is refused.
func (e *entry) bind(instance string, to policy.NodeID) error {
	owner, bound, err := load[policy.NodeID](e.tx, bucketInstances, []byte(instance))
	if err != nil {
		return err
	}
	if bound && owner != to {
		return policy.Errorf(policy.AlreadyExists, "the cloud's document names an instance that is node %s; each machine is one node", owner).With("node", string(owner))
	}
	return e.put(bucketInstances, []byte(instance), to)
}

func (e *entry) admitNode(p AdmitNode) (any, error) {
	n, known, err := e.node(p.ID, p.Region)
	if err != nil {
		return nil, err
	}
	if a := p.Admission; a != nil && (a.Check() != nil || a.Node != p.ID || a.Region != p.Region) {
		return nil, invalid("admission", "must be the root's statement about this node and region")
	}
	switch {
	case known && n.Region != p.Region && n.Region != "":
		return nil, policy.Errorf(policy.ResourceRegionMismatch, "the node is of region %s", n.Region)
	case known && (n.State == NodeEvicted || p.IfMatch != ""):
		if err := match(p.IfMatch, n.ETag); err != nil {
			return nil, err
		}
	case !known && p.IfMatch != "":
		return nil, policy.Errorf(policy.ETagMismatch, "the node is not known yet: leave If-Match out")
	case !known:
		n = Node{ID: p.ID, Region: p.Region, SeenAt: e.stamp.Now, Level: policy.Declared}
	}
	before := n
	if n.State == NodeEvicted {
		if p.Admission != nil && p.Admission.IssuedAt <= n.EvictedAt.Unix() {
			return nil, invalid("admission.issued_at", "must be after the eviction: let the root sign again, knowing of it")
		}
		n.Level, n.Admission, n.EvictedAt, n.Reason = policy.Declared, nil, nil, ""
	}
	if n.State != NodeAdmitted {
		n.AdmittedAt = &e.stamp.Now
	}
	n.State, n.Region = NodeAdmitted, p.Region
	if p.Admission != nil {
		n.Admission, n.Level = p.Admission, max(n.Level, policy.OperatorSigned)
	}
	if known && n == before {
		return n, nil
	}
	return e.putNode(n)
}

func (e *entry) evictNode(p EvictNode) (any, error) {
	if !slices.Contains(EvictionReasons, p.Reason) {
		return nil, invalid("reason", "must be one of %v", EvictionReasons)
	}
	if !policy.ValidID(policy.KindNode, string(p.ID)) {
		return nil, invalid("id", "must be ND and 32 hex digits")
	}
	n, known, err := load[Node](e.tx, bucketNodes, []byte(p.ID))
	if err == nil && !known {
		n, err = Node{ID: p.ID, Level: policy.Declared, SeenAt: e.stamp.Now}, e.roomForNode()
	}
	if err != nil {
		return nil, err
	}
	if p.IfMatch != "" {
		if err := match(p.IfMatch, n.ETag); err != nil {
			return nil, err
		}
	}
	if n.State == NodeEvicted {
		return n, nil
	}
	n.State, n.EvictedAt, n.Reason = NodeEvicted, &e.stamp.Now, p.Reason
	return e.putNode(n)
}

// node reads a node and checks what every command about one names.
func (e *entry) node(id policy.NodeID, region policy.RegionID) (n Node, known bool, err error) {
	if !policy.ValidID(policy.KindNode, string(id)) {
		return n, false, invalid("id", "must be ND and 32 hex digits")
	}
	if _, err := policy.ParseRegionID(string(region)); err != nil {
		return n, false, invalid("region", "%v", err)
	}
	if _, err := need[Region](e.tx, bucketRegions, []byte(region), "region"); err != nil {
		return n, false, err
	}
	n, known, err = load[Node](e.tx, bucketNodes, []byte(id))
	if err == nil && !known {
		err = e.roomForNode()
	}
	return n, known, err
}

func (e *entry) roomForNode() error {
	if e.count(bucketNodes) >= MaxNodes {
		return policy.Errorf(policy.Overloaded, "%d nodes have been seen, and no more are kept", MaxNodes)
	}
	return nil
}

func (e *entry) count(bucket []byte) (n int) {
	c := e.tx.Bucket(bucket).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		n++
	}
	return n
}

// putNode stages a node, its row, and who changed it.
func (e *entry) putNode(n Node) (any, error) {
	e.changed = true
	n.By, n.ETag = e.stamp.Actor, etagOf(e.revision())
	key := path(n.Region, n.ID)
	had := e.tx.Bucket(bucketNodeRows).Get(key) != nil
	switch has := n.row() != nil; {
	case has:
		e.mark(bucketNodeRows, key)
		e.touch(n.Region, policy.Row{Node: n.row()}.RowKey())
	case had:
		e.drop(bucketNodeRows, key)
		e.touch(n.Region, policy.Row{Node: &policy.NodeRow{ID: n.ID}}.RowKey())
	}
	return n, e.put(bucketNodes, []byte(n.ID), n)
}

func (e *entry) putNodeAdmission(p PutNodeAdmission) (any, error) {
	if p.Mode != AdmitAutomatic && p.Mode != AdmitExplicit {
		return nil, invalid("mode", "must be automatic or explicit")
	}
	if _, err := policy.ParseRegionID(string(p.Region)); err != nil {
		return nil, invalid("region", "%v", err)
	}
	if _, err := need[Region](e.tx, bucketRegions, []byte(p.Region), "region"); err != nil {
		return nil, err
	}
	now, err := admissionOf(e.tx, p.Region)
	if err != nil {
		return nil, err
	}
	if now.ETag != "" || p.IfMatch != "" {
		if err := match(p.IfMatch, now.ETag); err != nil {
			return nil, err
		}
	}
	if now.Mode == p.Mode {
		return now, nil
	}
	e.changed = true
	next := NodeAdmission{Region: p.Region, Mode: p.Mode, ETag: etagOf(e.revision())}
	return next, e.put(bucketAdmission, []byte(p.Region), next)
}

// admissionOf is a region's mode; automatic when it was never set.
func admissionOf(tx *bolt.Tx, region policy.RegionID) (NodeAdmission, error) {
	a, ok, err := load[NodeAdmission](tx, bucketAdmission, []byte(region))
	if err == nil && !ok {
		a = NodeAdmission{Region: region, Mode: AdmitAutomatic}
	}
	return a, err
}

func checkInstance(instance, account string) *fault {
	switch {
	case instance == "" && account == "":
		return nil
	case !instancePattern.MatchString(instance):
		return &fault{"instance", "must match " + instancePattern.String()}
	case !accountPattern.MatchString(account):
		return &fault{"account", "must be 12 digits"}
	}
	return nil
}
