package chaos

// contractBugs are what an audit of the control plane against its contract, sentence
// by sentence, found no test for.
var contractBugs = []bug{
	{"a full disk looks like too much load", []plant{{"api/problem.go",
		"{codes.ResourceExhausted, 507, ", "{codes.ResourceExhausted, 429, "}},
		"./api", "TestErrorsAreTheContracts"},
	{"errors are of another domain over gRPC", []plant{{"api/problem.go",
		"const Domain = \"residency\"", "const Domain = \"domicile\""}},
		"./api", "TestErrorsAreTheContracts"},
	{"an internal error tells its cause", []plant{{"api/problem.go",
		"Message: \"the request failed inside; quote the request id to the operator\", Cause: err}", "Message: err.Error(), Cause: err}"}},
		"./api", "TestAnInternalErrorSaysNothing"},
	{"whoever can log in may read", []plant{{"controlplane/server/permissions.go",
		"	everybody   = roleNames()\n", "	everybody   = append(roleNames(), unbound)\n"}},
		"./controlplane", "TestINV12_ThePermissionMatrix"},
	{"a command that there will be is taken for another", []plant{{"internal/cli/near.go",
		"if why := unbuilt[word]; why != \"\" && !cmd.HasParent() {", "if why := unbuilt[word]; why != \"\" && cmd.HasParent() {"}},
		"./internal/cli", "TestWordsThatAreNoCommandsAreToldWhere"},
}

func init() { bugs = append(bugs, contractBugs...) }
