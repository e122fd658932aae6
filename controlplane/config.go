// Package controlplane is one voter of the policy store: a Raft replica, its
// gRPC services, and the REST gateway in front of them. Open wires them.
//
// It cannot name a call record: nothing below it may reach dataplane, api/data
// or api/peer, and internal/archtest proves it.
package controlplane

import (
	"time"

	"github.com/domicile-io/domicile/internal/instance"
	"github.com/domicile-io/domicile/internal/mtls"
)

// Config is the strict configuration of one voter (YAML; an unknown key stops the start).
type Config struct {
	Name    string `yaml:"name"`     // voter id, e.g. "cp1"; unique in Voters
	DataDir string `yaml:"data_dir"` // Raft log, snapshots and state; owned by one process

	TLS        mtls.Files `yaml:"tls"`         // role cp
	GatewayTLS mtls.Files `yaml:"gateway_tls"` // role gw; how our REST gateway reaches our gRPC listener

	RESTAddress string `yaml:"rest_address"` // host:port, HTTPS, people
	GRPCAddress string `yaml:"grpc_address"` // host:port, mTLS: nodes, gateways, voters
	RaftAddress string `yaml:"raft_address"` // host:port, mTLS, role cp only
	OpsAddress  string `yaml:"ops_address"`  // host:port, plain HTTP: /metrics, /healthz, /readyz; loopback or an operations network; "" none

	Voters []Voter `yaml:"voters"` // all voters, ourselves included

	BundleKey            string `yaml:"bundle_key"`             // file: hex Ed25519 seed that signs bundles
	BundleKeyCertificate string `yaml:"bundle_key_certificate"` // file: hex signature of the root over it
	RootPublicKey        string `yaml:"root_public_key"`        // hex Ed25519

	Attestation  instance.Config `yaml:"attestation"`   // what clouds' documents about nodes are held against; left out: no node is cloud_signed
	OIDC         []OIDC          `yaml:"oidc"`          // issuers whose people may log in; the same on every voter; left out: tokens only
	PrincipalKey string          `yaml:"principal_key"` // file: 64 hex digits, shared by the voters; with oidc

	Raft Raft `yaml:"raft"` // left out: defaults for voters within one continent

	Backup *Backup `yaml:"backup"` // left out: backups only on request, to recipients that the request names

	Bootstrap *Bootstrap `yaml:"bootstrap"` // the first start of a new cluster; afterwards only generation counts
}

// Voter is one member of the cluster as its peers see it.
type Voter struct {
	Name        string `yaml:"name"`
	RaftAddress string `yaml:"raft_address"`
	GRPCAddress string `yaml:"grpc_address"`
}

// Raft tunes consensus; a zero field takes the default of package replica. All
// voters should have the same.
type Raft struct {
	Heartbeat         time.Duration `yaml:"heartbeat"`          // how long a leader may be silent before an election; at least 10 ms
	SnapshotThreshold uint64        `yaml:"snapshot_threshold"` // log entries between snapshots
	SnapshotInterval  time.Duration `yaml:"snapshot_interval"`  // how often the threshold is looked at
	TrailingLogs      uint64        `yaml:"trailing_logs"`      // entries kept behind a snapshot, for voters that are a little behind
}

// OIDC is one OpenID issuer.
type OIDC struct {
	Issuer   string `yaml:"issuer"`    // https URL, exactly as its tokens name it
	ClientID string `yaml:"client_id"` // of `domicile login`: a public client with the device flow
	Audience string `yaml:"audience"`  // that access tokens must name; not the client id
	CA       string `yaml:"ca"`        // PEM file of the authority of its certificate; "" the system's
}

// Bootstrap seeds a new cluster. Without a token's hash the voter that leads
// first writes a one-time token into data_dir/bootstrap-token, mode 0600, which
// makes the first operator or security officer and is void then. A generation
// that is higher than the cluster's makes another one, for when every
// credential is lost.
type Bootstrap struct {
	Catalogue           string            `yaml:"catalogue"`             // file; "" is the built-in catalogue of package regions
	OperatorTokenSHA256 string            `yaml:"operator_token_sha256"` // hex; of a first operator's bearer token that does not expire
	OfficerTokenSHA256  string            `yaml:"officer_token_sha256"`  // hex; of a first security officer's, likewise
	Generation          uint64            `yaml:"generation"`            // of the one-time token
	BaseURLs            map[string]string `yaml:"base_urls"`             // region → where tenants reach it
}
