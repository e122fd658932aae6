package modules_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// bug is a change to a module that breaks a guarantee. The module's own tests must
// fail in the run, and say the words.
type bug struct {
	name, file, old, with string
	says                  string
	always                bool // also without -modules.planted
}

const replication = `
resource "aws_s3_bucket_replication_configuration" "media" {
  bucket = aws_s3_bucket.media.id
  role   = aws_iam_role.node.arn
  rule {
    status = "Enabled"
    destination {
      bucket = "arn:aws:s3:::elsewhere"
    }
  }
}
`

var bugs = []bug{
	{name: "the key is multi-region", file: "region-aws/key.tf", old: "multi_region            = false", with: "multi_region            = true", says: "the key may leave the region"},
	{name: "public policies are taken", file: "region-aws/bucket.tf", old: "block_public_policy     = true", with: "block_public_policy     = false", says: "public access is not blocked"},
	{name: "something is not pinned", file: "region-aws/key.tf", old: "  region                  = var.aws_region\n", with: "", says: "something is not pinned"},
	{name: "old versions stay", file: "region-aws/bucket.tf", old: "noncurrent_days = var.deleted_days", with: "noncurrent_days = 365", says: "old versions of erased objects do not end"},
	{name: "some old versions stay", file: "region-aws/bucket.tf", old: `prefix = "" # all`, with: `prefix = "tmp/"`, says: "old versions of erased objects do not end"},
	{name: "an object lock", file: "region-aws/bucket.tf", old: "force_destroy = false", with: "object_lock_enabled = true\n  force_destroy = false", says: "cannot be erased"},
	{name: "recordings go with the configuration", file: "region-aws/bucket.tf", old: "force_destroy = false", with: "force_destroy = true", says: "recordings go with the configuration"},
	{name: "access lists", file: "region-aws/bucket.tf", old: "BucketOwnerEnforced", with: "ObjectWriter", says: "access lists are possible"},
	{name: "S3's own key", file: "region-aws/bucket.tf", old: `sse_algorithm     = "aws:kms"`, with: `sse_algorithm     = "AES256"`, says: "not encrypted under its key"},
	{name: "anybody reaches KMS's endpoint", file: "region-aws/endpoints.tf", old: "referenced_security_group_id = var.node_security_group_id", with: `cidr_ipv4 = "0.0.0.0/0"`, says: "others than nodes"},
	{name: "a boundary is not looked at", file: "region-aws/variables.tf", old: `try(local.places[var.aws_region].boundary, "none") == var.boundary`, with: "var.aws_region != var.boundary", says: "a_region_outside_of_the_boundary_is_refused"},
	{name: "the provider's region is not looked at", file: "region-aws/main.tf", old: "data.aws_region.provider.region == var.aws_region", with: `data.aws_region.provider.region != ""`, says: "another_region_of_the_provider_is_refused"},
	{name: "bytes outlive keys", file: "region-aws/variables.tf", old: " && var.deleted_days + 2 <= var.key_deletion_days", with: "", says: "bytes_end_before_keys"},
	{name: "the bucket is replicated", file: "region-aws/bucket.tf", old: "\nresource \"aws_s3_bucket_policy\"", with: replication + "\nresource \"aws_s3_bucket_policy\"", says: "what may copy", always: true},
}

// Each known bug is planted into a copy of the module, and its tests must see it. A
// few of them always, the rest with -modules.planted.
func TestPlantedBugsInModules(t *testing.T) {
	for _, b := range bugs {
		if !b.always && !*planted {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			s := open(t)
			file := filepath.Join(s.dir, "modules", b.file)
			text := read(t, file)
			if strings.Count(text, b.old) == 0 {
				t.Fatalf("%s does not hold %q", b.file, b.old)
			}
			write(t, file, strings.Replace(text, b.old, b.with, 1))
			if b.says == "what may copy" {
				if found := copiers(t, filepath.Dir(file)); len(found) == 0 {
					t.Error("nobody noticed")
				}
				return
			}
			r := s.test(filepath.Join("modules", filepath.Dir(b.file)))
			if r.status != "fail" && r.status != "error" || !strings.Contains(r.problems, b.says) {
				t.Errorf("nobody noticed (%s):\n%s", r.status, r.problems)
			}
		})
	}
}
