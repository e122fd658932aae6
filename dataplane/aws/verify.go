package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/domicile-io/domicile/policy"
)

// Category is what kind of rule a store breaks; it is one of those of the
// control plane's violations.
type Category string

// The categories.
const (
	Location   Category = "LOCATION"
	Encryption Category = "ENCRYPTION"
)

// Cause is which rule it is, as the control plane's violations name it.
type Cause string

// The causes.
const (
	BucketLocation    Cause = "BUCKET_LOCATION"
	BucketReplication Cause = "BUCKET_REPLICATION"
	BucketKey         Cause = "BUCKET_KEY"
)

// Causes is the closed list.
var Causes = []Cause{BucketLocation, BucketReplication, BucketKey}

// Violation is what a store does that it must not.
type Violation struct {
	Category Category
	Cause    Cause
	Problem  string
}

func (v *Violation) err() error {
	return policy.Errorf(policy.NotReady, "%s violation of the blob store: %s", v.Category, v.Problem)
}

func (b *S3) violates(c Category, cause Cause, format string, args ...any) *Violation {
	v := &Violation{Category: c, Cause: cause, Problem: fmt.Sprintf(format, args...)}
	b.found.Store(v)
	return v
}

// Verify holds the configuration against cloud, which is where the region is as
// its topology says ("aws-eu-west-1"; "": not known yet), then asks the store
// where the bucket is, and whether it is copied elsewhere or encrypted under
// another region's key by default. It answers the first violation, nil when there
// is none; an error means that the question could not be asked, which changes
// nothing. Between violation and the next good answer nothing is taken in.
func (b *S3) Verify(ctx context.Context, cloud string) (*Violation, error) {
	if at, ok := strings.CutPrefix(cloud, "aws-"); ok && !b.c.Compatible && at != b.c.Region {
		return b.violates(Location, BucketLocation, "the configuration names a bucket of %s, and the region is in %s", b.c.Region, at), nil
	}
	for _, ask := range []func(context.Context) (*Violation, error){b.verifyPlace, b.verifyReplication, b.verifyKey} {
		if v, err := ask(ctx); v != nil || err != nil {
			return v, err
		}
	}
	b.found.Store(nil)
	return nil, nil
}

func (b *S3) verifyPlace(ctx context.Context) (*Violation, error) {
	at, err := b.client.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String(b.c.Bucket)})
	if err != nil {
		err = b.explain(err)
		if v := b.found.Load(); v != nil && v.Category == Location {
			return v, nil
		}
		return nil, err
	}
	if got := location(at.LocationConstraint); got != b.c.Region {
		return b.violates(Location, BucketLocation, "the bucket is in region %s and must be in %s", got, b.c.Region), nil
	}
	head, err := b.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(b.c.Bucket)})
	if err != nil {
		return nil, b.explain(err)
	}
	if got := aws.ToString(head.BucketRegion); got != "" && got != b.c.Region {
		return b.violates(Location, BucketLocation, "the bucket is in region %s and must be in %s", got, b.c.Region), nil
	}
	return nil, nil
}

// verifyReplication wants no rule that copies: where a copy is, nobody here can say.
func (b *S3) verifyReplication(ctx context.Context) (*Violation, error) {
	out, err := b.client.GetBucketReplication(ctx, &s3.GetBucketReplicationInput{Bucket: aws.String(b.c.Bucket)})
	var api smithy.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode() == "ReplicationConfigurationNotFoundError", b.c.Compatible && notImplemented(err):
		return nil, nil
	case err != nil:
		return nil, b.explain(err)
	}
	if out.ReplicationConfiguration != nil {
		for _, r := range out.ReplicationConfiguration.Rules {
			if r.Status == types.ReplicationRuleStatusEnabled {
				return b.violates(Location, BucketReplication, "the bucket is replicated; take the replication rules out"), nil
			}
		}
	}
	return nil, nil
}

// verifyKey looks at the bucket's default; each blob's own key is demanded and
// compared when it is created.
func (b *S3) verifyKey(ctx context.Context) (*Violation, error) {
	if b.c.Compatible {
		return nil, nil
	}
	out, err := b.client.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: aws.String(b.c.Bucket)})
	if err != nil {
		return nil, b.explain(err)
	}
	if out.ServerSideEncryptionConfiguration == nil {
		return nil, nil
	}
	for _, r := range out.ServerSideEncryptionConfiguration.Rules {
		if d := r.ApplyServerSideEncryptionByDefault; d != nil {
			if m := kmsKeyARN.FindStringSubmatch(aws.ToString(d.KMSMasterKeyID)); m != nil && m[1] != b.c.Region {
				return b.violates(Encryption, BucketKey, "the bucket's default key is of region %s and must be of %s", m[1], b.c.Region), nil
			}
		}
	}
	return nil, nil
}
