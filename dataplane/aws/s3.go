package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// S3Config is a section of a node's configuration: `media.s3`, `backup.s3`.
type S3Config struct {
	Account    `yaml:",inline"`
	Bucket     string `yaml:"bucket"`     // of this region alone; a name, never an ARN or an access point
	KMSKey     string `yaml:"kms_key"`    // ARN of a single-region KMS key of the same region; required unless compatible
	Compatible bool   `yaml:"compatible"` // the store is not Amazon's, and may know neither SSE-KMS nor replication; needs endpoint. Everything is sealed before it is sent, in either case
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)
	kmsKeyARN  = regexp.MustCompile(`^arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:key/([A-Za-z0-9-]+)$`)
	// elsewhere are names of endpoints that are of no one region.
	elsewhere = regexp.MustCompile(`(?i)accelerate|global|mrap|accesspoint`)
)

// Check names what is missing, malformed, or not of one region; section is the key
// that it stands under.
func (c S3Config) Check(section string) error {
	bad := []error{c.Account.Check(section)}
	fault := func(key, format string, args ...any) {
		bad = append(bad, fmt.Errorf("%s.%s: "+format, append([]any{section, key}, args...)...))
	}
	if !bucketName.MatchString(c.Bucket) || strings.HasSuffix(c.Bucket, "-s3alias") || strings.HasSuffix(c.Bucket, "--x-s3") || strings.HasSuffix(c.Bucket, "-mrap") {
		fault("bucket", "give a bucket's own name of 3 to 63 small letters, digits and dashes; ARNs, access points and aliases may lead to another region")
	}
	if elsewhere.MatchString(c.Endpoint) {
		fault("endpoint", "accelerated, global and multi-region endpoints are of no one region; give the region's own")
	}
	if c.Compatible && (c.Endpoint == "" || c.KMSKey != "") {
		fault("compatible", "is for a store that is not Amazon's: give its endpoint, and no kms_key")
	}
	if !c.Compatible {
		m := kmsKeyARN.FindStringSubmatch(c.KMSKey)
		switch {
		case m == nil:
			fault("kms_key", "give the ARN of a KMS key, arn:aws:kms:<region>:<account>:key/<id>")
		case m[1] != c.Region:
			fault("kms_key", "is of region %s and the bucket of %s; give one of the same region", m[1], c.Region)
		case strings.HasPrefix(m[2], "mrk-"):
			fault("kms_key", "is a multi-region key, which opens elsewhere too; give a single-region one")
		}
	}
	return errors.Join(bad...)
}

// Destinations are what a node must declare: for recordings with egress class
// LOCAL_STORE, for backups with BACKUP.
func (c S3Config) Destinations() []string {
	out := []string{c.endpoint("s3")}
	if c.InstanceRole {
		out = append(out, MetadataEndpoint)
	}
	return out
}

// S3 keeps blobs in one bucket of one region. It speaks to the region's own
// endpoint in path style, follows no redirect, demands SSE-KMS with the
// configured key and believes only an echo that says so, and creates with
// If-None-Match. What Verify finds against the rules stops it from taking
// anything more in until a later Verify finds nothing.
type S3 struct {
	c      S3Config
	http   *egress.Client
	client *s3.Client
	upload *transfermanager.Client
	found  atomic.Pointer[Violation]
}

var _ store.Blobs = (*S3)(nil)

// PartSize is how a blob is divided on its way; S3 wants 5 MiB at least.
const PartSize = 8 << 20

// NewS3 makes the store; client is of the region's door, with class LOCAL_STORE.
// It asks nobody yet: call Verify before the first use.
func NewS3(c S3Config, client *egress.Client) (*S3, error) {
	if err := c.Check("s3"); err != nil {
		return nil, err
	}
	if client == nil {
		return nil, errors.New("open the S3 store: a client of the region's door must be given")
	}
	b := &S3{c: c, http: client}
	b.client = s3.New(s3.Options{Region: c.Region, BaseEndpoint: aws.String(c.endpoint("s3")), UsePathStyle: true, HTTPClient: client,
		Credentials: c.credentials(client, MetadataEndpoint), RetryMaxAttempts: 3, AppID: "domicile",
		DisableMultiRegionAccessPoints: true, UseAccelerate: false, UseARNRegion: false, DisableS3ExpressSessionAuth: aws.Bool(true)})
	b.upload = transfermanager.New(b.client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency = PartSize, PartSize, 2
	})
	return b, nil
}

// Open implements store.Blobs.
func (b *S3) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := store.CheckBlobName(name); err != nil {
		return nil, err
	}
	return b.open(ctx, name, offset, length)
}

