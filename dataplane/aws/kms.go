package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// KMSConfig is the section `keys.aws_kms` of a node's configuration.
type KMSConfig struct {
	Account      `yaml:",inline"`
	DeletionDays int `yaml:"deletion_days"` // for which KMS keeps a key that was given up, 7 to 30; default 7. An erasure is final after it
}

// Check names what is missing or malformed.
func (c KMSConfig) Check() error {
	err := c.Account.Check("keys.aws_kms")
	if c.DeletionDays != 0 && (c.DeletionDays < minDeletionDays || c.DeletionDays > 30) {
		err = errors.Join(err, fmt.Errorf("keys.aws_kms.deletion_days: KMS allows 7 to 30"))
	}
	return err
}

// Destinations are what a node must declare (egress class LOCAL_KEY).
func (c KMSConfig) Destinations() []string {
	out := []string{c.endpoint("kms")}
	if c.InstanceRole {
		out = append(out, MetadataEndpoint)
	}
	return out
}

const minDeletionDays = 7

// KMSOptions of a custodian. All but metadata are required.
type KMSOptions struct {
	Config  KMSConfig
	Cluster string          // id of the cluster, CL…
	Region  policy.RegionID // of Domicile
	Client  *egress.Client  // made by the region's door

	metadata string // tests have one of their own
}

// KMS keeps each generation of a region's key table under a KMS key of its own:
// a customer-managed, symmetric, single-region one. The generation's key is a
// data key of it. Giving the generation up schedules the deletion of the KMS key,
// which is final when the window is over.
//
// Encryption context: domicile:cluster, domicile:region, domicile:generation.
// The reason of a use stands in the user agent ("domicile-use/rotate"), which
// CloudTrail records: the encryption context has no place for it, since it must
// be the same each time.
type KMS struct {
	o      KMSOptions
	client *kms.Client
}

// NewKMS makes a custodian. It asks nobody yet.
func NewKMS(o KMSOptions) (*KMS, error) {
	if err := o.Config.Check(); err != nil {
		return nil, err
	}
	if o.Cluster == "" || o.Region == "" || o.Client == nil {
		return nil, errors.New("open the AWS key service: cluster, region and client must be given")
	}
	if o.Config.DeletionDays == 0 {
		o.Config.DeletionDays = minDeletionDays
	}
	if o.metadata == "" {
		o.metadata = MetadataEndpoint
	}
	client := kms.New(kms.Options{Region: o.Config.Region, BaseEndpoint: aws.String(o.Config.endpoint("kms")), HTTPClient: o.Client,
		Credentials: o.Config.credentials(o.Client, o.metadata), RetryMaxAttempts: 3, AppID: "domicile"})
	return &KMS{o: o, client: client}, nil
}

// Kind implements local.Custodian.
func (k *KMS) Kind() string { return "aws-kms" }

// Close implements local.Custodian.
func (k *KMS) Close() error {
	k.o.Client.CloseIdleConnections()
	return nil
}

// kmsToken finds a generation's key again. It stands in the key table in the clear.
type kmsToken struct {
	Key     string `json:"key"` // ARN
	Wrapped []byte `json:"wrapped"`
}

func (k *KMS) context(gen uint64) map[string]string {
	return map[string]string{"domicile:cluster": k.o.Cluster, "domicile:region": string(k.o.Region), "domicile:generation": strconv.FormatUint(gen, 10)}
}

func because(use store.KeyUse) func(*kms.Options) {
	return func(o *kms.Options) {
		o.APIOptions = append(o.APIOptions, awsmiddleware.AddUserAgentKeyValue("domicile-use", string(use)))
	}
}

// Create implements local.Custodian.
func (k *KMS) Create(ctx context.Context, gen uint64) ([]byte, [32]byte, error) {
	var none [32]byte
	tags := []types.Tag{}
	for _, name := range []string{"domicile:cluster", "domicile:region", "domicile:generation"} {
		tags = append(tags, types.Tag{TagKey: aws.String(name), TagValue: aws.String(k.context(gen)[name])})
	}
	made, err := k.client.CreateKey(ctx, &kms.CreateKeyInput{Description: aws.String(fmt.Sprintf("Domicile key table of region %s, generation %d", k.o.Region, gen)),
		KeySpec: types.KeySpecSymmetricDefault, KeyUsage: types.KeyUsageTypeEncryptDecrypt, MultiRegion: aws.Bool(false), Tags: tags}, because(store.UseRotate))
	if err != nil {
		return nil, none, k.explain(err)
	}
	m := made.KeyMetadata
	if m == nil || m.Arn == nil {
		return nil, none, errors.New("KMS made a key and did not name it")
	}
	key, token, err := k.dataKey(ctx, m, gen)
	if err != nil {
		// It protects nothing; it need not stay.
		_, _ = k.client.ScheduleKeyDeletion(context.WithoutCancel(ctx), &kms.ScheduleKeyDeletionInput{KeyId: m.Arn, PendingWindowInDays: aws.Int32(minDeletionDays)}, because(store.UseRotate))
		return nil, none, err
	}
	return token, key, nil
}

