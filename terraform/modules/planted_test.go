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
  bucket = aws_s3_bucket.region["media"].id
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
	{name: "old versions stay", file: "region-aws/bucket.tf", old: "noncurrent_days = var.deleted_days", with: "noncurrent_days = 365", says: "old versions of erased or pruned objects do not end"},
	{name: "some old versions stay", file: "region-aws/bucket.tf", old: `prefix = "" # all`, with: `prefix = "tmp/"`, says: "old versions of erased or pruned objects do not end"},
	{name: "an object lock", file: "region-aws/bucket.tf", old: "force_destroy = false", with: "object_lock_enabled = true\n  force_destroy = false", says: "cannot be erased"},
	{name: "recordings go with the configuration", file: "region-aws/bucket.tf", old: "force_destroy = false", with: "force_destroy = true", says: "recordings or backups go with the configuration"},
	{name: "access lists", file: "region-aws/bucket.tf", old: "BucketOwnerEnforced", with: "ObjectWriter", says: "access lists are possible"},
	{name: "S3's own key", file: "region-aws/bucket.tf", old: `sse_algorithm     = "aws:kms"`, with: `sse_algorithm     = "AES256"`, says: "not encrypted under the region's key"},
	{name: "anybody reaches KMS's endpoint", file: "region-aws/endpoints.tf", old: "referenced_security_group_id = var.node_security_group_id", with: `cidr_ipv4 = "0.0.0.0/0"`, says: "others than nodes"},
	{name: "a boundary is not looked at", file: "region-aws/variables.tf", old: `try(local.places[var.aws_region].boundary, "none") == var.boundary`, with: "var.aws_region != var.boundary", says: "a_region_outside_of_the_boundary_is_refused"},
	{name: "the provider's region is not looked at", file: "region-aws/main.tf", old: "data.aws_region.provider.region == var.aws_region", with: `data.aws_region.provider.region != ""`, says: "another_region_of_the_provider_is_refused"},
	{name: "bytes outlive keys", file: "region-aws/variables.tf", old: " && var.deleted_days + 2 <= var.key_deletion_days", with: "", says: "bytes_end_before_keys"},
	{name: "the bucket is replicated", file: "region-aws/bucket.tf", old: "\nresource \"aws_s3_bucket_policy\"", with: replication + "\nresource \"aws_s3_bucket_policy\"", says: "what may copy", always: true},
	{name: "a region's backups are not private", file: "region-aws/bucket.tf", old: "resource \"aws_s3_bucket_public_access_block\" \"region\" {\n  for_each                = local.buckets", with: "resource \"aws_s3_bucket_public_access_block\" \"region\" {\n  for_each                = { media = local.buckets.media }", says: "a bucket lacks what the other has"},
	{name: "a region's backups are not encrypted under its key", file: "region-aws/bucket.tf", old: "resource \"aws_s3_bucket_server_side_encryption_configuration\" \"region\" {\n  for_each = local.buckets", with: "resource \"aws_s3_bucket_server_side_encryption_configuration\" \"region\" {\n  for_each = { media = local.buckets.media }", says: "a bucket lacks what the other has"},
	{name: "pruned backups stay", file: "region-aws/bucket.tf", old: "resource \"aws_s3_bucket_lifecycle_configuration\" \"region\" {\n  for_each   = local.buckets", with: "resource \"aws_s3_bucket_lifecycle_configuration\" \"region\" {\n  for_each   = { media = local.buckets.media }", says: "a bucket lacks what the other has"},
	{name: "backups are overwritten for good", file: "region-aws/bucket.tf", old: "resource \"aws_s3_bucket_versioning\" \"region\" {\n  for_each = local.versioned", with: "resource \"aws_s3_bucket_versioning\" \"region\" {\n  for_each = { media = local.buckets.media }", says: "a bucket lacks what the other has"},
	{name: "the copy of the key table has versions", file: "region-aws/bucket.tf", old: "for_each = local.versioned", with: "for_each = local.buckets", says: "the key table's copy keeps what is destroyed"},
	{name: "a voter's key is multi-region", file: "control-plane-aws/backup.tf", old: "multi_region            = false", with: "multi_region            = true", says: "not where it stands"},
	{name: "a voter's bucket is wherever the provider is", file: "control-plane-aws/backup.tf", old: "  region              = each.value.aws_region\n  bucket              = local", with: "  region              = \"us-east-1\"\n  bucket              = local", says: "not where it stands"},
	{name: "backups are public", file: "control-plane-aws/backup.tf", old: "block_public_acls       = true", with: "block_public_acls       = false", says: "public access is not blocked"},
	{name: "backups go with the configuration", file: "control-plane-aws/backup.tf", old: "force_destroy       = false", with: "force_destroy       = true", says: "backups go with the configuration"},
	{name: "backups are not locked", file: "control-plane-aws/backup.tf", old: "days = var.backup_days\n    }\n  }\n}", with: "days = 1\n    }\n  }\n}", says: "not locked for as long"},
	{name: "a backup is written over", file: "control-plane-aws/backup.tf", old: "status = \"Enabled\"\n  }\n}", with: "status = \"Suspended\"\n  }\n}", says: "can be written over"},
	{name: "old backups stay", file: "control-plane-aws/backup.tf", old: "expiration {\n      days = var.backup_days", with: "expiration {\n      days = 3650", says: "old backups do not end"},
	{name: "S3's own key for backups", file: "control-plane-aws/backup.tf", old: `sse_algorithm     = "aws:kms"`, with: `sse_algorithm     = "AES256"`, says: "not encrypted under the voter's key"},
	{name: "a voter reads its past", file: "control-plane-aws/main.tf", old: `Action = "s3:PutObject", Resource = "${local.arns[each.key]}/*" }]`, with: `Action = "s3:*Object", Resource = "${local.arns[each.key]}/*" }]`, says: "more with backups than add them"},
	{name: "voters are not denied", file: "control-plane-aws/backup.tf", old: `Action = ["s3:GetObject*", "s3:DeleteObject*"`, with: `Action = ["s3:DeleteObject*"`, says: "voters may read backups"},
	{name: "Raft is open to nodes", file: "control-plane-aws/main.tf", old: `for c in var.node_cidrs : "${name} grpc ${c}" => { voter = name, port = var.ports.grpc`, with: `for c in var.node_cidrs : "${name} grpc ${c}" => { voter = name, port = var.ports.raft`, says: "open to whom it is not for"},
	{name: "Raft is open to everybody", file: "control-plane-aws/variables.tf", old: ` && !contains(var.raft_cidrs, "0.0.0.0/0")`, with: "", says: "raft_is_not_open_to_the_internet"},
	{name: "one boundary may have a majority", file: "control-plane-aws/variables.tf", old: "2 * length([for v in values(var.voters) : v if v.boundary == b]) < length(var.voters)", with: "length([for v in values(var.voters) : v if v.boundary == b]) < length(var.voters)", says: "a_majority_in_one_boundary_is_refused"},
	{name: "a voter's place is not looked at", file: "control-plane-aws/variables.tf", old: `try(local.places[v.aws_region], "") == v.boundary`, with: `v.boundary != ""`, says: "a_voter_outside_of_its_boundary_is_refused"},
	{name: "a known place is redefined", file: "control-plane-aws/main.tf", old: "merge(var.more_places, local.known_places)", with: "merge(local.known_places, var.more_places)", says: "a_known_place_cannot_be_redefined"},
	{name: "any number of voters", file: "control-plane-aws/variables.tf", old: "contains([3, 5], length(var.voters))", with: "length(var.voters) >= 3", says: "four_voters_are_refused"},
	{name: "the account administers keys", file: "control-plane-aws/variables.tf", old: "(role|user)/[^*]+$", with: "(root|(role|user)/[^*]+)$", says: "the_account_administers_no_key"},
	{name: "backups without a recipient", file: "control-plane-aws/variables.tf", old: "length(var.backup_recipients) > 0 && ", with: "", says: "backups_for_nobody_are_refused"},
	{name: "a voter is not told to encrypt", file: "control-plane-aws/outputs.tf", old: "recipients = var.backup_recipients", with: "recipients = []", says: "encrypted to nobody"},
	{name: "the provider's account is not looked at", file: "control-plane-aws/main.tf", old: "data.aws_caller_identity.provider.account_id == var.account_id", with: `data.aws_caller_identity.provider.account_id != ""`, says: "another_account_is_refused"},
	{name: "settings win over the region", file: "region-local/main.tf", old: "region          = var.region\n    data_dir", with: "region          = try(var.settings.region, var.region)\n    data_dir", says: "settings change the region"},
	{name: "a local region's backups may leave", file: "region-local/main.tf", old: `backup_region       = "none"`, with: `backup_region       = "us1"`, says: "lets its backups leave"},
	{name: "a certificate for other hosts is kept", file: "region-local/main.tf", old: "sort(var.hosts), ", with: "", says: "does not name the hosts"},
	{name: "no deletion protection", file: "region-local/variables.tf", old: "  type        = bool\n  nullable    = false\n  default     = true", with: "  type        = bool\n  nullable    = false\n  default     = false", says: "not what was asked for"},
	{name: "listeners that nobody asked for", file: "region-local/main.tf", old: ` : k => v if v != "" }))`, with: " : k => v }))", says: "a listener that nobody asked for"},
	{name: "a rack is called AWS's", file: "region-local/variables.tf", old: ` && !startswith(var.place, "aws-")`, with: "", says: "a_place_of_aws_is_refused"},
	{name: "plain HTTP is taken", file: "region-local/variables.tf", old: "^https://", with: "^https?://", says: "plain_http_is_refused"},
	{name: "a relative folder", file: "region-local/variables.tf", old: `startswith(var.folder, "/")`, with: `var.folder != ""`, says: "a_folder_that_moves_with_the_shell"},
	{name: "no voters", file: "region-local/variables.tf", old: "length(var.control_plane) > 0", with: "length(var.control_plane) >= 0", says: "a_region_without_voters_is_refused"},
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