// open is Open for any name.
func (b *S3) open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if length == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	in := &s3.GetObjectInput{Bucket: aws.String(b.c.Bucket), Key: aws.String(name)}
	switch {
	case length > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := b.client.GetObject(ctx, in)
	if err != nil {
		return nil, b.explain(err)
	}
	return out.Body, nil
}

// Stat implements store.Blobs.
func (b *S3) Stat(ctx context.Context, name string) (store.BlobInfo, error) {
	if err := store.CheckBlobName(name); err != nil {
		return store.BlobInfo{}, err
	}
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(b.c.Bucket), Key: aws.String(name)})
	if err != nil {
		return store.BlobInfo{}, b.explain(err)
	}
	return store.BlobInfo{Name: name, Size: aws.ToInt64(out.ContentLength), Tag: aws.ToString(out.ETag)}, nil
}

// Delete implements store.Blobs. It works in a bucket that takes nothing more.
func (b *S3) Delete(ctx context.Context, name string) error {
	if err := store.CheckBlobName(name); err != nil {
		return err
	}
	return b.remove(ctx, name)
}

// remove is Delete for any name.
func (b *S3) remove(ctx context.Context, name string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(b.c.Bucket), Key: aws.String(name)})
	if err = b.explain(err); errors.Is(err, &policy.Error{Reason: policy.NotFound}) {
		return nil
	}
	return err
}

// List implements store.Blobs.
func (b *S3) List(ctx context.Context, prefix, after string, limit int) ([]store.BlobInfo, error) {
	if err := store.CheckBlobList(prefix, limit); err != nil {
		return nil, err
	}
	in := &s3.ListObjectsV2Input{Bucket: aws.String(b.c.Bucket), Prefix: aws.String(prefix)}
	if after != "" {
		in.StartAfter = aws.String(after)
	}
	var list []store.BlobInfo
	for len(list) < limit {
		in.MaxKeys = aws.Int32(int32(limit - len(list)))
		out, err := b.client.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, b.explain(err)
		}
		for _, o := range out.Contents {
			list = append(list, store.BlobInfo{Name: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Tag: aws.ToString(o.ETag)})
		}
		if !aws.ToBool(out.IsTruncated) || out.NextContinuationToken == nil {
			break
		}
		in.ContinuationToken = out.NextContinuationToken
	}
	return list, nil
}

// Healthy implements store.Blobs: what Verify found last.
func (b *S3) Healthy() error {
	if v := b.found.Load(); v != nil {
		return v.err()
	}
	return nil
}

// Close implements store.Blobs.
func (b *S3) Close() error {
	b.http.CloseIdleConnections()
	return nil
}

// explain turns the SDK's errors into ours. A redirect to another region's
// bucket is a violation.
func (b *S3) explain(err error) error {
	if err == nil {
		return nil
	}
	var egressDenied *policy.Error
	if errors.As(err, &egressDenied) {
		return egressDenied
	}
	status, region := 0, ""
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		status, region = response.HTTPStatusCode(), response.Response.Header.Get("x-amz-bucket-region")
	}
	code := ""
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch {
	case region != "" && region != b.c.Region, status/100 == 3 && status != http.StatusNotModified, code == "PermanentRedirect", code == "IllegalLocationConstraintException":
		return b.violates(Location, BucketLocation, "the bucket is in another region than the node's configuration says").err()
	case code == "NoSuchKey", code == "NotFound" && status == http.StatusNotFound:
		return store.ErrNoBlob()
	case code == "PreconditionFailed", code == "ConditionalRequestConflict":
		return store.ErrBlobExists()
	case code == "SlowDown", status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return &policy.Error{Reason: policy.Overloaded, Cause: err, Message: "the region's blob store asks for patience; send the request again in a moment"}
	case code == "QuotaExceeded", code == "XMinioStorageFull", status == http.StatusInsufficientStorage:
		return &policy.Error{Reason: policy.StorageFull, Cause: err, Message: "the region's blob store is full; extend it, then send the request again"}
	}
	return &policy.Error{Reason: policy.NotReady, Cause: err, Message: "the region's blob store cannot be reached or refuses the node; see the node's log"}
}

// notImplemented reports an operation that a store does not know.
func notImplemented(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (api.ErrorCode() == "NotImplemented" || api.ErrorCode() == "MethodNotAllowed")
}

// location is a bucket's region as GetBucketLocation says it.
func location(c types.BucketLocationConstraint) string {
	switch c {
	case "":
		return "us-east-1"
	case types.BucketLocationConstraintEu:
		return "eu-west-1"
	}
	return string(c)
}
