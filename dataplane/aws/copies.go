package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/domicile-io/domicile/dataplane/shelf/copied"
	"github.com/domicile-io/domicile/policy"
)

// Copies is a bucket as the place of the key table's copy. It must keep no versions:
// what is deleted there must be gone.
type Copies struct {
	b *S3

	// verify holds the bucket against the rules of every bucket.
	verify func(ctx context.Context) error
}

var _ copied.Place = (*Copies)(nil)

// NewCopies makes the place; it asks nobody yet. A nil verify is Bucket.Verify.
func NewCopies(b *S3, verify func(ctx context.Context) error) *Copies {
	if verify == nil {
		verify = func(ctx context.Context) error {
			v, err := b.Verify(ctx, "")
			if v != nil {
				err = v.err()
			}
			return err
		}
	}
	return &Copies{b, verify}
}

func (c *Copies) String() string { return "bucket " + c.b.c.Bucket }

// Ready implements copied.Place: the bucket is in the region, copied nowhere, under its
// key, and forgets what is deleted.
func (c *Copies) Ready(ctx context.Context) error {
	if err := c.verify(ctx); err != nil {
		return err
	}
	keeps := func(why string) error {
		return policy.Errorf(policy.NotReady, "%s %s: destroyed keys would live on in it. Give keys.copy_s3 a bucket that never had versions or object lock", c, why)
	}
	versions, err := c.b.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: aws.String(c.b.c.Bucket)})
	switch {
	case c.b.c.Compatible && (notImplemented(err) || code(err) == "VersioningNotConfigured"): // it knows none
	case err != nil:
		return c.b.explain(err)
	case versions.Status != "":
		return keeps("has versioning " + string(versions.Status))
	}
	lock, err := c.b.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: aws.String(c.b.c.Bucket)})
	switch {
	case code(err) == "ObjectLockConfigurationNotFoundError", c.b.c.Compatible && notImplemented(err):
	case err != nil:
		return c.b.explain(err)
	case lock.ObjectLockConfiguration != nil && lock.ObjectLockConfiguration.ObjectLockEnabled == types.ObjectLockEnabledEnabled:
		return keeps("has object lock")
	}
	return c.conditions(ctx)
}

// probe is an object without content.
const probe = "conditions"

// conditions refuses a store that passes over If-None-Match or If-Match: two nodes
// would replace each other's objects.
func (c *Copies) conditions(ctx context.Context) error {
	if err := c.Put(ctx, probe, "", strings.NewReader("")); err != nil && !errors.Is(err, copied.ErrChanged) {
		return err
	}
	for _, tag := range []string{"", `"0"`} {
		err := c.Put(ctx, probe, tag, strings.NewReader(""))
		if err == nil {
			return policy.Errorf(policy.NotReady, "%s passes over conditions of PutObject (If-None-Match, If-Match): it is no store for keys.copy_s3", c)
		}
		if !errors.Is(err, copied.ErrChanged) {
			return err
		}
	}
	return nil
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// Read implements copied.Place.
func (c *Copies) Read(ctx context.Context, name string) (io.ReadCloser, string, error) {
	out, err := c.b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(c.b.c.Bucket), Key: aws.String(name)})
	if err != nil {
		if err = c.b.explain(err); errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
			err = fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		return nil, "", err
	}
	return out.Body, aws.ToString(out.ETag), nil
}

// Put implements copied.Place, with If-None-Match and If-Match.
func (c *Copies) Put(ctx context.Context, name, tag string, data io.ReadSeeker) error {
	if err := c.b.Healthy(); err != nil {
		return err
	}
	in := &s3.PutObjectInput{Bucket: aws.String(c.b.c.Bucket), Key: aws.String(name), Body: data, ContentType: aws.String("application/octet-stream")}
	if in.IfNoneMatch = aws.String("*"); tag != "" {
		in.IfNoneMatch, in.IfMatch = nil, aws.String(tag)
	}
	if !c.b.c.Compatible {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, aws.String(c.b.c.KMSKey)
	}
	out, err := c.b.client.PutObject(ctx, in)
	if err != nil {
		if conditional(err, tag) {
			return fmt.Errorf("%s: %w", name, copied.ErrChanged)
		}
		return c.b.explain(err)
	}
	return c.b.echoed(ctx, name, encryption{kind: string(out.ServerSideEncryption), key: aws.ToString(out.SSEKMSKeyId)})
}

// conditional reports a refusal for a condition that does not hold. Of an object that
// is gone If-Match says that it is not there.
func conditional(err error, tag string) bool {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() == http.StatusPreconditionFailed {
		return true
	}
	switch code(err) {
	case "PreconditionFailed", "ConditionalRequestConflict":
		return true
	case "NoSuchKey":
		return tag != ""
	}
	return false
}

// List implements copied.Place.
func (c *Copies) List(ctx context.Context, prefix string, visit func(name string) error) error {
	in := &s3.ListObjectsV2Input{Bucket: aws.String(c.b.c.Bucket), Prefix: aws.String(prefix)}
	for {
		out, err := c.b.client.ListObjectsV2(ctx, in)
		if err != nil {
			return c.b.explain(err)
		}
		for _, o := range out.Contents {
			if err := visit(aws.ToString(o.Key)); err != nil {
				return err
			}
		}
		if !aws.ToBool(out.IsTruncated) || out.NextContinuationToken == nil {
			return nil
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

// Remove implements copied.Place.
func (c *Copies) Remove(ctx context.Context, name string) error { return c.b.remove(ctx, name) }
