package chaos

// lifecycleBugs are about transfer bases, features and the end of tenants.
var lifecycleBugs = []bug{
	{"a revoked basis lets a frozen transfer go", []plant{{"policy/basis.go",
		"	case b.State == BasisRevoked:\n		return RuleBasisRevoked\n", ""},
		{"policy/basis.go", "case b.State != BasisActive, b.ExpiresAt", "case b.State == BasisExpired, b.ExpiresAt"}},
		"./dataplane/export", "TestFrozenTransferUnderAFallenBasisNeverLeaves"},
	{"a receiver trusts the sender about the basis", []plant{{"dataplane/peer/receiver.go",
		"rule != 0 && !q.Refused", "rule != 0 && q.Refused"}},
		"./dataplane/peer", "TestTransferUnderABasisThatIsNotOpenIsRefused"},
	{"a drill enforces", []plant{{"controlplane/server/bases.go",
		"		if err != nil || !req.GetEnforce() {\n			return store.DrillBasis{ID: req.GetBasis()}, err\n		}\n", "		if err != nil {\n			return nil, err\n		}\n"}},
		"./controlplane", "TestBasisIsDrilledRevokedAndReinstated"},
	{"a basis is opened without a grant", []plant{{"policy/basis.go",
		"case b.Loosens(old) && b.sequence() <= old.sequence():", "case b.Loosens(old) && b.sequence() < old.sequence():"}},
		"./dataplane/feed", "TestCompromisedVoterCannotReinstateABasis"},
	{"a feature is taken away from tenants that use it", []plant{{"controlplane/store/apply_feature.go",
		"if err == nil && ok && p.HomeRegion == f.Region && p.Uses(", "if err == nil && ok && p.HomeRegion != f.Region && p.Uses("}},
		"./controlplane/store", "TestFeatureIsTakenAwayFromNobody"},
}
