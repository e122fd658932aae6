package server

import (
	"errors"

	"github.com/domicile-io/domicile/policy"
)

// Ready reports whether calls can be answered: the cluster is initialised and
// somebody leads. The error says what is missing, and nothing else.
func (c *core) Ready() error {
	if !c.replica.Ready() {
		return errors.New("no leader is known")
	}
	if _, err := c.store.Cluster(); isReason(err, policy.NotFound) {
		return errors.New("the cluster is not initialised")
	} else if err != nil {
		return errors.New("the state cannot be read")
	}
	if c.store.Revision() == 0 { // written, but the regions that calls see are not these yet
		return errors.New("the cluster is being initialised")
	}
	return nil
}
