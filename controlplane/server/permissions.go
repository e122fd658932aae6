package server

import (
	"slices"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// role is what a token's holder may be.
type role string

const (
	operator     role = "operator"
	auditor      role = "auditor"
	terraform    role = "terraform"
	tenantAdmin  role = "tenant_admin"
	tenantReader role = "tenant_reader"
)

// people is the one list of roles that tokens may have.
var people = []role{operator, auditor, terraform, tenantAdmin, tenantReader}

func (r role) person() bool { return slices.Contains(people, r) }

// ofTenant: the holder sees one tenant only.
func (r role) ofTenant() bool { return r == tenantAdmin || r == tenantReader }

// permission is who may call one method. A method is a read, which may be
// answered locally, or a write, which is never repeated by us.
type permission struct {
	roles []role      // persons and programs, with a token
	nodes []mtls.Role // connections that may call it by their certificate alone
	write bool
	local bool // answered by the voter that was asked, leader or not
	open  bool // anybody may call it, without a credential
}

var (
	everybody  = []role{operator, auditor, terraform, tenantAdmin, tenantReader}
	operations = []role{operator, auditor, terraform}
	owners     = []role{operator, terraform, tenantAdmin}
	placers    = []role{operator, terraform}
	inspectors = []role{operator, auditor}
)

// permissions is the one table. What has no row is denied, and
// TestINV12_EveryMethodHasARow fails for it.
var permissions = map[string]permission{
	controlv1.TenantService_CreateTenant_FullMethodName:   {roles: placers, write: true},
	controlv1.TenantService_GetTenant_FullMethodName:      {roles: everybody},
	controlv1.TenantService_ListTenants_FullMethodName:    {roles: everybody},
	controlv1.TenantService_UpdateTenant_FullMethodName:   {roles: placers, write: true},
	controlv1.TenantService_DeleteTenant_FullMethodName:   {roles: placers, write: true},
	controlv1.TenantService_CheckPlacement_FullMethodName: {roles: everybody},

	controlv1.KeyService_CreateKey_FullMethodName: {roles: owners, write: true},
	controlv1.KeyService_GetKey_FullMethodName:    {roles: everybody},
	controlv1.KeyService_ListKeys_FullMethodName:  {roles: everybody},
	controlv1.KeyService_DeleteKey_FullMethodName: {roles: owners, write: true},

	controlv1.PolicyService_GetPolicy_FullMethodName:       {roles: everybody},
	controlv1.PolicyService_PutPolicy_FullMethodName:       {roles: owners, write: true},
	controlv1.PolicyService_ExplainDecision_FullMethodName: {roles: everybody},

	controlv1.ChangeService_ListChanges_FullMethodName:   {roles: everybody},
	controlv1.ChangeService_GetChange_FullMethodName:     {roles: everybody},
	controlv1.ChangeService_ApproveChange_FullMethodName: {roles: owners, write: true},
	controlv1.ChangeService_RejectChange_FullMethodName:  {roles: owners, write: true},

	controlv1.SigningKeyService_CreateSigningKey_FullMethodName: {roles: []role{operator, tenantAdmin}, write: true},
	controlv1.SigningKeyService_ListSigningKeys_FullMethodName:  {roles: everybody},

	controlv1.RecipientService_ListRecipients_FullMethodName:     {roles: everybody},
	controlv1.RecipientService_GetRecipient_FullMethodName:       {roles: everybody},
	controlv1.RecipientService_PutRecipient_FullMethodName:       {roles: owners, write: true},
	controlv1.RecipientService_CreateRecipientKey_FullMethodName: {roles: owners, write: true},

	controlv1.RegionService_ListRegions_FullMethodName:  {roles: everybody},
	controlv1.RegionService_GetRegion_FullMethodName:    {roles: everybody},
	controlv1.RegionService_PutRegion_FullMethodName:    {roles: placers, write: true},
	controlv1.RegionService_ListFeatures_FullMethodName: {roles: everybody},
	controlv1.RegionService_ListEntities_FullMethodName: {roles: everybody},
	controlv1.RegionService_ListBases_FullMethodName:    {roles: everybody},
	controlv1.RegionService_GetBasis_FullMethodName:     {roles: everybody},

	controlv1.BasisService_PutBasis_FullMethodName:       {roles: placers, write: true},
	controlv1.BasisService_RevokeBasis_FullMethodName:    {roles: []role{operator}, write: true},
	controlv1.BasisService_ListBasisFlows_FullMethodName: {roles: operations},

	controlv1.CatalogueService_GetFeature_FullMethodName: {roles: everybody},
	controlv1.CatalogueService_PutFeature_FullMethodName: {roles: placers, write: true},
	controlv1.CatalogueService_GetEntity_FullMethodName:  {roles: everybody},
	controlv1.CatalogueService_PutEntity_FullMethodName:  {roles: placers, write: true},

	controlv1.NodeService_ListNodes_FullMethodName:        {roles: operations},
	controlv1.NodeService_GetNode_FullMethodName:          {roles: operations},
	controlv1.NodeService_AdmitNode_FullMethodName:        {roles: []role{operator}, write: true},
	controlv1.NodeService_EvictNode_FullMethodName:        {roles: []role{operator}, write: true},
	controlv1.NodeService_GetNodeAdmission_FullMethodName: {roles: operations},
	controlv1.NodeService_PutNodeAdmission_FullMethodName: {roles: []role{operator}, write: true},

	controlv1.ViolationService_ListViolations_FullMethodName:       {roles: operations},
	controlv1.ViolationService_GetViolation_FullMethodName:         {roles: operations},
	controlv1.ViolationService_AcknowledgeViolation_FullMethodName: {roles: []role{operator}, write: true},

	controlv1.OperationsService_GetClusterStatus_FullMethodName: {roles: operations, local: true},
	controlv1.OperationsService_CreateToken_FullMethodName:      {roles: []role{operator}, write: true},

	controlv1.AuditService_ListLeaves_FullMethodName:       {roles: inspectors},
	controlv1.AuditService_GetCheckpoint_FullMethodName:    {open: true, local: true},
	controlv1.AuditService_ProveLeaf_FullMethodName:        {roles: inspectors},
	controlv1.AuditService_ProveConsistency_FullMethodName: {roles: inspectors},

	controlv1.BackupService_CreateBackup_FullMethodName:    {roles: []role{operator}, local: true},
	controlv1.BackupService_ConfirmRevision_FullMethodName: {nodes: []mtls.Role{mtls.ControlPlane}},

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

// allow checks the principal.
func (p permission) allow(c caller) error {
	if slices.Contains(p.roles, c.role) {
		return nil
	}
	return denied()
}

func denied() error {
	return policy.Errorf(policy.PermissionDenied, "the credential's role may not do this; ask an operator for a token that may")
}
