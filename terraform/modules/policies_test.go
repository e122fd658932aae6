package modules_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/internal/iampolicy"
)

// regionAWS are region-aws's outputs after its first test run applied it with mocked
// providers.
func regionAWS(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	return tested(t, "modules/region-aws").outputs["what_is_made"]
}

const (
	node     = "arn:aws:iam::111122223333:role/domicile-ie1-node"
	admin    = "arn:aws:iam::111122223333:role/admin"     // AdministratorAccess in the region's account
	keeper   = "arn:aws:iam::111122223333:role/terraform" // a key_admin, with AdministratorAccess too
	stranger = "arn:aws:iam::999999999999:role/admin"     // of another organization
	object   = "arn:aws:s3:::domicile-ie1-media-111122223333/re/0a"
	bucket   = "arn:aws:s3:::domicile-ie1-media-111122223333"
	backups  = "arn:aws:s3:::domicile-ie1-backup-111122223333"
	copies   = "arn:aws:s3:::domicile-ie1-keys-111122223333"
	mediaKey = "arn:aws:kms:eu-west-1:111122223333:key/0a1b2c3d-0000-4000-8000-000000000001"
	otherKey = "arn:aws:kms:eu-west-1:111122223333:key/ffffffff-0000-4000-8000-000000000009"
	s3Way    = "vpce-0123456789abcdef0"
	kmsWay   = "vpce-0123456789abcdef1"
)

// row is one request and what must come of it: "" is allowed, else who denies it.
type row struct {
	name     string
	who      string
	action   string
	resource string
	context  string // changes to the usual context, key=value words; key= takes a key away
	want     string // "" allowed
}

// The usual context is what the node's own requests have.
func contextOf(t *testing.T, r row) map[string]string {
	t.Helper()
	c := map[string]string{"aws:RequestedRegion": "eu-west-1", "aws:SecureTransport": "true", "s3:TlsVersion": "1.3", "aws:SourceVpce": s3Way}
	switch {
	case r.action == "s3:PutObject":
		c["s3:x-amz-server-side-encryption"], c["s3:x-amz-server-side-encryption-aws-kms-key-id"] = "aws:kms", mediaKey
	case strings.HasPrefix(r.action, "kms:") && r.resource == mediaKey:
		c["kms:ViaService"], c["kms:EncryptionContext:aws:s3:arn"] = "s3.eu-west-1.amazonaws.com", bucket
	case strings.HasPrefix(r.action, "kms:"):
		c["aws:SourceVpce"], c["aws:ResourceTag/domicile:region"], c["kms:EncryptionContext:domicile:region"] = kmsWay, "ie1", "ie1"
	}
	if r.action == "kms:CreateKey" || r.action == "kms:TagResource" {
		maps.Copy(c, map[string]string{"aws:RequestTag/domicile:region": "ie1", "kms:KeySpec": "SYMMETRIC_DEFAULT", "kms:KeyOrigin": "AWS_KMS", "kms:MultiRegion": "false", "kms:BypassPolicyLockoutSafetyCheck": "false"})
	}
	for _, word := range strings.Fields(r.context) {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			t.Fatalf("%s: %q is no key=value", r.name, word)
		}
		if c[key] = value; value == "" {
			delete(c, key)
		}
	}
	return c
}

