package chaos

// trustBugs are about whose word counts.
var trustBugs = []bug{
	{"a withdrawn approver approves", []plant{{"policy/trust.go",
		"if s == nil || s.Withdrew(id) {", "if s == nil {"}},
		"./controlplane/store", "TestAWithdrawnApproverApprovesNothing"},
	{"a withdrawal may be taken back", []plant{{"policy/trust.go",
		"if !begins(s.Withdrawn, old.Withdrawn) {", "if !begins(s.Withdrawn, nil) {"}},
		"./dataplane/feed", "TestCompromisedVoterCannotBringAWithdrawnApproverBack"},
	{"anybody withdraws an approver", []plant{{"policy/withdrawal.go",
		"if VerifySignature(public, statement, s) == nil {", "if VerifySignature(public, statement, s) == nil || s.KeyID != \"\" {"}},
		"./dataplane/feed", "TestCompromisedVoterCannotBringAWithdrawnApproverBack"},
	{"who enrols a key brings a withdrawn approver back", []plant{{"controlplane/store/apply_trust.go",
		"slices.Clone(s.Approvers), s.Withdrawn", "slices.Clone(s.Approvers), nil"}},
		"./controlplane/store", "TestAWithdrawnApproverApprovesNothing"},
	{"a former key of the tenant withdraws at the control plane", []plant{{"controlplane/server/signing_keys.go",
		"	head, _ := now.Head()\n	if public,", "	head := now.Tenant[0]\n	if public,"}},
		"./controlplane", "TestAnApproverIsWithdrawnOverREST"},
	{"a region that receives does not learn of a withdrawal", []plant{{"dataplane/senders.go",
		" && slices.Equal(a.Withdrawn, b.Withdrawn)", ""}},
		"./dataplane", "TestAWithdrawnApproverOfASenderEndsNothing"},
	{"the end of a tenant keeps the secrets of its pseudonyms", []plant{{"dataplane/export/purge.go",
		"e.o.Keys.Forget(names)", "e.o.Keys.Forget(names[:0])"}},
		"./dataplane/export", "TestINV15_DestroyedSecretsLeaveRowsUnlinkable"},
	{"a simulation lets go what would have gone to another region", []plant{{"dataplane/export/simulate.go",
		"	if to.Region != x.To {\n		reasons = append(reasons, recipientMoved)\n	}\n", ""}},
		"./dataplane/export", "TestASimulationIsWhatHappensWhenItIsApplied"},
	{"a follower of a killed leader gets the whole bundle again", []plant{{"dataplane/feed/follow.go",
		"f.cache.f == nil || f.cache.stale() {", "f.cache.f == nil || f.cache.size > 0 {"}},
		"./test/system", "TestINV30_FollowersGoOnWhenTheLeaderIsKilled"},
}

func init() { bugs = append(bugs, trustBugs...) }
