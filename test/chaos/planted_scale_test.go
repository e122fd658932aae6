package chaos

// scaleBugs are bugs of the distribution of bundles and of what a node does in doubt.
var scaleBugs = []bug{
	{"a delta is applied over a gap", []plant{{"dataplane/feed/apply.go",
		"if d.GetFromRevision() != have || st.Revision <= have {", "if st.Revision <= have {"}},
		"./dataplane/feed", "TestINV32_DeltasAndSnapshotsAgreeWithAModel"},
	{"a shard that an older snapshot shares is changed in place", []plant{{"policy/table.go",
		"s.entries = append(make([]tableEntry[E], 0, len(old.entries)+1), old.entries...)", "s.entries = old.entries"}},
		"./policy", "TestTablesAgreeWithMaps"},
	{"a stale node exports", []plant{{"policy/decide.go",
		"if unknown || q.BundleAge >= FreshFor ||", "if unknown ||"}},
		"./dataplane/gate", "TestFailClosed"},
	{"a jump of the wall clock is ignored", []plant{{"policy/decide.go",
		"d.noteIf(q.ClockSuspect, RuleClockSuspect)", ""}},
		"./dataplane/gate", "TestFailClosed"},
	{"what changes while a snapshot is on its way is not noted", []plant{{"controlplane/server/feed.go",
		"f.changes.note(key, changed.To)\n		f.state.Put(key, body)", "f.state.Put(key, body)"}},
		"./controlplane/server", "TestINV30_SessionsAgreeWithTheStore"},
	{"a slow node gets the changes that are left and not those that it missed", []plant{{"controlplane/server/follow.go",
		"append(changed.Rows, others.Rows...)", "changed.Rows"}},
		"./controlplane/server", "TestASlowNodeIsCoalesced"},
	{"keys that are away for ever are never missed", []plant{{"dataplane/gate/gate.go",
		">= int64(policy.KeysFor)", "< 0"}},
		"./dataplane/gate", "TestFailClosed"},
}

func init() { bugs = append(bugs, scaleBugs...) }
