package chaos

// apiBugs are bugs of the API that people meet.
var apiBugs = []bug{
	{"a method without a row", []plant{{"controlplane/server/permissions.go",
		"	controlv1.RegionService_ListFeatures_FullMethodName: {roles: everybody},\n", ""}},
		"./controlplane", "TestINV12_ThePermissionMatrix"},
	{"a role is allowed more and nobody reviewed it", []plant{{"controlplane/server/permissions.go",
		"controlv1.OperationsService_ListViolations_FullMethodName:   {roles: operations}", "controlv1.OperationsService_ListViolations_FullMethodName:   {roles: everybody}"}},
		"./controlplane", "TestINV12_ThePermissionMatrix"},
	{"foreign and absent differ", []plant{{"controlplane/server/core.go",
		"	if isReason(err, policy.NotFound) || (err == nil && !callOf(ctx).sees(t.ID)) {\n",
		"	if err == nil && !callOf(ctx).sees(t.ID) {\n		return store.Tenant{}, notFound(\"tenant of yours\")\n	}\n	if isReason(err, policy.NotFound) {\n"}},
		"./controlplane", "TestINV12_ThePermissionMatrix"},
	{"another tenant's change is shown", []plant{{"controlplane/server/changes.go",
		"(err == nil && !callOf(ctx).sees(ch.Tenant))", "false"}},
		"./controlplane", "TestINV12_ThePermissionMatrix"},
	{"a path is read without its escapes", []plant{{"controlplane/server/gateway.go",
		"if strings.Contains(r.URL.EscapedPath(), \"%\") {", "if strings.Contains(strings.ToLower(r.URL.RawPath), \"%2f\") {"}},
		"./controlplane", "TestINV12_PathsHaveOneReading"},
	{"ciphers without authentication", []plant{{"internal/mtls/config.go",
		"CipherSuites: authenticated, ClientAuth", "ClientAuth"}},
		"./controlplane", "TestINV06_OldProtocolsAreRefused"},
}
