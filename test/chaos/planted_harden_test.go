package chaos

// hardenBugs are bugs of what bounds those who are not trusted yet.
var hardenBugs = []bug{
	{"the lobby has no end", []plant{{"internal/lobby/room.go",
		"if len(l.waiting) >= l.o.Waiting {", "if len(l.waiting) >= 1<<30 {"}},
		"./internal/lobby", "TestINV41_SilentConnectionsKeepNobodyOut"},
	{"a full lobby lets nobody in", []plant{{"internal/lobby/room.go",
		"wait > 0 {", "wait < 1<<60 {"}},
		"./internal/lobby", "TestINV41_SilentConnectionsKeepNobodyOut"},
	{"newcomers put out whose handshake goes on", []plant{{"internal/lobby/room.go",
		"wait > 0 {", "wait > 1<<60 {"}},
		"./internal/lobby", "TestINV41_AStormOfHandshakesEnds"},
	{"a crowd puts out who came alone", []plant{{"internal/lobby/room.go",
		"if count[g.from] > count[best.from] {", "if count[g.from] > 1<<30 {"}},
		"./internal/lobby", "TestINV41_ACrowdMakesRoomItself"},
	{"leadership is confirmed for whoever asks", []plant{{"controlplane/server/forward.go",
		"			if !d.none() {\n				return nil, false, s.auth.refuse(ctx, d)\n			}\n			if err := s.linearize", "			if err := s.linearize"}},
		"./controlplane", "TestINV41_WhoIsNotBelievedCostsNothingReplicated"},
	{"whoever asks is waited for", []plant{{"controlplane/server/forward.go",
		"if token != \"\" && !d.none() {", "if token != \"\" && d.final() {"}},
		"./controlplane", "TestINV41_WhoIsNotBelievedCostsNothingReplicated"},
	{"a credential that a follower has not heard of is refused there", []plant{{"controlplane/server/authenticate.go",
		"return d.why == noCredential || d.why == malformed", "return !d.none()"}},
		"./controlplane", "TestAFreshCredentialWorksAtEveryVoter"},
	{"a watch that is not read is kept", []plant{{"controlplane/server/server.go",
		"keepalive.ServerParameters{Time: 15 * time.Second,", "keepalive.ServerParameters{Time: 15 * time.Hour,"}},
		"./test/attacks", "TestINV41_WhoReadsAByteASecondIsCut"},
	{"an answer may be read for ever", []plant{{"controlplane/server/server.go",
		"WriteTimeout: 30 * time.Second,", "WriteTimeout: 30 * time.Hour,"}},
		"./test/attacks", "TestINV41_WhoReadsAByteASecondIsCut"},
	{"of two credentials the first counts", []plant{{"controlplane/server/caller.go",
		"	case 1:\n		return values[0], nil\n", "	default:\n		return values[0], nil\n"},
		{"controlplane/server/caller.go", "	return \"\", fieldError(key, \"must be given once\")\n", ""}},
		"./controlplane", "TestINV12_TokenAttacksOverTheWire"},
}

func init() { bugs = append(bugs, hardenBugs...) }