func (k *KMS) dataKey(ctx context.Context, m *types.KeyMetadata, gen uint64) (key [32]byte, token []byte, err error) {
	if err := k.belongs(*m.Arn); err != nil {
		return key, nil, err
	}
	if aws.ToBool(m.MultiRegion) {
		return key, nil, fmt.Errorf("KMS key %s is a multi-region key: its material would leave the region", *m.Arn)
	}
	data, err := k.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: m.Arn, KeySpec: types.DataKeySpecAes256, EncryptionContext: k.context(gen)}, because(store.UseRotate))
	if err != nil {
		return key, nil, k.explain(err)
	}
	defer clear(data.Plaintext)
	if len(data.Plaintext) != len(key) {
		return key, nil, fmt.Errorf("KMS made a data key of %d bytes, want %d", len(data.Plaintext), len(key))
	}
	key = [32]byte(data.Plaintext)
	token, err = json.Marshal(kmsToken{Key: *m.Arn, Wrapped: data.CiphertextBlob})
	return key, token, err
}

// belongs refuses a key of another region of AWS: the table would be opened
// from outside.
func (k *KMS) belongs(arn string) error {
	if p := strings.SplitN(arn, ":", 6); len(p) != 6 || p[2] != "kms" || p[3] != k.o.Config.Region {
		return policy.Errorf(policy.EgressDenied, "KMS key %s is not of AWS region %s, which keys.aws_kms names", arn, k.o.Config.Region)
	}
	return nil
}

func (k *KMS) token(raw []byte) (t kmsToken, err error) {
	if err := json.Unmarshal(raw, &t); err != nil {
		return t, fmt.Errorf("the key table's token is not of aws-kms: %w", err)
	}
	return t, k.belongs(t.Key)
}

// Unwrap implements local.Custodian.
func (k *KMS) Unwrap(ctx context.Context, gen uint64, token []byte, use store.KeyUse) (key [32]byte, err error) {
	t, err := k.token(token)
	if err != nil {
		return key, err
	}
	out, err := k.client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: t.Wrapped, KeyId: aws.String(t.Key), EncryptionContext: k.context(gen)}, because(use))
	if err != nil {
		return key, k.explain(err)
	}
	defer clear(out.Plaintext)
	if len(out.Plaintext) != len(key) || aws.ToString(out.KeyId) != t.Key {
		return key, fmt.Errorf("KMS answered with %d bytes of key %s", len(out.Plaintext), aws.ToString(out.KeyId))
	}
	return [32]byte(out.Plaintext), nil
}

// Destroy implements local.Custodian.
func (k *KMS) Destroy(ctx context.Context, _ uint64, token []byte) (time.Time, error) {
	t, err := k.token(token)
	if err != nil {
		return time.Time{}, err
	}
	out, err := k.client.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: aws.String(t.Key), PendingWindowInDays: aws.Int32(int32(k.o.Config.DeletionDays))}, because(store.UseRotate))
	if err == nil && out.DeletionDate != nil {
		return *out.DeletionDate, nil
	}
	var gone *types.NotFoundException
	if errors.As(err, &gone) {
		return time.Now(), nil
	}
	var state *types.KMSInvalidStateException
	if err != nil && !errors.As(err, &state) {
		return time.Time{}, k.explain(err)
	}
	d, err := k.client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(t.Key)}, because(store.UseRotate)) // it waits already
	if err != nil {
		return time.Time{}, k.explain(err)
	}
	if m := d.KeyMetadata; m != nil && m.KeyState == types.KeyStatePendingDeletion && m.DeletionDate != nil {
		return *m.DeletionDate, nil
	}
	return time.Time{}, fmt.Errorf("KMS key %s is neither deleted nor waits for it", t.Key)
}

// explain says of KMS's answer what an operator can do.
func (k *KMS) explain(err error) error {
	var gone *types.NotFoundException
	var state *types.KMSInvalidStateException
	var disabled *types.DisabledException
	var other *types.InvalidCiphertextException
	switch {
	case errors.As(err, &gone):
		return &policy.Error{Reason: policy.Destroyed, Cause: err, Message: "the generation's KMS key was deleted; what it sealed is gone for good"}
	case errors.As(err, &disabled), errors.As(err, &state):
		return &policy.Error{Reason: policy.NotReady, Cause: err, Message: "the generation's KMS key is disabled or waits for deletion; if that was not meant, cancel the deletion and enable it before the window is over"}
	case errors.As(err, &other):
		return &policy.Error{Reason: policy.Internal, Cause: err, Message: "KMS does not open the generation's key: it is of another cluster, region or generation, or was changed"}
	}
	return fmt.Errorf("ask AWS KMS in %s: %w", k.o.Config.Region, err)
}
