package modules_test

import (
	"path/filepath"
	"regexp"
	"testing"
)

// What copies data out of a region, hands it to strangers, or opens it to everybody
// is in no module and no example. A text search, because a mocked run shows only
// what somebody thought of asking.
var copying = regexp.MustCompile(`"(aws_s3_bucket_replication_configuration|aws_s3control_multi_region_access_point\w*|aws_s3_bucket_acl|aws_s3_bucket_accelerate_configuration|aws_s3_access_point|` +
	`aws_kms_replica_\w+|aws_kms_grant|aws_rds_global_cluster|aws_db_instance_automated_backups_replication|aws_(db|rds_cluster)_snapshot_copy|aws_ebs_snapshot_copy|aws_ami_copy|` +
	`aws_ami_launch_permission|aws_snapshot_create_volume_permission|aws_cloudfront_\w+|aws_globalaccelerator_\w+|aws_dynamodb_global_table)"|replicate_source_db|replication_source_identifier|global_cluster_identifier`)

func copiers(t *testing.T, dir string) (found []string) {
	t.Helper()
	for _, pattern := range []string{"*.tf", "*/*.tf"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			for _, m := range copying.FindAllString(read(t, f), -1) {
				found = append(found, filepath.Base(f)+": "+m)
			}
		}
	}
	return found
}

func TestNothingCopiesOutOfARegion(t *testing.T) {
	for _, dir := range []string{"../modules", "../examples"} {
		for _, f := range copiers(t, dir) {
			t.Errorf("%s", f)
		}
	}
}
