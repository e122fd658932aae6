package modules_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/internal/iampolicy"
)

// A voter adds backups to its own bucket and can do nothing else with them; a person
// reads them back.
func TestPoliciesOfAVoterAddBackupsAndNothingElse(t *testing.T) {
	var all map[string]map[string]string
	if err := json.Unmarshal(tested(t, "modules/control-plane-aws").outputs["what_is_made"]["policies"], &all); err != nil {
		t.Fatal(err)
	}
	d := documents{}
	for name, text := range all["cp1"] {
		d[name] = parse(t, text)
	}
	const (
		voter  = "arn:aws:iam::444455556666:role/domicile-cp1"
		person = "arn:aws:iam::444455556666:role/restore"
		keeper = "arn:aws:iam::444455556666:role/terraform"
		alien  = "arn:aws:iam::111122223333:role/domicile-ie1-node"
		bucket = "arn:aws:s3:::domicile-cp1-backup-444455556666"
		file   = bucket + "/cp1/0001.backup"
		key    = "arn:aws:kms:eu-west-1:444455556666:key/0a1b2c3d-0000-4000-8000-000000000002"
	)
	for _, r := range []row{
		{name: "the voter adds a backup", who: voter, action: "s3:PutObject", resource: file},
		{name: "S3 encrypts it", who: voter, action: "kms:GenerateDataKey", resource: key},
		{name: "a person reads it back", who: person, action: "s3:GetObject", resource: file},
		{name: "S3 decrypts for a person", who: person, action: "kms:Decrypt", resource: key},
		{name: "the voter reads one", who: voter, action: "s3:GetObject", resource: file, want: "denied by ReadByVoters"},
		{name: "the voter deletes one", who: voter, action: "s3:DeleteObject", resource: file, want: "denied by ReadByVoters"},
		{name: "the voter adds to another's bucket", who: voter, action: "s3:PutObject", resource: "arn:aws:s3:::domicile-cp2-backup-444455556666/x", want: "not allowed by the identity's policies"},
		{name: "plain HTTP", who: voter, action: "s3:PutObject", resource: file, context: "aws:SecureTransport=false", want: "denied by PlainHTTP"},
		{name: "TLS 1.0", who: person, action: "s3:GetObject", resource: file, context: "s3:TlsVersion=1.0", want: "denied by OldTLS"},
		{name: "under another key", who: voter, action: "s3:PutObject", resource: file, context: "s3:x-amz-server-side-encryption-aws-kms-key-id=" + otherKey, want: "denied by OtherKeys"},
		{name: "under S3's own key", who: voter, action: "s3:PutObject", resource: file, context: "s3:x-amz-server-side-encryption=AES256", want: "denied by OtherEncryption"},
		{name: "the voter has the key by itself", who: voter, action: "kms:Decrypt", resource: key, context: "kms:ViaService=", want: "not allowed by the resource's policy"},
		{name: "a person has the key by itself", who: person, action: "kms:Decrypt", resource: key, context: "kms:ViaService=", want: "not allowed by the resource's policy"},
		{name: "who administers encrypts", who: keeper, action: "kms:GenerateDataKey", resource: key, want: "not allowed by the resource's policy"},
		{name: "a grant", who: keeper, action: "kms:CreateGrant", resource: key, want: "denied by NoGrantNoReplica"},
		{name: "a region's node reads", who: alien, action: "s3:GetObject", resource: file, want: "not allowed by the resource's policy"},
	} {
		c := map[string]string{"aws:SecureTransport": "true", "s3:TlsVersion": "1.3", "kms:ViaService": "s3.eu-west-1.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": bucket}
		for _, word := range strings.Fields(r.context) {
			key, value, _ := strings.Cut(word, "=")
			if c[key] = value; value == "" {
				delete(c, key)
			}
		}
		policies := iampolicy.Policies{Identity: []iampolicy.Policy{parse(t, full)}}
		if r.who == voter {
			policies.Identity = []iampolicy.Policy{d["role"]}
		}
		switch r.resource {
		case file:
			policies.Resource = pointer(d["bucket"])
		case key:
			policies.Resource = pointer(d["key"])
		}
		v := iampolicy.Evaluate(policies, iampolicy.Request{Principal: r.who, Action: r.action, Resource: r.resource, Owner: "444455556666", Context: c})
		if !r.met(v) {
			t.Errorf("%s (%s): %+v, want %q", r.name, r.action, v, r.want)
		}
	}
}