var requests = withBackups([]row{
	// What the node needs (docs/operations/media.md, keys.md).
	{name: "the node stores", who: node, action: "s3:PutObject", resource: object},
	{name: "the node reads", who: node, action: "s3:GetObject", resource: object},
	{name: "the node deletes", who: node, action: "s3:DeleteObject", resource: object},
	{name: "the node gives an upload up", who: node, action: "s3:AbortMultipartUpload", resource: object},
	{name: "the node lists", who: node, action: "s3:ListBucket", resource: bucket},
	{name: "the node asks where the bucket is", who: node, action: "s3:GetBucketLocation", resource: bucket},
	{name: "the node asks whether it is copied", who: node, action: "s3:GetReplicationConfiguration", resource: bucket},
	{name: "the node asks for its key", who: node, action: "s3:GetEncryptionConfiguration", resource: bucket},
	{name: "S3 encrypts for the node", who: node, action: "kms:GenerateDataKey", resource: mediaKey, context: "aws:SourceVpce="},
	{name: "S3 decrypts for the node", who: node, action: "kms:Decrypt", resource: mediaKey, context: "aws:SourceVpce= kms:EncryptionContext:aws:s3:arn=" + object},
	{name: "the node makes a generation", who: node, action: "kms:CreateKey", resource: "*", context: "aws:ResourceTag/domicile:region="},
	{name: "the node tags it", who: node, action: "kms:TagResource", resource: otherKey, context: "aws:ResourceTag/domicile:region="},
	{name: "the node draws a key of it", who: node, action: "kms:GenerateDataKey", resource: otherKey},
	{name: "the node opens the table", who: node, action: "kms:Decrypt", resource: otherKey},
	{name: "the node asks for its state", who: node, action: "kms:DescribeKey", resource: otherKey},
	{name: "the node gives it up", who: node, action: "kms:ScheduleKeyDeletion", resource: otherKey},
	// What administrators keep.
	{name: "an administrator mends the bucket's policy", who: admin, action: "s3:PutBucketPolicy", resource: bucket, context: "aws:SourceVpce="},
	{name: "an administrator sets the lifecycle", who: admin, action: "s3:PutLifecycleConfiguration", resource: bucket, context: "aws:SourceVpce="},
	{name: "a key's administrator changes its policy", who: keeper, action: "kms:PutKeyPolicy", resource: mediaKey},
	{name: "a key's administrator ends it", who: keeper, action: "kms:ScheduleKeyDeletion", resource: mediaKey},
	{name: "an administrator makes a role", who: admin, action: "iam:CreateRole", resource: "*", context: "aws:RequestedRegion=us-east-1"},
	{name: "a person signs in", who: admin, action: "sts:AssumeRole", resource: "*", context: "aws:RequestedRegion=us-east-1"},
	{name: "a database in the region", who: admin, action: "rds:CreateDBCluster", resource: "*"},
	{name: "an administrator enables a generation", who: admin, action: "kms:EnableKey", resource: otherKey},

	// The service control policy.
	{name: "a bucket in another region", who: admin, action: "s3:CreateBucket", resource: "arn:aws:s3:::elsewhere", context: "aws:RequestedRegion=us-east-1", want: "denied by OtherRegions"},
	{name: "a machine in another region", who: admin, action: "ec2:RunInstances", resource: "*", context: "aws:RequestedRegion=eu-central-1", want: "denied by OtherRegions"},
	{name: "a snapshot copied to another region", who: admin, action: "rds:CopyDBClusterSnapshot", resource: "*", context: "aws:RequestedRegion=us-west-2", want: "denied by OtherRegions"},
	{name: "a request that says no region", who: admin, action: "ec2:RunInstances", resource: "*", context: "aws:RequestedRegion=", want: "denied by OtherRegions"},
	{name: "a distribution of CloudFront", who: admin, action: "cloudfront:CreateDistribution", resource: "*", context: "aws:RequestedRegion=us-east-1", want: "denied by OtherRegions"},
	{name: "the node, from another region", who: node, action: "s3:GetObject", resource: object, context: "aws:RequestedRegion=us-east-1", want: "denied by OtherRegions"},
	{name: "replication", who: admin, action: "s3:PutReplicationConfiguration", resource: bucket, context: "aws:SourceVpce=", want: "denied by WaysOut"},
	{name: "a multi-region access point", who: admin, action: "s3:CreateMultiRegionAccessPoint", resource: "*", want: "denied by WaysOut"},
	{name: "a replica of a key", who: admin, action: "kms:ReplicateKey", resource: otherKey, want: "denied by WaysOut"},
	{name: "a global database", who: admin, action: "rds:CreateGlobalCluster", resource: "*", want: "denied by WaysOut"},
	{name: "a snapshot given to a stranger", who: admin, action: "rds:ModifyDBClusterSnapshotAttribute", resource: "*", want: "denied by WaysOut"},
	{name: "leaving the organization", who: admin, action: "organizations:LeaveOrganization", resource: "*", context: "aws:RequestedRegion=us-east-1", want: "denied by WaysOut"},
	{name: "a multi-region key", who: admin, action: "kms:CreateKey", resource: "*", context: "kms:MultiRegion=true", want: "denied by MultiRegionKeys"},
	{name: "another principal opens the key table", who: admin, action: "kms:Decrypt", resource: otherKey, want: "denied by GenerationsOfNodes"},
	{name: "another principal ends a generation", who: admin, action: "kms:ScheduleKeyDeletion", resource: otherKey, want: "denied by GenerationsOfNodes"},
	{name: "another principal takes a generation's tag", who: admin, action: "kms:UntagResource", resource: otherKey, want: "denied by GenerationsOfNodes"},
	{name: "an erasure is undone", who: admin, action: "kms:CancelKeyDeletion", resource: otherKey, want: "denied by ErasedStaysErased"},
	{name: "another key's deletion is cancelled", who: admin, action: "kms:CancelKeyDeletion", resource: otherKey, context: "aws:ResourceTag/domicile:region="},
	{name: "another key is used", who: admin, action: "kms:Decrypt", resource: otherKey, context: "aws:ResourceTag/domicile:region="},

	// The bucket's policy.
	{name: "plain HTTP", who: node, action: "s3:GetObject", resource: object, context: "aws:SecureTransport=false", want: "denied by PlainHTTP"},
	{name: "plain HTTP to the bucket itself", who: admin, action: "s3:GetBucketLocation", resource: bucket, context: "aws:SecureTransport=false aws:SourceVpce=", want: "denied by PlainHTTP"},
	{name: "TLS 1.1", who: node, action: "s3:GetObject", resource: object, context: "s3:TlsVersion=1.1", want: "denied by OldTLS"},
	{name: "TLS 1.2", who: node, action: "s3:GetObject", resource: object, context: "s3:TlsVersion=1.2"},
	{name: "an administrator reads, through an endpoint that lets everybody pass", who: admin, action: "s3:GetObject", resource: object, context: "way=open", want: "denied by OtherPrincipals"},
	{name: "an administrator lists", who: admin, action: "s3:ListBucket", resource: bucket, context: "way=open", want: "denied by OtherPrincipals"},
	{name: "an administrator deletes a version", who: admin, action: "s3:DeleteObjectVersion", resource: object, context: "way=open", want: "denied by OtherPrincipals"},
	{name: "the node's credentials, from outside of the VPC", who: node, action: "s3:GetObject", resource: object, context: "aws:SourceVpce=", want: "denied by OtherWays"},
	{name: "the node's credentials, through another endpoint", who: node, action: "s3:GetObject", resource: object, context: "aws:SourceVpce=vpce-0ffffffffffffffff", want: "denied by OtherWays"},
	{name: "through an access point", who: node, action: "s3:GetObject", resource: object, context: "s3:DataAccessPointArn=arn:aws:s3:eu-west-1:111122223333:accesspoint/x", want: "denied by AccessPoints"},
	{name: "an unencrypted put", who: node, action: "s3:PutObject", resource: object, context: "s3:x-amz-server-side-encryption= s3:x-amz-server-side-encryption-aws-kms-key-id=", want: "denied by NotSSEKMS"},
	{name: "a put under S3's own key", who: node, action: "s3:PutObject", resource: object, context: "s3:x-amz-server-side-encryption=AES256", want: "denied by NotSSEKMS"},
	{name: "a put under a foreign key", who: node, action: "s3:PutObject", resource: object, context: "s3:x-amz-server-side-encryption-aws-kms-key-id=arn:aws:kms:eu-west-1:999999999999:key/x", want: "denied by OtherKeys"},
	{name: "a put under a key of another region", who: node, action: "s3:PutObject", resource: object, context: "s3:x-amz-server-side-encryption-aws-kms-key-id=arn:aws:kms:us-east-1:111122223333:key/x", want: "denied by OtherKeys"},
	{name: "a put under the service's default key", who: node, action: "s3:PutObject", resource: object, context: "s3:x-amz-server-side-encryption-aws-kms-key-id=", want: "denied by OtherKeys"},
	{name: "what was erased", who: node, action: "s3:GetObjectVersion", resource: object, context: "way=open", want: "denied by OldVersions"},
	{name: "an object lock", who: admin, action: "s3:PutBucketObjectLockConfiguration", resource: bucket, context: "aws:SourceVpce=", want: "denied by CopiesAndLocks"},

	// The endpoints' policies, the role and the key's policy: what is not named does not pass.
	{name: "the node copies to another bucket", who: node, action: "s3:PutObject", resource: "arn:aws:s3:::a-strangers/x", want: "not allowed by the VPC endpoint's policy"},
	{name: "a stranger's credentials in the VPC", who: stranger, action: "s3:GetObject", resource: object, want: "not allowed by the VPC endpoint's policy"},
	{name: "an administrator's credentials in the VPC, to KMS", who: admin, action: "kms:CreateKey", resource: "*", context: "aws:ResourceTag/domicile:region= way=kms", want: "not allowed by the VPC endpoint's policy"},
	{name: "an administrator's credentials in the VPC, to a key", who: admin, action: "kms:DescribeKey", resource: otherKey, context: "way=kms", want: "not allowed by the VPC endpoint's policy"},
	{name: "a stranger, from outside", who: stranger, action: "s3:GetObject", resource: object, context: "aws:SourceVpce=", want: "denied by OtherPrincipals"},
	{name: "the node changes the bucket", who: node, action: "s3:PutBucketPolicy", resource: bucket, context: "aws:SourceVpce=", want: "not allowed by the identity's policies"},
	{name: "the node deletes a version", who: node, action: "s3:DeleteObjectVersion", resource: object, want: "not allowed by the VPC endpoint's policy"},
	{name: "the node uses the bucket's key by itself", who: node, action: "kms:Decrypt", resource: mediaKey, context: "kms:ViaService= aws:SourceVpce=", want: "not allowed by the resource's policy"},
	{name: "the node uses it through another service", who: node, action: "kms:Decrypt", resource: mediaKey, context: "kms:ViaService=rds.eu-west-1.amazonaws.com aws:SourceVpce=", want: "not allowed by the resource's policy"},
	{name: "the node uses it for another bucket", who: node, action: "kms:Decrypt", resource: mediaKey, context: "kms:EncryptionContext:aws:s3:arn=arn:aws:s3:::other aws:SourceVpce=", want: "not allowed by the resource's policy"},
	{name: "the node administers the key", who: node, action: "kms:PutKeyPolicy", resource: mediaKey, context: "aws:SourceVpce=", want: "not allowed by the resource's policy"},
	{name: "a key's administrator uses it", who: keeper, action: "kms:Decrypt", resource: mediaKey, context: "aws:SourceVpce=", want: "not allowed by the resource's policy"},
	{name: "an administrator of the account uses it", who: admin, action: "kms:Decrypt", resource: mediaKey, context: "aws:SourceVpce=", want: "not allowed by the resource's policy"},
	{name: "an administrator of the account administers it", who: admin, action: "kms:PutKeyPolicy", resource: mediaKey, want: "not allowed by the resource's policy"},
	{name: "a grant on the key", who: node, action: "kms:CreateGrant", resource: mediaKey, context: "aws:SourceVpce=", want: "denied by NoGrantNoReplica"},
	{name: "the node makes a key of another region's tag", who: node, action: "kms:CreateKey", resource: "*", context: "aws:RequestTag/domicile:region=us1 aws:ResourceTag/domicile:region=", want: "not allowed by the identity's policies"},
	{name: "the node makes a multi-region key", who: node, action: "kms:CreateKey", resource: "*", context: "kms:MultiRegion=true aws:ResourceTag/domicile:region=", want: "denied by MultiRegionKeys"},
	{name: "the node makes a multi-region key, in an account without a guard", who: node, action: "kms:CreateKey", resource: "*", context: "guard=none kms:MultiRegion=true aws:ResourceTag/domicile:region=", want: "not allowed by the identity's policies"},
	{name: "the node makes a key elsewhere, in an account without a guard", who: node, action: "kms:CreateKey", resource: "*", context: "guard=none aws:RequestedRegion=us-east-1 aws:ResourceTag/domicile:region=", want: "not allowed by the identity's policies"},
	{name: "the node makes a key whose material is imported", who: node, action: "kms:CreateKey", resource: "*", context: "kms:KeyOrigin=EXTERNAL aws:ResourceTag/domicile:region=", want: "not allowed by the identity's policies"},
	{name: "the node makes a key to sign with", who: node, action: "kms:CreateKey", resource: "*", context: "kms:KeySpec=ECC_NIST_P256 aws:ResourceTag/domicile:region=", want: "not allowed by the identity's policies"},
	{name: "the node makes a key that cannot be mended", who: node, action: "kms:CreateKey", resource: "*", context: "kms:BypassPolicyLockoutSafetyCheck=true aws:ResourceTag/domicile:region=", want: "not allowed by the identity's policies"},
	{name: "the node makes a key from outside", who: node, action: "kms:CreateKey", resource: "*", context: "aws:SourceVpce= aws:ResourceTag/domicile:region=", want: "not allowed by the identity's policies"},
	{name: "the node tags a key as another region's", who: node, action: "kms:TagResource", resource: otherKey, context: "aws:RequestTag/domicile:region=us1 aws:ResourceTag/domicile:region=", want: "not allowed by the identity's policies"},
	{name: "the node tags from outside", who: node, action: "kms:TagResource", resource: otherKey, context: "aws:SourceVpce= aws:ResourceTag/domicile:region=", want: "not allowed by the identity's policies"},
	{name: "the node opens what is another region's", who: node, action: "kms:Decrypt", resource: otherKey, context: "aws:ResourceTag/domicile:region=us1", want: "not allowed by the identity's policies"},
	{name: "the node opens under another context", who: node, action: "kms:Decrypt", resource: otherKey, context: "kms:EncryptionContext:domicile:region=", want: "not allowed by the identity's policies"},
	{name: "the node opens from outside", who: node, action: "kms:Decrypt", resource: otherKey, context: "aws:SourceVpce=", want: "not allowed by the identity's policies"},
	{name: "the node ends a key that is no generation", who: node, action: "kms:ScheduleKeyDeletion", resource: otherKey, context: "aws:ResourceTag/domicile:region=", want: "not allowed by the identity's policies"},
	{name: "the node ends a generation from outside", who: node, action: "kms:ScheduleKeyDeletion", resource: otherKey, context: "aws:SourceVpce=", want: "not allowed by the identity's policies"},
	{name: "the node undoes an erasure", who: node, action: "kms:CancelKeyDeletion", resource: otherKey, context: "aws:SourceVpce=", want: "denied by ErasedStaysErased"},
	{name: "the node makes a role", who: node, action: "iam:CreateRole", resource: "*", context: "aws:SourceVpce=", want: "not allowed by the identity's policies"},

	// Backups, besides what withBackups adds.
	{name: "the node looks for what a crash left of a backup", who: node, action: "s3:ListBucketMultipartUploads", resource: backups},
	{name: "the node looks for uploads of recordings", who: node, action: "s3:ListBucketMultipartUploads", resource: bucket, want: "not allowed by the VPC endpoint's policy"},
	{name: "an administrator's credentials in the VPC, looking for uploads", who: admin, action: "s3:ListBucketMultipartUploads", resource: backups, want: "not allowed by the VPC endpoint's policy"},
	{name: "an administrator looks for uploads, through an endpoint that lets everybody pass", who: admin, action: "s3:ListBucketMultipartUploads", resource: backups, context: "way=open", want: "denied by OtherPrincipals"},
	{name: "a stranger's credentials in the VPC, looking for uploads", who: stranger, action: "s3:ListBucketMultipartUploads", resource: backups, want: "not allowed by the VPC endpoint's policy"},
	{name: "the node asks whether the key table's copy has versions", who: node, action: "s3:GetBucketVersioning", resource: copies},
	{name: "the node asks whether the key table's copy is locked", who: node, action: "s3:GetBucketObjectLockConfiguration", resource: copies},
	{name: "an administrator's credentials in the VPC, asking for versions", who: admin, action: "s3:GetBucketVersioning", resource: copies, want: "not allowed by the VPC endpoint's policy"},
	{name: "the node asks for versions of recordings", who: node, action: "s3:GetBucketVersioning", resource: bucket, want: "not allowed by the VPC endpoint's policy"},
	{name: "an administrator turns versions of the key table's copy on", who: admin, action: "s3:PutBucketVersioning", resource: copies, context: "aws:SourceVpce=", want: "denied by CopiesAndLocks"},
	{name: "an administrator sets versions of backups", who: admin, action: "s3:PutBucketVersioning", resource: backups, context: "aws:SourceVpce="},
	{name: "S3 encrypts the key table's copy for the node", who: node, action: "kms:GenerateDataKey", resource: mediaKey, context: "aws:SourceVpce= kms:EncryptionContext:aws:s3:arn=" + copies},
	{name: "S3 encrypts a backup for the node", who: node, action: "kms:GenerateDataKey", resource: mediaKey, context: "aws:SourceVpce= kms:EncryptionContext:aws:s3:arn=" + backups},
})

