package controlplane

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// maxConfig is the greatest configuration file that is read, in bytes.
const maxConfig = 1 << 20

// LoadConfig reads a strict YAML file: an unknown key, a missing one or a bad
// value stops the start with an error that names the key.
func LoadConfig(path string) (Config, error) {
	var cfg Config
	f, err := os.Open(path)
	if err != nil {
		return cfg, fmt.Errorf("open configuration: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	raw, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return cfg, fmt.Errorf("read configuration %s: %w", path, err)
	}
	if len(raw) > maxConfig {
		return cfg, fmt.Errorf("configuration %s is longer than %d bytes", path, maxConfig)
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&cfg); err != nil {
		return cfg, fmt.Errorf("configuration %s: %w", path, err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return cfg, fmt.Errorf("configuration %s holds a second document; write one", path)
	}
	if err := cfg.Validate(); err != nil {
		return cfg, fmt.Errorf("configuration %s: %w", path, err)
	}
	return cfg, nil
}

var (
	voterName  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Validate names every key that is missing or bad.
func (c Config) Validate() error {
	var bad []error
	require := func(ok bool, key, why string) {
		if !ok {
			bad = append(bad, fmt.Errorf("%s: %s", key, why))
		}
	}
	require(voterName.MatchString(c.Name), "name", "must match "+voterName.String())
	for key, value := range map[string]string{
		"data_dir": c.DataDir, "bundle_key": c.BundleKey, "bundle_key_certificate": c.BundleKeyCertificate,
		"tls.certificate": c.TLS.Certificate, "tls.key": c.TLS.Key, "tls.ca": c.TLS.CA,
		"gateway_tls.certificate": c.GatewayTLS.Certificate, "gateway_tls.key": c.GatewayTLS.Key, "gateway_tls.ca": c.GatewayTLS.CA,
	} {
		require(value != "", key, "is required")
	}
	for key, value := range map[string]string{"rest_address": c.RESTAddress, "grpc_address": c.GRPCAddress, "raft_address": c.RaftAddress} {
		require(isAddress(value), key, "must be host:port")
	}
	require(c.OpsAddress == "" || isAddress(c.OpsAddress), "ops_address", "must be host:port, or left out")
	root, err := hex.DecodeString(c.RootPublicKey)
	require(err == nil && len(root) == ed25519.PublicKeySize, "root_public_key", "must be 64 hex digits, the operator root's Ed25519 public key")
	if err := c.Attestation.Check(); err != nil {
		bad = append(bad, err)
	}
	ours, seen := false, map[string]bool{}
	for i, v := range c.Voters {
		key := fmt.Sprintf("voters[%d].", i)
		require(voterName.MatchString(v.Name), key+"name", "must match "+voterName.String())
		require(!seen[v.Name], key+"name", "stands twice")
		require(isAddress(v.RaftAddress), key+"raft_address", "must be host:port")
		require(isAddress(v.GRPCAddress), key+"grpc_address", "must be host:port")
		seen[v.Name] = true
		ours = ours || v.Name == c.Name
	}
	require(c.Raft.Heartbeat == 0 || c.Raft.Heartbeat >= 10*time.Millisecond, "raft.heartbeat", "must be at least 10ms")
	require(c.Raft.SnapshotInterval == 0 || c.Raft.SnapshotInterval >= 10*time.Millisecond, "raft.snapshot_interval", "must be at least 10ms")
	c.Backup.check(require)
	require(ours || len(c.Voters) == 0 && c.Bootstrap == nil, "voters", "must list the voters of the new cluster, this one included under its name; one that joins leaves the list out")
	c.validateMembership(require)
	if b := c.Bootstrap; b != nil {
		for key, sum := range map[string]string{"operator_token_sha256": b.OperatorTokenSHA256, "officer_token_sha256": b.OfficerTokenSHA256} {
			require(sum == "" || sha256Form.MatchString(sum), "bootstrap."+key, "must be 64 hex digits, the SHA-256 of a first token, or left out")
		}
		for region, u := range b.BaseURLs {
			require(strings.HasPrefix(u, "https://"), "bootstrap.base_urls."+region, "must be an https URL")
		}
	}
	bad = append(bad, c.validateOIDC()...)
	return errors.Join(bad...)
}

// maxIssuers is how many issuers a configuration may name.
const maxIssuers = 8

// validateOIDC names what is wrong with the issuers.
func (c Config) validateOIDC() (bad []error) {
	fault := func(key, why string) { bad = append(bad, fmt.Errorf("%s: %s", key, why)) }
	if (len(c.OIDC) > 0) != (c.PrincipalKey != "") {
		fault("principal_key", "goes together with oidc: name a file of 64 hex digits that all voters share, or leave both out")
	}
	if len(c.OIDC) > maxIssuers {
		fault("oidc", fmt.Sprintf("names more than %d issuers", maxIssuers))
	}
	seen := map[string]bool{}
	for i, o := range c.OIDC {
		key := fmt.Sprintf("oidc[%d].", i)
		u, err := url.Parse(o.Issuer)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || len(o.Issuer) > 256 {
			fault(key+"issuer", "must be an https URL without query and fragment")
		}
		if seen[o.Issuer] {
			fault(key+"issuer", "stands twice")
		}
		if seen[o.Issuer] = true; o.ClientID == "" || len(o.ClientID) > 128 {
			fault(key+"client_id", "is required, at most 128 bytes")
		}
		if o.Audience == "" || len(o.Audience) > 256 {
			fault(key+"audience", "is required, at most 256 bytes")
		} else if o.Audience == o.ClientID {
			fault(key+"audience", "must not be the client id: tokens for the client are not for the control plane")
		}
	}
	return bad
}

// validateMembership checks what is about other members.
func (c Config) validateMembership(require func(ok bool, key, why string)) {
	if c.Region != "" {
		_, err := policy.ParseRegionID(string(c.Region))
		require(err == nil, "region", "must be a region such as ie1, or left out")
	}
	for key, a := range c.Reach {
		require(voterName.MatchString(key), "reach", "must have names of members as keys")
		require(a.RaftAddress == "" || isAddress(a.RaftAddress), "reach."+key+".raft_address", "must be host:port")
		require(a.GRPCAddress == "" || isAddress(a.GRPCAddress), "reach."+key+".grpc_address", "must be host:port")
	}
	own := c.advertised()
	require(store.ValidAddress(own.RaftAddress) && !anyHost(own.RaftAddress), "advertise.raft_address", "must be host:port, in lower case, under which others reach this member: raft_address is not")
	require(store.ValidAddress(own.GRPCAddress) && !anyHost(own.GRPCAddress), "advertise.grpc_address", "must be host:port, in lower case, under which others reach this member: grpc_address is not")
	if j := c.Join; j != nil {
		require(c.Bootstrap == nil, "join", "and bootstrap exclude each other: a member either begins a cluster or joins one")
		require(j.TokenFile != "", "join.token_file", "is required")
		require(len(j.Members) > 0, "join.members", "must list the gRPC addresses of some present members")
		for i, a := range j.Members {
			require(isAddress(a), fmt.Sprintf("join.members[%d]", i), "must be host:port")
		}
	}
	require(c.Autopilot.Floor >= 0 && c.Autopilot.Floor <= store.MaxMembers, "autopilot.floor", "must be a number of voters, or left out")
	require(c.Autopilot.StableFor >= 0 && c.Autopilot.DeadAfter >= 0, "autopilot", "must not have negative times")
}

// advertised is what this member announces.
func (c Config) advertised() Addresses {
	own := Addresses{RaftAddress: c.RaftAddress, GRPCAddress: c.GRPCAddress}
	for _, v := range c.Voters {
		if v.Name != c.Name {
			continue
		}
		if anyHost(own.RaftAddress) {
			own.RaftAddress = v.RaftAddress
		}
		if anyHost(own.GRPCAddress) {
			own.GRPCAddress = v.GRPCAddress
		}
	}
	return Addresses{RaftAddress: cmp.Or(c.Advertise.RaftAddress, own.RaftAddress), GRPCAddress: cmp.Or(c.Advertise.GRPCAddress, own.GRPCAddress)}
}

// anyHost reports whether an address is one to listen on only.
func anyHost(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "" || ip != nil && ip.IsUnspecified())
}

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != ""
}
