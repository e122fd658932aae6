package intake

import "github.com/domicile-io/domicile/dataplane/record"

// Numbers reads telephone numbers and remembers the last ones in memory. It
// holds personal data: call Forget after an erasure. Safe for concurrent use.
type Numbers struct{}

// NewNumbers remembers at most size numbers; about 200 bytes each.
func NewNumbers(size int) *Numbers { return &Numbers{} }

// Forget drops everything remembered.
func (n *Numbers) Forget() {}

// Party reads what a source wrote for one end of a call. Country is the
// alpha-2 default for numbers without a country code, or "".
func (n *Numbers) Party(raw, country string) record.Party { return record.Party{Raw: raw} }
