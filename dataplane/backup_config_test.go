package dataplane

import (
	"strings"
	"testing"
)

// What a configuration of backups in a bucket must not be.
func TestBackupsAreInOnePlaceOfTheRegion(t *testing.T) {
	const bucket = "{region: eu-west-1, endpoint: 'https://s3.internal:9000', credentials_file: /x, bucket: backups, compatible: true}"
	c, err := load(t, goodConfig+"backup: {s3: "+bucket+"}\n")
	if err != nil {
		t.Fatal(err)
	}
	if !c.Backup.taken() || c.Backup.Keep != defaultBackupKeep || c.Backup.Interval != defaultBackupInterval {
		t.Errorf("loaded %+v", c.Backup)
	}
	for text, says := range map[string]string{
		"backup: {folder: /mnt/b, s3: " + bucket + "}":                                         "give one of folder and s3",
		"backup: {keep: 3}":                                                                    "backup.s3",
		"backup: {s3: {region: eu-west-1, bucket: b}}":                                         "backup.s3.bucket",
		"backup: {s3: " + strings.Replace(bucket, "region: eu-west-1, ", "", 1) + "}":          "backup.s3.region",
		"backup: {s3: " + strings.Replace(bucket, "https://s3.internal", "http://s3", 1) + "}": "backup.s3.endpoint",
		"media: {s3: " + bucket + "}\nbackup: {s3: " + bucket + "}":                            "a bucket of their own",
	} {
		if _, err := load(t, goodConfig+text+"\n"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", text, err, says)
		}
	}
}
