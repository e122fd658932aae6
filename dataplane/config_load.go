package dataplane

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/policy"
)

const (
	maxConfigBytes        = 1 << 20
	defaultExportInterval = 5 * time.Minute
	defaultExportWindow   = time.Hour
	rootKeyBytes          = 32
)

// LoadConfig reads a node's YAML file (at most 1 MiB). An unknown or repeated
// key, and anything that Check finds, is an error that names the file.
func LoadConfig(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("open configuration: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return Config{}, fmt.Errorf("read configuration %s: %w", path, err)
	}
	if len(raw) > maxConfigBytes {
		return Config{}, fmt.Errorf("configuration %s is larger than %d bytes", path, maxConfigBytes)
	}
	var c Config
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("parse configuration %s: %w", path, err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("configuration %s holds more than one document; keep one", path)
	}
	if err := c.Check(); err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c.withDefaults(), nil
}

// Check names every setting that is missing or malformed; nil when the
// configuration can be started with.
func (c Config) Check() error {
	var bad []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Errorf(format, args...))
		}
	}
	_, regionErr := policy.ParseRegionID(c.Region)
	need(regionErr == nil, "region: give the region's id, such as ie1")
	need(c.DataDir != "", "data_dir: give a folder that only this node uses")
	need(c.TLS.Certificate != "" && c.TLS.Key != "" && c.TLS.CA != "", "tls: give certificate, key and ca")
	need(c.ListenAddress != "", "listen_address: give host:port for tenants")
	need(len(c.Hosts) > 0, "hosts: give the names and addresses that tenants use; others are refused with 421")
	need(len(c.ControlPlane) > 0, "control_plane: give at least one voter's address")
	root, rootErr := hex.DecodeString(c.RootPublicKey)
	need(rootErr == nil && len(root) == rootKeyBytes, "root_public_key: give the operator root's Ed25519 key as %d hex digits", 2*rootKeyBytes)
	for _, id := range c.SigningTenants {
		need(policy.ValidID(policy.KindTenant, id), "signing_tenants: give tenants' ids, TN and 32 hex digits")
	}
	if err := c.Attestation.Check(); err != nil {
		bad = append(bad, err)
	}
	need(c.InstanceDocument == "" || len(c.Attestation.Certificates) > 0, "instance_document: needs attestation, or the node itself cannot verify it")
	need(c.BaseURLs[c.Region] != "", "base_urls: this node's own region %s must have one", c.Region)
	if err := c.Media.Check(); err != nil {
		bad = append(bad, err)
	}
	need(c.Media.S3 == nil || c.Backup.S3 == nil || c.Media.S3.Bucket != c.Backup.S3.Bucket, "backup.s3.bucket: is that of the recordings; give the backups a bucket of their own")
	for r, base := range c.BaseURLs {
		_, err := policy.ParseRegionID(r)
		need(err == nil, "base_urls: a key is not a region id")
		u, err := url.Parse(base)
		need(err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.RawQuery == "",
			"base_urls: %s must be https://host[:port]", r)
	}
	for r, at := range c.IngestAddresses {
		_, err := policy.ParseRegionID(r)
		host, port, splitErr := net.SplitHostPort(at)
		need(err == nil && splitErr == nil && host != "" && port != "", "ingest_addresses: give region: host:port, such as us1: api.us1.example.net:9443")
	}
	for r, p := range c.Peers {
		_, err := policy.ParseRegionID(r)
		need(err == nil, "peers: a key is not a region id")
		_, err = policy.ParseBoundary(p.Boundary)
		need(err == nil && p.Address != "", "peers: %s needs an address and a boundary", r)
	}
	need(len(c.DefaultCountry) == 2, "default_country: give two capital letters, such as IE")
	need(c.ExportInterval >= 0 && c.ExportWindow >= 0, "export_interval and export_window must not be negative")
	need(c.ScrubInterval >= 0 && c.ScrubRate >= 0, "scrub_interval and scrub_rate must not be negative")
	need(c.MergeAfter >= 0, "merge_after must not be negative")
	bad = append(bad, c.Admission.Check(), c.Keys.Check(), c.Backup.Check(c.DataDir), c.Telemetry.check(c.Region), c.checkStore())
	return errors.Join(bad...)
}

func (c Config) withDefaults() Config {
	if c.ExportInterval == 0 {
		c.ExportInterval = defaultExportInterval
	}
	if c.ExportWindow == 0 {
		c.ExportWindow = defaultExportWindow
	}
	if c.ScrubInterval == 0 {
		c.ScrubInterval = defaultScrubInterval
	}
	if c.ScrubRate == 0 {
		c.ScrubRate = defaultScrubRate
	}
	if c.MergeAfter == 0 {
		c.MergeAfter = sealed.MergeAfter
	}
	c.Backup = c.Backup.withDefaults()
	return c
}
