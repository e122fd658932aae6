package store

import (
	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// Node finds a data-plane node.
func (s *Store) Node(id policy.NodeID) (Node, error) {
	return find[Node](s, bucketNodes, []byte(id), "node")
}

// Nodes lists every node that was ever seen, ordered by id; at most MaxNodes.
func (s *Store) Nodes() ([]Node, error) { return all[Node](s, bucketNodes, nil) }

// NodesRevision is the revision at which who may subscribe last changed, or
// may have: it is that of the state after a start.
func (s *Store) NodesRevision() uint64 { return s.current.Load().nodes }

// NodeAdmission is how a region takes nodes; NOT_FOUND without such a region.
func (s *Store) NodeAdmission(region policy.RegionID) (a NodeAdmission, err error) {
	if _, err := s.Region(region); err != nil {
		return a, err
	}
	err = s.peek(func(tx *bolt.Tx) error {
		a, err = admissionOf(tx, region)
		return err
	})
	return a, err
}

// Violation finds a violation.
func (s *Store) Violation(id string) (Violation, error) {
	return find[Violation](s, bucketViolations, []byte(id), "violation")
}

// Violations lists violations, ordered by id; at most MaxViolations.
func (s *Store) Violations() ([]Violation, error) { return all[Violation](s, bucketViolations, nil) }

// Holds reports whether a violation of a category and resource is not resolved.
func (s *Store) Holds(category, resource string) (holds bool, err error) {
	err = s.peek(func(tx *bolt.Tx) error {
		holds = tx.Bucket(bucketUnresolved).Get(path(category, resource)) != nil
		return nil
	})
	return holds, err
}

// nodeRowAt makes the bundle's row of a node.
func nodeRowAt(tx *bolt.Tx, region policy.RegionID, id policy.NodeID) (*policy.Row, error) {
	if tx.Bucket(bucketNodeRows).Get(path(region, id)) == nil {
		return nil, nil
	}
	n, err := need[Node](tx, bucketNodes, []byte(id), "node")
	if err != nil {
		return nil, dangling(err)
	}
	return &policy.Row{Format: policy.FormatVersion, Node: n.row()}, nil
}

func nodeRows(tx *bolt.Tx, region policy.RegionID, each func(string) error) error {
	return eachSuffix(tx, bucketNodeRows, path(region, ""), func(s string) error { return each("n/" + s) })
}
