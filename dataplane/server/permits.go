package server

import "github.com/domicile-io/domicile/policy"

// need is what a permit must cover.
type need struct {
	op    policy.Operation
	class policy.DataClass
}

// The permits that the store asks for, beside ingest and view of call records.
// Settings are read to process records, so that a node which may no longer show
// anything can still take records in.
var (
	readSettings  = need{policy.Process, policy.AccountConfig}
	writeSettings = need{policy.Store, policy.AccountConfig}
	reprocess     = need{policy.Process, policy.CallRecord}
)
