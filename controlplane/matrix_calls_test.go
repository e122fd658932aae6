package controlplane_test

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// matrixCall says how to call one method so that nothing but authorization can
// refuse it: a plausible request about a tenant and what it owns. Writes leave
// out If-Match, or repeat themselves, so that those that are allowed need no
// cleaning up.
type matrixCall func(w *world, of fixture) proto.Message

// scoped reports whether the request is about something of one tenant.
func (c matrixCall) scoped(w *world) bool { return !proto.Equal(c(w, w.mine), c(w, w.other)) }

// calls has an entry for every method of the API: Service/Method.
var calls = map[string]matrixCall{
	"TenantService/CreateTenant": func(*world, fixture) proto.Message {
		return &controlv1.CreateTenantRequest{Slug: "matrix", HomeRegion: "ie1", BillingCountry: "IE"}
	},
	"TenantService/GetTenant":   func(_ *world, f fixture) proto.Message { return &controlv1.GetTenantRequest{Tenant: f.ref} },
	"TenantService/ListTenants": func(*world, fixture) proto.Message { return &controlv1.ListTenantsRequest{} },
	"TenantService/UpdateTenant": func(_ *world, f fixture) proto.Message {
		return &controlv1.UpdateTenantRequest{Tenant: f.ref, BillingCountry: proto.String("DE")}
	},
	"TenantService/DeleteTenant": func(_ *world, f fixture) proto.Message { return &controlv1.DeleteTenantRequest{Tenant: f.ref} },
	"TenantService/CheckPlacement": func(_ *world, f fixture) proto.Message {
		return &controlv1.CheckPlacementRequest{Tenant: f.ref, Region: "ie1", Features: []string{"voice"}}
	},

	"BatchService/BatchCreateTenants": func(*world, fixture) proto.Message {
		return &controlv1.BatchCreateTenantsRequest{Requests: []*controlv1.CreateTenantRequest{{Slug: "matrix", HomeRegion: "ie1", BillingCountry: "IE"}}}
	},
	"BatchService/BatchUpdatePolicies": func(_ *world, f fixture) proto.Message {
		return &controlv1.BatchUpdatePoliciesRequest{Requests: []*controlv1.PolicyUpdate{{Tenant: f.ref, Etag: "fffff",
			Rules: &controlv1.PolicyRules{Recipients: &controlv1.RecipientList{DenyAll: true}}}}}
	},

	"KeyService/CreateKey": func(_ *world, f fixture) proto.Message {
		return &controlv1.CreateKeyRequest{Tenant: f.ref, Region: "ie1", Role: "ingest", SecretSha256: policy.HashSecret("matrix"), KeyId: "SK" + strings.Repeat("7", 32)}
	},
	"KeyService/GetKey":   func(_ *world, f fixture) proto.Message { return &controlv1.GetKeyRequest{Tenant: f.ref, Key: f.key} },
	"KeyService/ListKeys": func(_ *world, f fixture) proto.Message { return &controlv1.ListKeysRequest{Tenant: f.ref} },
	"KeyService/SignKey": func(_ *world, f fixture) proto.Message {
		return &controlv1.SignKeyRequest{Tenant: f.ref, Key: f.key, Number: 1, Signature: &controlv1.Signature{KeyId: strings.Repeat("a", 32), Value: strings.Repeat("A", 86) + "=="}}
	},
	"KeyService/DeleteKey": func(_ *world, f fixture) proto.Message { return &controlv1.DeleteKeyRequest{Tenant: f.ref, Key: f.key} },

	"PolicyService/GetPolicy": func(_ *world, f fixture) proto.Message { return &controlv1.GetPolicyRequest{Tenant: f.ref} },
	"PolicyService/PutPolicy": func(_ *world, f fixture) proto.Message {
		return &controlv1.PutPolicyRequest{Tenant: f.ref, Rules: &controlv1.PolicyRules{Recipients: &controlv1.RecipientList{DenyAll: true}}}
	},
	"PolicyService/ExplainDecision": func(_ *world, f fixture) proto.Message {
		return &controlv1.ExplainDecisionRequest{Tenant: f.ref, Operation: "store", DataClass: "call_record", Region: "ie1"}
	},

	"ChangeService/ListChanges": func(*world, fixture) proto.Message { return &controlv1.ListChangesRequest{} },
	"ChangeService/GetChange":   func(_ *world, f fixture) proto.Message { return &controlv1.GetChangeRequest{Change: f.change} },
	"ChangeService/ApproveChange": func(_ *world, f fixture) proto.Message {
		return &controlv1.ApproveChangeRequest{Change: f.change}
	},
	"ChangeService/RejectChange": func(_ *world, f fixture) proto.Message {
		return &controlv1.RejectChangeRequest{Change: f.settled}
	},

	"SigningKeyService/CreateSigningKey": func(_ *world, f fixture) proto.Message {
		return &controlv1.CreateSigningKeyRequest{Tenant: f.ref, Purpose: "approver", Principal: "PR" + strings.Repeat("1", 32), Entity: "ACME-IE", Boundary: "eu",
			PublicKey: strings.Repeat("ab", 32), Certificate: &controlv1.Signature{KeyId: strings.Repeat("a", 32), Value: strings.Repeat("A", 86) + "=="}}
	},
	"SigningKeyService/ListSigningKeys": func(_ *world, f fixture) proto.Message {
		return &controlv1.ListSigningKeysRequest{Tenant: f.ref}
	},
	"SigningKeyService/GetSignedPolicy": func(_ *world, f fixture) proto.Message {
		return &controlv1.GetSignedPolicyRequest{Tenant: f.ref}
	},
	"SigningKeyService/WithdrawSigningKey": func(_ *world, f fixture) proto.Message {
		return &controlv1.WithdrawSigningKeyRequest{Tenant: f.ref, SigningKey: strings.Repeat("a", 32),
			Signature: &controlv1.Signature{KeyId: strings.Repeat("a", 32), Value: strings.Repeat("A", 86) + "=="}}
	},

	"RecipientService/ListRecipients": func(_ *world, f fixture) proto.Message {
		return &controlv1.ListRecipientsRequest{Tenant: f.ref}
	},
	"RecipientService/GetRecipient": func(_ *world, f fixture) proto.Message {
		return &controlv1.GetRecipientRequest{Tenant: f.ref, Recipient: f.recipient}
	},
	"RecipientService/PutRecipient": func(_ *world, f fixture) proto.Message {
		return &controlv1.PutRecipientRequest{Tenant: f.ref, Recipient: f.recipient, Spec: &controlv1.Recipient{Region: "us1", Purpose: "fraud_analysis",
			AssessmentHash: policy.HashSecret("assessment"), AssessmentExpiry: timestamppb.New(time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC))}}
	},
	"RecipientService/CreateRecipientKey": func(_ *world, f fixture) proto.Message {
		return &controlv1.CreateRecipientKeyRequest{Tenant: f.ref, Recipient: f.recipient, SecretSha256: policy.HashSecret("matrix"), KeyId: "SK" + strings.Repeat("7", 32)}
	},

	"RegionService/ListRegions": func(*world, fixture) proto.Message { return &controlv1.ListRegionsRequest{} },
	"RegionService/GetRegion":   func(*world, fixture) proto.Message { return &controlv1.GetRegionRequest{Region: "ie1"} },
	"RegionService/PutRegion": func(*world, fixture) proto.Message {
		return &controlv1.PutRegionRequest{Region: "ie1", Spec: &controlv1.Region{Boundary: "eu", Country: "IE", Cloud: "aws-eu-west-1", BackupRegion: "none", Lifecycle: "active"}}
	},
	"RegionService/ListFeatures": func(*world, fixture) proto.Message { return &controlv1.ListFeaturesRequest{Region: "ie1"} },
	"RegionService/ListEntities": func(*world, fixture) proto.Message { return &controlv1.ListEntitiesRequest{} },
	"RegionService/ListBases":    func(*world, fixture) proto.Message { return &controlv1.ListBasesRequest{} },
	"RegionService/GetBasis":     func(w *world, _ fixture) proto.Message { return &controlv1.GetBasisRequest{Basis: w.basis} },

	"BasisService/PutBasis": func(w *world, _ fixture) proto.Message {
		return &controlv1.PutBasisRequest{Basis: w.basis, Spec: &controlv1.BasisSpec{State: "active"}}
	},
	"BasisService/RevokeBasis":    func(w *world, _ fixture) proto.Message { return &controlv1.RevokeBasisRequest{Basis: w.basis} },
	"BasisService/ListBasisFlows": func(w *world, _ fixture) proto.Message { return &controlv1.ListBasisFlowsRequest{Basis: w.basis} },

	"LifecycleService/SuspendTenant": func(_ *world, f fixture) proto.Message { return &controlv1.SuspendTenantRequest{Tenant: f.ref} },
	"LifecycleService/ResumeTenant":  func(_ *world, f fixture) proto.Message { return &controlv1.ResumeTenantRequest{Tenant: f.ref} },
	"LifecycleService/PurgeTenant":   func(_ *world, f fixture) proto.Message { return &controlv1.PurgeTenantRequest{Tenant: f.ref} },
	"LifecycleService/ExcuseNode": func(_ *world, f fixture) proto.Message {
		return &controlv1.ExcuseNodeRequest{Tenant: f.ref, Node: "ND" + strings.Repeat("0", 32)}
	},
	"LifecycleService/ListReceipts": func(_ *world, f fixture) proto.Message { return &controlv1.ListReceiptsRequest{Tenant: f.ref} },
	"LifecycleService/ReportPurge": func(*world, fixture) proto.Message {
		return &controlv1.ReportPurgeRequest{Receipt: &controlv1.PurgeReceipt{Order: "OP" + strings.Repeat("0", 32), Tenant: "TN" + strings.Repeat("0", 32), Region: "ie1", Node: "ND" + strings.Repeat("0", 32), Time: timestamppb.Now()}}
	},

	"LongRunningService/ListOperations": func(*world, fixture) proto.Message { return &controlv1.ListOperationsRequest{} },
	"LongRunningService/GetOperation":   func(w *world, _ fixture) proto.Message { return &controlv1.GetOperationRequest{Operation: w.operation} },
	"LongRunningService/WaitOperation": func(w *world, _ fixture) proto.Message {
		return &controlv1.WaitOperationRequest{Operation: w.operation, Timeout: 1}
	},
	"LongRunningService/CancelOperation": func(w *world, _ fixture) proto.Message {
		return &controlv1.CancelOperationRequest{Operation: w.operation}
	},
	"LongRunningService/TakeBackup":    func(*world, fixture) proto.Message { return &controlv1.TakeBackupRequest{} },
	"LongRunningService/VerifyBackups": func(*world, fixture) proto.Message { return &controlv1.VerifyBackupsRequest{} },
	"LongRunningService/ImportTenants": func(w *world, _ fixture) proto.Message {
		return &controlv1.ImportTenantsRequest{Requests: []*controlv1.CreateTenantRequest{{Slug: w.mine.slug, HomeRegion: "ie1", BillingCountry: "IE"}}}
	},
	"LongRunningService/ReportOperation": func(w *world, _ fixture) proto.Message {
		return &controlv1.ReportOperationRequest{Operation: w.operation, State: "running"}
	},

	"CatalogueService/GetFeature": func(*world, fixture) proto.Message {
		return &controlv1.GetFeatureRequest{Region: "ie1", Feature: "voice"}
	},
	"CatalogueService/PutFeature": func(*world, fixture) proto.Message {
		return &controlv1.PutFeatureRequest{Region: "ie1", Feature: "voice", Spec: &controlv1.FeatureSpec{Stage: "ga"}}
	},
	"CatalogueService/GetEntity": func(*world, fixture) proto.Message { return &controlv1.GetEntityRequest{Country: "IE"} },
	"CatalogueService/PutEntity": func(*world, fixture) proto.Message {
		return &controlv1.PutEntityRequest{Country: "IE", Spec: &controlv1.EntitySpec{Code: "DOM-IE"}}
	},

	"NodeService/ListNodes": func(*world, fixture) proto.Message { return &controlv1.ListNodesRequest{} },
	"NodeService/GetNode":   func(w *world, _ fixture) proto.Message { return &controlv1.GetNodeRequest{Node: w.node} },
	"NodeService/AdmitNode": func(w *world, _ fixture) proto.Message { return &controlv1.AdmitNodeRequest{Node: w.node} },
	"NodeService/EvictNode": func(w *world, _ fixture) proto.Message {
		return &controlv1.EvictNodeRequest{Node: w.evicted, ReasonCode: "LOST"}
	},
	"NodeService/GetNodeAdmission": func(*world, fixture) proto.Message { return &controlv1.GetNodeAdmissionRequest{Region: "ie1"} },
	"NodeService/PutNodeAdmission": func(*world, fixture) proto.Message {
		return &controlv1.PutNodeAdmissionRequest{Region: "ie1", Mode: "automatic"}
	},
	"ViolationService/ListViolations": func(*world, fixture) proto.Message { return &controlv1.ListViolationsRequest{} },
	"ViolationService/GetViolation":   func(w *world, _ fixture) proto.Message { return &controlv1.GetViolationRequest{Violation: w.violation} },
	"ViolationService/AcknowledgeViolation": func(w *world, _ fixture) proto.Message {
		return &controlv1.AcknowledgeViolationRequest{Violation: w.violation, ReasonCode: "INVESTIGATING"}
	},

	"OperationsService/GetClusterStatus": func(*world, fixture) proto.Message { return &controlv1.GetClusterStatusRequest{} },

	"TokenService/CreateToken": func(*world, fixture) proto.Message {
		return &controlv1.CreateTokenRequest{Role: "auditor", SecretSha256: hashed("matrix")}
	},
	"TokenService/GetToken":    func(w *world, _ fixture) proto.Message { return &controlv1.GetTokenRequest{Token: w.somebodys} },
	"TokenService/ListTokens":  func(*world, fixture) proto.Message { return &controlv1.ListTokensRequest{} },
	"TokenService/DeleteToken": func(w *world, _ fixture) proto.Message { return &controlv1.DeleteTokenRequest{Token: w.somebodys} },

	"PrincipalService/CreatePrincipal": func(w *world, _ fixture) proto.Message {
		return &controlv1.CreatePrincipalRequest{Id: w.person, Role: "auditor"}
	},
	"PrincipalService/GetPrincipal":    func(w *world, _ fixture) proto.Message { return &controlv1.GetPrincipalRequest{Principal: w.person} },
	"PrincipalService/ListPrincipals":  func(*world, fixture) proto.Message { return &controlv1.ListPrincipalsRequest{} },
	"PrincipalService/DeletePrincipal": func(w *world, _ fixture) proto.Message { return &controlv1.DeletePrincipalRequest{Principal: w.person} },

	"LoginService/GetLogin": func(*world, fixture) proto.Message { return &controlv1.GetLoginRequest{} },
	"LoginService/WhoAmI":   func(*world, fixture) proto.Message { return &controlv1.WhoAmIRequest{} },

	"AuditService/ListLeaves":       func(*world, fixture) proto.Message { return &controlv1.ListLeavesRequest{} },
	"AuditService/GetCheckpoint":    func(*world, fixture) proto.Message { return &controlv1.GetCheckpointRequest{} },
	"AuditService/ProveLeaf":        func(*world, fixture) proto.Message { return &controlv1.ProveLeafRequest{} },
	"AuditService/ProveConsistency": func(*world, fixture) proto.Message { return &controlv1.ProveConsistencyRequest{OldSize: 1} },

	"BackupService/CreateBackup": func(*world, fixture) proto.Message {
		return &controlv1.CreateBackupRequest{Recipients: []string{"age1cy0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euqm"}}
	},
	"BackupService/ConfirmRevision": func(*world, fixture) proto.Message { return &controlv1.ConfirmRevisionRequest{} },

	"MemberService/ListMembers":   func(*world, fixture) proto.Message { return &controlv1.ListMembersRequest{} },
	"MemberService/InviteMember":  func(*world, fixture) proto.Message { return &controlv1.InviteMemberRequest{Name: "matrix"} },
	"MemberService/RemoveMember":  func(*world, fixture) proto.Message { return &controlv1.RemoveMemberRequest{Member: "cp1"} },
	"MemberService/PromoteMember": func(*world, fixture) proto.Message { return &controlv1.PromoteMemberRequest{Member: "cp1"} },
	"MemberService/DemoteMember":  func(*world, fixture) proto.Message { return &controlv1.DemoteMemberRequest{Member: "cp1"} },
	"MemberService/ReaddressMember": func(*world, fixture) proto.Message {
		return &controlv1.ReaddressMemberRequest{Member: "cp1", RaftAddress: "127.0.0.1:1", GrpcAddress: "127.0.0.1:2"}
	},
	"MemberService/TransferLeadership": func(*world, fixture) proto.Message {
		return &controlv1.TransferLeadershipRequest{Member: "cp1"}
	},
	"MembershipService/Join": func(*world, fixture) proto.Message {
		return &controlv1.JoinRequest{Token: "dj_" + strings.Repeat("0", 64), Name: "cp1", RaftAddress: "127.0.0.1:1", GrpcAddress: "127.0.0.1:2", Version: 1}
	},
	"MembershipService/Announce": func(*world, fixture) proto.Message {
		return &controlv1.AnnounceRequest{Name: "matrix", RaftAddress: "127.0.0.1:1", GrpcAddress: "127.0.0.1:2", Version: 1}
	},

	"DistributionService/Subscribe": func(*world, fixture) proto.Message {
		return &controlv1.NodeMessage{Message: &controlv1.NodeMessage_Hello{Hello: &controlv1.Hello{}}}
	},
}
