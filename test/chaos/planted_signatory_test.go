package chaos

// signatoryBugs are about what whoever signs, or reads the log of changes, believes.
var signatoryBugs = []bug{
	{"the command line believes the policy that it is shown", []plant{{"internal/cli/signatory.go",
		"if err := policy.VerifyRow(p.Cluster, p.root(), p.Proven, row); err != nil {", "if err := policy.VerifyRow(p.Cluster, p.root(), p.Proven, row); err != nil && p.Proven == nil {"}},
		"./internal/cli", "TestScripts/scripts/liar"},
	{"an older policy is proven to whoever has seen a later one", []plant{{"internal/cli/signatory.go",
		"policy.VerifyRow(p.Cluster, p.root(), p.Proven, row)", "policy.VerifyRow(p.Cluster, p.root(), nil, row)"}},
		"./internal/cli", "TestScripts/scripts/liar"},
	{"another clusters name is believed", []plant{{"internal/cli/signatory.go",
		"if e.GetCluster() != p.Cluster {", "if p.Cluster = e.GetCluster(); p.Cluster == \"\" {"}},
		"./internal/cli", "TestScripts/scripts/liar"},
	{"a change for another number is signed", []plant{{"internal/cli/approve.go",
		"ch.GetSequence() != want {", "ch.GetSequence() < want-1 {"}},
		"./internal/cli", "TestApproveSignsOnlyWhatItShows"},
	{"a first key for a tenant that signs", []plant{{"internal/cli/trust_first.go",
		"	if p.Proven != nil {", "	if p.Proven != nil && len(e.GetKeys()) > 0 {"}},
		"./internal/cli", "TestScripts/scripts/liar"},
	{"a successor of nobodys is signed for", []plant{{"internal/cli/trust_enrol.go",
		"	if err := who.pin.follows(chain, c.Key); err != nil {", "	if err := who.pin.follows(chain, c.Key); err != nil && c.Key.ID == \"\" {"}},
		"./internal/cli", "TestScripts/scripts/liar"},
	{"what proves a policy lacks what the tenant said of its API keys", []plant{{"api/control/signers.go",
		"if head, _ := s.Head(); s.SignsKeys() {", "if head, _ := s.Head(); s.SignsKeys() && head.ID == \"\" {"}},
		"./controlplane", "TestTheSignedPolicyOverREST"},
	{"pages of the audit log go in a circle", []plant{{"internal/cli/leaves.go",
		"case r.used[token]:", "case r.used[token] && token == \"\":"}},
		"./internal/cli", "TestINV26_AServersOrderAndPageTokensAreNotBelieved"},
	{"a number that the server passes over is not missed", []plant{{"internal/cli/leaves.go",
		"case r.all && index > r.next:", "case r.all && index > r.end:"}},
		"./internal/cli", "TestINV26_AServersOrderAndPageTokensAreNotBelieved"},
	{"a number that the server gives twice is listed twice", []plant{{"internal/cli/leaves.go",
		"case index < r.next:", "case index < r.next && index < 1:"}},
		"./internal/cli", "TestINV26_AServersOrderAndPageTokensAreNotBelieved"},
}

func init() { bugs = append(bugs, signatoryBugs...) }
