package selftest

import (
	"context"
	"errors"
	"fmt"

	"github.com/domicile-io/domicile/policy"
)

// judge is nil for the one right answer. Nothing of an answer is repeated but its
// reason, because this is logged.
func (p *Probe) judge(answer error, elsewhere policy.RegionID) error {
	var e *policy.Error
	switch {
	case !errors.As(answer, &e):
		if errors.Is(answer, context.DeadlineExceeded) {
			return fmt.Errorf("it was not refused within %s", Patience)
		}
		return answer
	case e.Reason == policy.EgressDenied:
		return fmt.Errorf("%w: %w", ErrUnasked, answer)
	case e.Reason != policy.WrongRegion:
		return fmt.Errorf("it was answered %s instead of %s", e.Reason, policy.WrongRegion)
	case e.Metadata["home_region"] != string(elsewhere):
		return fmt.Errorf("the refusal does not send it to region %s, whose it is", elsewhere)
	}
	return nil
}