// withBackups adds what must come of the same requests to the buckets of backups and of
// the key table's copy.
func withBackups(rows []row) []row {
	for _, r := range slices.Clone(rows) {
		if !strings.HasPrefix(r.resource, bucket) || r.action == "s3:ListBucketMultipartUploads" || r.action == "s3:GetBucketVersioning" {
			continue
		}
		for name, other := range map[string]string{", of backups": backups, ", of key copies": copies} {
			more := r
			more.name, more.resource = r.name+name, other+strings.TrimPrefix(r.resource, bucket)
			rows = append(rows, more)
		}
	}
	return rows
}

// documents are a region's policies by name, parsed.
type documents map[string]iampolicy.Policy

const (
	full = `{"Version":"2012-10-17","Statement":[{"Sid":"FullAccess","Effect":"Allow","Action":"*","Resource":"*"}]}`
	// What KMS gives a key that is made without a policy, as generations are.
	defaultKey = `{"Version":"2012-10-17","Statement":[{"Sid":"Root","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`
)

func parse(t *testing.T, text string) iampolicy.Policy {
	t.Helper()
	p, err := iampolicy.Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

func documentsOf(t *testing.T) documents {
	t.Helper()
	var texts map[string]string
	if err := json.Unmarshal(regionAWS(t)["policies"], &texts); err != nil {
		t.Fatal(err)
	}
	d := documents{}
	for name, text := range texts {
		d[name] = parse(t, text)
	}
	if len(d) != 8 {
		t.Fatalf("the module told %d policies", len(d))
	}
	if n := len(texts["service_control"]); n > 5120 {
		t.Errorf("the service control policy has %d characters; AWS takes 5120", n)
	}
	return d
}

// decide puts together what bears on a request. An administrator's own policy
// allows everything; a way through an endpoint is where its id is in the context.
func (d documents) decide(t *testing.T, r row) iampolicy.Verdict {
	t.Helper()
	c := contextOf(t, r)
	all := iampolicy.Policies{ServiceControl: [][]iampolicy.Policy{{parse(t, full)}, {parse(t, full), d["service_control"]}}, Identity: []iampolicy.Policy{parse(t, full)}}
	if r.who == node {
		all.Identity = []iampolicy.Policy{d["role"]}
	}
	if r.who == stranger || c["guard"] == "none" {
		all.ServiceControl = nil // the organization's policies bind its own accounts alone
	}
	isKMS := strings.HasPrefix(r.action, "kms:")
	switch endpoint := c["aws:SourceVpce"]; {
	case c["way"] == "open": // somebody has widened the endpoint's policy
		all.Endpoint = pointer(parse(t, strings.Replace(full, `"Effect"`, `"Principal":"*","Effect"`, 1)))
	case endpoint == s3Way && strings.HasPrefix(r.action, "s3:"):
		all.Endpoint = pointer(d["s3_endpoint"])
	case endpoint == kmsWay && isKMS && (r.who == node || c["way"] == "kms"):
		all.Endpoint = pointer(d["kms_endpoint"])
	}
	switch {
	case strings.HasPrefix(r.resource, bucket):
		all.Resource = pointer(d["bucket"])
	case strings.HasPrefix(r.resource, backups):
		all.Resource = pointer(d["backup"])
	case strings.HasPrefix(r.resource, copies):
		all.Resource = pointer(d["keys"])
	case r.resource == mediaKey:
		all.Resource = pointer(d["key"])
	case isKMS && r.resource != "*":
		all.Resource = pointer(parse(t, defaultKey))
	}
	return iampolicy.Evaluate(all, iampolicy.Request{Principal: r.who, Action: r.action, Resource: r.resource, Owner: "111122223333", Context: c})
}

func pointer(p iampolicy.Policy) *iampolicy.Policy { return &p }

func (r row) met(v iampolicy.Verdict) bool {
	return v.Allowed == (r.want == "") && (r.want == "" || v.Because == r.want)
}

func TestPoliciesAllowWhatTheRegionNeedsAndNothingElse(t *testing.T) {
	d := documentsOf(t)
	for _, r := range requests {
		if v := d.decide(t, r); !r.met(v) {
			t.Errorf("%s (%s): %+v, want %q", r.name, r.action, v, r.want)
		}
	}
}

// Each statement, each key of each condition and each named value is there for a
// reason: without it some request of the table comes out otherwise. This plants
// every such bug.
func TestEveryConditionOfThePoliciesIsNeeded(t *testing.T) {
	whole := documentsOf(t)
	plants := 0
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		for i, s := range whole[name].Statements {
			for what, changed := range weakened(s) {
				plants++
				d := maps.Clone(whole)
				p := iampolicy.Policy{Statements: slices.Clone(whole[name].Statements)}
				if p.Statements[i] = changed; changed.Effect == "" {
					p.Statements = slices.Delete(p.Statements, i, i+1)
				}
				d[name] = p
				if !slices.ContainsFunc(requests, func(r row) bool { return !r.met(d.decide(t, r)) }) {
					t.Errorf("%s of statement %s in the policy %s: no request of the table notices that it is gone", what, s.Sid, name)
				}
			}
		}
	}
	if plants < 50 {
		t.Errorf("only %d bugs were planted", plants)
	}
}

// weakened are a statement's forms without one of its parts; the one without an
// effect stands for none.
func weakened(s iampolicy.Statement) map[string]iampolicy.Statement {
	all := map[string]iampolicy.Statement{"the whole": {}}
	for op, keys := range s.Condition {
		for key := range keys {
			c := map[string]map[string][]string{}
			for o, k := range s.Condition {
				c[o] = maps.Clone(k)
			}
			delete(c[op], key)
			w := s
			w.Condition = c
			all[fmt.Sprintf("the condition %s %s", op, key)] = w
		}
	}
	return all
}
