package chaos

// vaultBugs are bugs of backups that lie in a bucket.
var vaultBugs = []bug{
	{"two nodes change one bucket of backups", []plant{{"dataplane/aws/place_lock.go",
		"mine.Sub(at) < markStale {", "mine.Sub(at) < 0 {"}},
		"./dataplane/aws", "TestOneAtATimeInABucket"},
	{"who lost the mark in a bucket goes on", []plant{{"dataplane/aws/place.go",
		"	if err := errors.Join(err, s.p.kept()); err != nil {", "	if err != nil {"}},
		"./dataplane/aws", "TestWhoLostTheBucketStops"},
	{"a bucket of backups is not asked where it is", []plant{{"dataplane/backup/repository.go",
		"	if err := r.place.Ready(ctx); err != nil {", "	if err := r.place.Ready(ctx); false {"}},
		"./dataplane/aws", "TestINV07_ForeignBucketsAreRefused"},
	{"a recording of the same name and size is not copied again", []plant{{"dataplane/backup/create.go",
		" && was.Tag == b.Tag && c.r.has(was)", " && c.r.has(was)"}},
		"./dataplane/aws", "TestARecordingThatIsAnotherInItsBucketIsCopied"},
	{"a recording that is there is taken for the backup's", []plant{{"dataplane/backup/restore_blob.go",
		"	if sum.n != f.Size || sum.sum() != f.SHA256 {", "	if sum.n < 0 {"}},
		"./dataplane/aws", "TestRecordingsComeBackIntoTheirBucket"},
	{"snapshots that cannot be put back take the place of those that can", []plant{{"dataplane/backup/prune.go",
		"fits && fit <= keep {", "fits && fit < 0 {"}},
		"./dataplane/backup", "TestINV22_PruneKeepsWhatMayBePutBack"},
}

func init() { bugs = append(bugs, vaultBugs...) }
