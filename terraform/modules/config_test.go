package modules_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/dataplane"
)

// restOfNode is what an operator writes beside the module's part.
const restOfNode = `
data_dir: /var/lib/domicile
tls: {certificate: cert.pem, key: key.pem, ca: ca.pem}
listen_address: 10.0.0.5:443
hosts: [api.ie1.example.com]
control_plane: [cp1.example.com:7001]
root_public_key: "0000000000000000000000000000000000000000000000000000000000000000"
base_urls: {ie1: "https://api.ie1.example.com"}
`

// The node takes the module's part of its configuration as it is.
func TestTheNodeTakesWhatTheModuleTells(t *testing.T) {
	var part string
	if err := json.Unmarshal(regionAWS(t)["node_config"], &part); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "node.yaml")
	write(t, file, part+restOfNode)
	c, err := dataplane.LoadConfig(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, part)
	}
	if c.Region != "ie1" || c.DefaultCountry != "IE" || c.Media.S3 == nil || c.Media.S3.Region != "eu-west-1" || c.Media.S3.KMSKey != mediaKey ||
		c.Media.S3.Bucket != strings.TrimPrefix(bucket, "arn:aws:s3:::") || c.Keys.AWSKMS == nil || c.Backup.S3 == nil ||
		c.Backup.S3.KMSKey != mediaKey || c.Backup.S3.Bucket != strings.TrimPrefix(backups, "arn:aws:s3:::") || c.Keys.AWSKMS.DeletionDays != 7 {
		t.Errorf("it was read as %+v", c)
	}
	var copied string
	if err := json.Unmarshal(regionAWS(t)["keys_copy_config"], &copied); err != nil {
		t.Fatal(err)
	}
	shared := strings.Replace(part, "\"keys\":\n", "\"keys\":\n  database: {dsn_env: KEYS}\n  "+strings.ReplaceAll(strings.TrimSpace(copied), "\n", "\n  ")+"\n", 1)
	write(t, file, shared+restOfNode+"store: {kind: sql, dsn_env: RECORDS}\n")
	if c, err = dataplane.LoadConfig(file); err != nil {
		t.Fatalf("%v\n%s", err, shared)
	}
	if to := c.Keys.CopyS3; to == nil || to.Bucket != strings.TrimPrefix(copies, "arn:aws:s3:::") || to.KMSKey != mediaKey || !to.InstanceRole {
		t.Errorf("the key table's copy was read as %+v", to)
	}
	// And refuses it when the key is of another region.
	write(t, file, strings.ReplaceAll(part, "arn:aws:kms:eu-west-1", "arn:aws:kms:us-east-1")+restOfNode)
	if _, err := dataplane.LoadConfig(file); err == nil {
		t.Error("a key of another region was taken")
	}
}

// So do voters.
func TestVotersTakeWhatTheModuleTells(t *testing.T) {
	var all map[string]string
	if err := json.Unmarshal(tested(t, "modules/control-plane-aws").outputs["what_is_made"]["voter_config"], &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 3 {
		t.Fatalf("%d voters", len(all))
	}
	for name, text := range all {
		file := filepath.Join(t.TempDir(), "voter.yaml")
		write(t, file, text)
		c, err := controlplane.LoadConfig(file)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		if c.Name != name || len(c.Voters) != 3 || c.Backup == nil || len(c.Backup.Recipients) != 1 {
			t.Errorf("%s was read as %+v", name, c)
		}
	}
}
