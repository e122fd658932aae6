package server

import (
	"slices"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// permission is who may call one method. A method is a read, which may be
// answered locally, or a write, which is never repeated by us.
type permission struct {
	roles []role      // persons and programs, with a token
	nodes []mtls.Role // connections that may call it by their certificate alone
	write bool
	local bool // answered by the voter that was asked, leader or not
	open  bool // anybody may call it, without a credential

	patience time.Duration // the longest that it may take; 0: callTimeout
}

var (
	everybody   = roleNames()
	operations  = []role{operator, securityOfficer, regionAdmin, auditor, terraform}
	overseers   = []role{operator, securityOfficer, auditor, terraform}
	owners      = []role{operator, terraform, tenantAdmin}
	revokers    = []role{operator, securityOfficer, terraform, tenantAdmin}
	approvers   = []role{operator, securityOfficer, terraform, tenantAdmin}
	placers     = []role{operator, terraform}
	inspectors  = []role{operator, securityOfficer, auditor}
	granters    = []role{operator, securityOfficer}
	grantsShown = []role{operator, securityOfficer, auditor}
	anyLogin    = append(roleNames(), bootstrapper, unbound)
)

// permissions is the one table. What has no row is denied, and
// TestINV12_EveryMethodHasARow fails for it.
var permissions = map[string]permission{
	controlv1.TenantService_CreateTenant_FullMethodName:       {roles: placers, write: true},
	controlv1.BatchService_BatchCreateTenants_FullMethodName:  {roles: placers, write: true},
	controlv1.BatchService_BatchUpdatePolicies_FullMethodName: {roles: owners, write: true},
	controlv1.TenantService_GetTenant_FullMethodName:          {roles: everybody},
	controlv1.TenantService_ListTenants_FullMethodName:        {roles: everybody},
	controlv1.TenantService_UpdateTenant_FullMethodName:       {roles: placers, write: true},
	controlv1.TenantService_DeleteTenant_FullMethodName:       {roles: placers, write: true},
	controlv1.TenantService_CheckPlacement_FullMethodName:     {roles: everybody},

	controlv1.KeyService_CreateKey_FullMethodName: {roles: owners, write: true},
	controlv1.KeyService_GetKey_FullMethodName:    {roles: everybody},
	controlv1.KeyService_ListKeys_FullMethodName:  {roles: everybody},
	controlv1.KeyService_SignKey_FullMethodName:   {roles: owners, write: true},
	controlv1.KeyService_DeleteKey_FullMethodName: {roles: revokers, write: true},

	controlv1.PolicyService_GetPolicy_FullMethodName:       {roles: everybody},
	controlv1.PolicyService_PutPolicy_FullMethodName:       {roles: owners, write: true},
	controlv1.PolicyService_ExplainDecision_FullMethodName: {roles: everybody},

	controlv1.ChangeService_ListChanges_FullMethodName:   {roles: everybody},
	controlv1.ChangeService_GetChange_FullMethodName:     {roles: everybody},
	controlv1.ChangeService_ApproveChange_FullMethodName: {roles: approvers, write: true},
	controlv1.ChangeService_RejectChange_FullMethodName:  {roles: approvers, write: true},

	controlv1.SigningKeyService_CreateSigningKey_FullMethodName: {roles: []role{operator, securityOfficer, tenantAdmin}, write: true},
	controlv1.SigningKeyService_ListSigningKeys_FullMethodName:  {roles: everybody},
	controlv1.SigningKeyService_GetSignedPolicy_FullMethodName:  {roles: everybody},
	// It can only forbid, and is signed by whoever may: whoever runs the cluster carries it.
	controlv1.SigningKeyService_WithdrawSigningKey_FullMethodName: {roles: []role{operator, securityOfficer, tenantAdmin}, write: true},

	controlv1.RecipientService_ListRecipients_FullMethodName:     {roles: everybody},
	controlv1.RecipientService_GetRecipient_FullMethodName:       {roles: everybody},
	controlv1.RecipientService_PutRecipient_FullMethodName:       {roles: owners, write: true},
	controlv1.RecipientService_CreateRecipientKey_FullMethodName: {roles: owners, write: true},

	controlv1.RegionService_ListRegions_FullMethodName:  {roles: everybody},
	controlv1.RegionService_GetRegion_FullMethodName:    {roles: everybody},
	controlv1.RegionService_PutRegion_FullMethodName:    {roles: []role{operator, terraform, regionAdmin}, write: true},
	controlv1.RegionService_ListFeatures_FullMethodName: {roles: everybody},
	controlv1.RegionService_ListEntities_FullMethodName: {roles: everybody},
	controlv1.RegionService_ListBases_FullMethodName:    {roles: everybody},
	controlv1.RegionService_GetBasis_FullMethodName:     {roles: everybody},

	controlv1.BasisService_PutBasis_FullMethodName:       {roles: placers, write: true},
	controlv1.BasisService_RevokeBasis_FullMethodName:    {roles: []role{operator, securityOfficer}, write: true},
	controlv1.BasisService_ListBasisFlows_FullMethodName: {roles: overseers},

	controlv1.LifecycleService_SuspendTenant_FullMethodName: {roles: placers, write: true},
	controlv1.LifecycleService_ResumeTenant_FullMethodName:  {roles: placers, write: true},
	controlv1.LifecycleService_PurgeTenant_FullMethodName:   {roles: placers, write: true},
	controlv1.LifecycleService_ExcuseNode_FullMethodName:    {roles: []role{operator}, write: true},
	controlv1.LifecycleService_ListReceipts_FullMethodName:  {roles: everybody},
	controlv1.LifecycleService_ReportPurge_FullMethodName:   {nodes: []mtls.Role{mtls.DataPlane}, write: true, local: true},

	controlv1.LongRunningService_ListOperations_FullMethodName:  {roles: overseers},
	controlv1.LongRunningService_GetOperation_FullMethodName:    {roles: overseers},
	controlv1.LongRunningService_WaitOperation_FullMethodName:   {roles: overseers, patience: waitCall},
	controlv1.LongRunningService_CancelOperation_FullMethodName: {roles: placers, write: true},
	controlv1.LongRunningService_TakeBackup_FullMethodName:      {roles: granters, write: true},
	controlv1.LongRunningService_VerifyBackups_FullMethodName:   {roles: granters, write: true},
	controlv1.LongRunningService_ImportTenants_FullMethodName:   {roles: placers, write: true},
	controlv1.LongRunningService_ReportOperation_FullMethodName: {nodes: []mtls.Role{mtls.ControlPlane}, write: true},

	controlv1.CatalogueService_GetFeature_FullMethodName: {roles: everybody},
	controlv1.CatalogueService_PutFeature_FullMethodName: {roles: placers, write: true},
	controlv1.CatalogueService_GetEntity_FullMethodName:  {roles: everybody},
	controlv1.CatalogueService_PutEntity_FullMethodName:  {roles: placers, write: true},

	controlv1.NodeService_ListNodes_FullMethodName:        {roles: operations},
	controlv1.NodeService_GetNode_FullMethodName:          {roles: operations},
	controlv1.NodeService_AdmitNode_FullMethodName:        {roles: []role{operator, regionAdmin}, write: true},
	controlv1.NodeService_EvictNode_FullMethodName:        {roles: []role{operator, securityOfficer, regionAdmin}, write: true},
	controlv1.NodeService_GetNodeAdmission_FullMethodName: {roles: operations},
	controlv1.NodeService_PutNodeAdmission_FullMethodName: {roles: []role{operator, regionAdmin}, write: true},

	controlv1.ViolationService_ListViolations_FullMethodName:       {roles: overseers},
	controlv1.ViolationService_GetViolation_FullMethodName:         {roles: overseers},
	controlv1.ViolationService_AcknowledgeViolation_FullMethodName: {roles: granters, write: true},

	controlv1.OperationsService_GetClusterStatus_FullMethodName: {roles: operations, local: true},

	controlv1.TokenService_CreateToken_FullMethodName: {roles: append(granters[:len(granters):len(granters)], bootstrapper), write: true},
	controlv1.TokenService_GetToken_FullMethodName:    {roles: grantsShown},
	controlv1.TokenService_ListTokens_FullMethodName:  {roles: grantsShown},
	controlv1.TokenService_DeleteToken_FullMethodName: {roles: granters, write: true},

	controlv1.PrincipalService_CreatePrincipal_FullMethodName: {roles: append(granters[:len(granters):len(granters)], bootstrapper), write: true},
	controlv1.PrincipalService_GetPrincipal_FullMethodName:    {roles: grantsShown},
	controlv1.PrincipalService_ListPrincipals_FullMethodName:  {roles: grantsShown},
	controlv1.PrincipalService_DeletePrincipal_FullMethodName: {roles: granters, write: true},

	controlv1.LoginService_GetLogin_FullMethodName: {open: true, local: true},
	controlv1.LoginService_WhoAmI_FullMethodName:   {roles: anyLogin},

	controlv1.AuditService_ListLeaves_FullMethodName:       {roles: inspectors},
	controlv1.AuditService_GetCheckpoint_FullMethodName:    {open: true, local: true},
	controlv1.AuditService_ProveLeaf_FullMethodName:        {roles: inspectors},
	controlv1.AuditService_ProveConsistency_FullMethodName: {roles: inspectors},

	controlv1.BackupService_CreateBackup_FullMethodName:    {roles: []role{operator, securityOfficer}, local: true},
	controlv1.BackupService_ConfirmRevision_FullMethodName: {nodes: []mtls.Role{mtls.ControlPlane}},

	controlv1.MemberService_ListMembers_FullMethodName:        {roles: operations},
	controlv1.MemberService_InviteMember_FullMethodName:       {roles: []role{operator}, write: true},
	controlv1.MemberService_RemoveMember_FullMethodName:       {roles: []role{operator}, write: true},
	controlv1.MemberService_PromoteMember_FullMethodName:      {roles: []role{operator}, write: true},
	controlv1.MemberService_DemoteMember_FullMethodName:       {roles: []role{operator}, write: true},
	controlv1.MemberService_ReaddressMember_FullMethodName:    {roles: []role{operator}, write: true},
	controlv1.MemberService_TransferLeadership_FullMethodName: {roles: []role{operator}, write: true},

	controlv1.MembershipService_Join_FullMethodName:     {nodes: []mtls.Role{mtls.ControlPlane}, write: true, local: true},
	controlv1.MembershipService_Announce_FullMethodName: {nodes: []mtls.Role{mtls.ControlPlane}, write: true, local: true},

	controlv1.DistributionService_Subscribe_FullMethodName: {nodes: []mtls.Role{mtls.DataPlane}, local: true},
}

// admit checks the connection, before anything is read of the message.
// Methods of persons come through a gateway or another voter only.
func (p permission) admit(id mtls.Identity) error {
	if slices.Contains(p.nodes, id.Role) {
		return nil
	}
	if (len(p.roles) > 0 || p.open) && (id.Role == mtls.Gateway || id.Role == mtls.ControlPlane) {
		return nil
	}
	return denied()
}

// ofPersons reports whether the call needs a credential besides the connection's
// certificate.
func (p permission) ofPersons(id mtls.Identity) bool {
	return !p.open && !slices.Contains(p.nodes, id.Role)
}

// allow checks the principal.
func (p permission) allow(c caller) error {
	switch {
	case !slices.Contains(p.roles, c.role) && c.role == unbound:
		return noRole(c)
	case !slices.Contains(p.roles, c.role):
		return denied()
	case p.write && c.readOnly:
		return policy.Errorf(policy.PermissionDenied, "the credential only reads; ask a security officer for one that may change things")
	}
	return nil
}

func denied() error {
	return policy.Errorf(policy.PermissionDenied, "the credential's role may not do this; ask an operator for a token that may")
}

// noRole tells a person whom an issuer vouches for how to get a role: by an id
// that says nothing of who they are.
func noRole(c caller) error {
	return policy.Errorf(policy.PermissionDenied, "the login is good and has no role here; ask a security officer to bind principal %s to one: domicile principals bind", c.principal).
		With("principal", c.principal)
}
