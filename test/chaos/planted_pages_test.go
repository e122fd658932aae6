package chaos

// pageBugs are those that following the runbooks to the letter found, put back.
var pageBugs = []bug{
	{"a stopped voter wants its service's secrets", []plant{{"controlplane/offline.go",
		"return known{voter: voter, root: root}, nil", "_, err = hexFile(\"bundle_key\", cfg.BundleKey)\n\treturn known{voter: voter, root: root}, err"}},
		"./test/system", "TestThePageOfTheLostQuorum"},
}

func init() { bugs = append(bugs, pageBugs...) }
