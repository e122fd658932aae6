// Package aws lets a region use Amazon's key service as the custodian of its
// key table's generations.
//
// Everything is explicit: region, endpoint and credentials come from the node's
// configuration. No environment variable and no shared configuration file is
// read, AWS_ENDPOINT_URL and its like included. Every connection goes through
// the region's one door; the SDK's own clients never dial.
package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/domicile-io/domicile/dataplane/egress"
)

// MetadataEndpoint is where a machine of EC2 asks for its role's credentials
// (IMDSv2). A node that uses them declares it as a destination.
const MetadataEndpoint = "http://169.254.169.254"

// Account is where, and as whom, a node speaks to AWS.
type Account struct {
	Region          string `yaml:"region"`           // of AWS, such as eu-west-1 (required)
	Endpoint        string `yaml:"endpoint"`         // https base URL; default: the service's public one of the region
	CredentialsFile string `yaml:"credentials_file"` // JSON as a credential_process prints it, mode 0600; read again when it changes
	InstanceRole    bool   `yaml:"instance_role"`    // instead: the role of this machine of EC2
	CA              string `yaml:"ca"`               // file of PEM certificates that sign the endpoint's; default: the system's
}

var regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)

// Check names what is missing or malformed; section is the key that it stands under.
func (a Account) Check(section string) error {
	var bad []error
	if !regionName.MatchString(a.Region) {
		bad = append(bad, fmt.Errorf("%s.region: give the AWS region, such as eu-west-1", section))
	}
	if a.Endpoint != "" {
		u, err := url.Parse(a.Endpoint)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
			bad = append(bad, fmt.Errorf("%s.endpoint: give https://host[:port]", section))
		}
	}
	if (a.CredentialsFile == "") != a.InstanceRole {
		bad = append(bad, fmt.Errorf("%s.credentials_file or %s.instance_role: give one of the two", section, section))
	}
	return errors.Join(bad...)
}

// endpoint is the base URL of a service.
func (a Account) endpoint(service string) string {
	if a.Endpoint != "" {
		return a.Endpoint
	}
	return "https://" + service + "." + a.Region + ".amazonaws.com"
}

// credentials finds the account's credentials anew when they run out.
func (a Account) credentials(client *egress.Client, metadata string) aws.CredentialsProvider {
	if a.InstanceRole {
		return aws.NewCredentialsCache(ec2rolecreds.New(func(o *ec2rolecreds.Options) {
			o.Client = imds.New(imds.Options{Endpoint: metadata, HTTPClient: client, EnableFallback: aws.FalseTernary, ClientEnableState: imds.ClientEnabled})
		}))
	}
	return aws.NewCredentialsCache(fileCredentials(a.CredentialsFile))
}

// fileCredentials reads what a credential_process would print.
type fileCredentials string

// rereadAfter bounds how long a file without an expiry is believed.
const rereadAfter = 5 * time.Minute

// Retrieve implements aws.CredentialsProvider.
func (f fileCredentials) Retrieve(context.Context) (out aws.Credentials, err error) {
	info, err := os.Stat(string(f))
	if err != nil {
		return out, fmt.Errorf("read AWS credentials: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return out, fmt.Errorf("AWS credentials in %s may be read by others (mode %04o): chmod 600 it", f, info.Mode().Perm())
	}
	raw, err := os.ReadFile(string(f))
	if err != nil {
		return out, fmt.Errorf("read AWS credentials: %w", err)
	}
	defer clear(raw)
	var c struct {
		Version                                  int
		AccessKeyID                              string `json:"AccessKeyId"`
		SecretAccessKey, SessionToken, AccountID string
		Expiration                               time.Time
	}
	if err := json.Unmarshal(raw, &c); err != nil || c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return out, fmt.Errorf("AWS credentials in %s: give JSON with AccessKeyId and SecretAccessKey, as a credential_process prints it", f)
	}
	out = aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		Source: "file", CanExpire: true, Expires: time.Now().Add(rereadAfter)}
	if !c.Expiration.IsZero() && c.Expiration.Before(out.Expires) {
		out.Expires = c.Expiration
	}
	return out, nil
}
