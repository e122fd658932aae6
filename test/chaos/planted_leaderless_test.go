package chaos

// leaderlessBugs are bugs that show when the leader is lost, or a voter is behind.
var leaderlessBugs = []bug{
	{"a voter without a leader answers reads by itself", []plant{{"controlplane/server/forward.go",
		"		case <-deadline.C:\n			retry.Stop()\n			return nil, true, s.noLeader(leader)", "		case <-deadline.C:\n			retry.Stop()\n			return nil, false, s.again(ctx, p, c, seen, d)"}},
		"./controlplane", "TestINV12_AttacksDuringALeaderLoss"},
	{"a voter says of what has ended that there is no leader", []plant{{"controlplane/server/forward.go",
		"if mayForward && d.settled() {", "if false {"}},
		"./controlplane", "TestINV12_AttacksDuringALeaderLoss"},
	{"a voter waits for a leader before it says what a role may never do", []plant{{"controlplane/server/forward.go",
		"!d.none() || c.credential != byToken {", "!d.none() || c.credential == byToken {"}},
		"./controlplane", "TestINV12_AttacksDuringALeaderLoss"},
	{"a voter gives a backup to whom it has not heard was revoked", []plant{{"controlplane/server/backup.go",
		"	if err := s.catchUp(ctx); err != nil {\n		return err\n	}\n	who,", "	who,"}},
		"./controlplane", "TestINV20_AVoterThatHasNotHeardOfARevocationOpensNothing"},
	{"a forwarded write loses its idempotency key", []plant{{"controlplane/server/forward.go",
		"[]string{mdAuthorization, mdIfMatch, mdIdempotency} {", "[]string{mdAuthorization, mdIfMatch} {"}},
		"./controlplane", "TestINV31_CallersThatGoAwayHaveOneEffectOrNone"},
	{"whoever goes away leaves somebody waiting", []plant{{"controlplane/replica/leader.go",
		"done := make(chan error, 1)", "done := make(chan error)"}},
		"./controlplane", "TestINV31_CallersThatGoAwayHaveOneEffectOrNone"},
	{"a voter that is alone reads nothing", []plant{{"controlplane/server/forward.go",
		"	case \"minimize_latency\":\n		return !p.write, nil", "	case \"minimize_latency\":\n		return false, nil"}},
		"./controlplane", "TestINV42_FiveProcessesLoseOneBoundaryAndThenTwo"},
	{"a node takes from a voter what a tenant that signs did not sign", []plant{{"dataplane/feed/trust.go",
		"if err := policy.VerifyRow(r.expect.Cluster, r.expect.Root, r.had(row.RowKey()), row.Tenant); err != nil {", "if err := error(nil); err != nil {"}},
		"./test/system", "TestINV35_ANodeRefusesWhatAVoterThatWasTakenOverForges"},
}
