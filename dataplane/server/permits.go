package server

import "github.com/domicile-io/domicile/policy"

// need is what a permit must cover.
type need struct {
	op    policy.Operation
	class policy.DataClass
}

// The permits that the store asks for, beside ingest and view of call records.
var (
	readSettings  = need{policy.Process, policy.AccountConfig} // a node that is write-only still has to read its feeds' settings
	writeSettings = need{policy.Store, policy.AccountConfig}
	reprocess     = need{policy.Process, policy.CallRecord}
)
