package system

import (
	"testing"

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/aws/awstest"
)

// inBucket is a bucket of a real S3 server, as a node's configuration names it.
func inBucket(g *awstest.Gateway, name string) *aws.S3Config {
	return &aws.S3Config{Account: aws.Account{Region: "eu-west-1", Endpoint: g.URL, CredentialsFile: g.Login, CA: g.CA}, Bucket: name, Compatible: true}
}

// openBucketVault is a vault whose recordings are in one bucket and whose backups are
// in another. The server keeps objects as files.
func openBucketVault(t *testing.T) (*vault, *awstest.Gateway) {
	t.Helper()
	g := awstest.NewGateway(t, "eu-west-1")
	g.Bucket("recordings")
	return openVaultWith(t, g.Bucket("backups"), func(c *dataplane.Config) {
		c.Backup.S3, c.Media.S3 = inBucket(g, "backups"), inBucket(g, "recordings")
	}), g
}

// The drill of docs/operations/region-backup.md, with everything in buckets.
func TestINV22_RegionRestoreDrillInBuckets(t *testing.T) {
	v, g := openBucketVault(t)
	restoreDrill(v)
	if files(g.Dir, "recordings", "TN*", "*", "*") == 0 {
		t.Error("no recording is in the bucket: the test shows nothing")
	}
}

// What is not whole, foreign, or lacks what it needs, is not restored from a bucket
// either.
func TestRegionRestoreRefusesABucket(t *testing.T) {
	v, _ := openBucketVault(t)
	restoreRefuses(v)
}

// Kills of the node, and of the commands, leave what is in the bucket whole.
func TestINV33_KillsSpareABucketsBackups(t *testing.T) {
	v, _ := openBucketVault(t)
	killsSpareBackups(v)
}
