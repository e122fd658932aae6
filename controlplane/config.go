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
	"github.com/domicile-io/domicile/policy"
)

// Config is the strict configuration of one voter (YAML; an unknown key stops the start).
type Config struct {
	Name    string `yaml:"name"`     // of this member, e.g. "cp1"; unique in the cluster
	DataDir string `yaml:"data_dir"` // Raft log, snapshots and state; owned by one process

	TLS        mtls.Files `yaml:"tls"`         // role cp
	GatewayTLS mtls.Files `yaml:"gateway_tls"` // role gw; how our REST gateway reaches our gRPC listener

	RESTAddress string `yaml:"rest_address"` // host:port, HTTPS, people
	GRPCAddress string `yaml:"grpc_address"` // host:port, mTLS: nodes, gateways, voters
	RaftAddress string `yaml:"raft_address"` // host:port, mTLS, role cp only
	OpsAddress  string `yaml:"ops_address"`  // host:port, plain HTTP: /metrics, /healthz, /readyz; loopback or an operations network; "" none

	Region    policy.RegionID      `yaml:"region"`    // where this member stands, e.g. "ie1"; "" is not known
	Advertise Addresses            `yaml:"advertise"` // under which others reach us; left out: what we listen on
	Reach     map[string]Addresses `yaml:"reach"`     // member → where we reach it, when that is not what it announces

	Voters []Voter `yaml:"voters"` // of a new cluster, ourselves included; once members have announced themselves, ignored
	Join   *Join   `yaml:"join"`   // the first start of a member that was invited; ignored afterwards

	Autopilot Autopilot `yaml:"autopilot"` // what the leader does to the membership by itself

	BundleKey            string `yaml:"bundle_key"`             // file: hex Ed25519 seed that signs bundles
	BundleKeyCertificate string `yaml:"bundle_key_certificate"` // file: hex signature of the root over it
	RootPublicKey        string `yaml:"root_public_key"`        // hex Ed25519

	Attestation  instance.Config `yaml:"attestation"`   // what clouds' documents about nodes are held against; left out: no node is cloud_signed
	OIDC         []OIDC          `yaml:"oidc"`          // issuers whose people may log in; the same on every voter; left out: tokens only
	PrincipalKey string          `yaml:"principal_key"` // file: 64 hex digits, shared by the voters; with oidc

	Raft Raft `yaml:"raft"` // left out: defaults for voters within one continent

	Backup *Backup `yaml:"backup"` // left out: backups only on request, to recipients that the request names

	TerraformMirror string `yaml:"terraform_mirror"` // folder of the provider's archives, served to anybody at /terraform/; "" none

	Bootstrap *Bootstrap `yaml:"bootstrap"` // the first start of a new cluster; afterwards only generation counts
}

// Voter is one member of the cluster as its peers see it.
type Voter struct {
	Name        string `yaml:"name"`         // unique in the cluster
	RaftAddress string `yaml:"raft_address"` // host:port
	GRPCAddress string `yaml:"grpc_address"` // host:port
}

// Addresses of one member; "" is as it would be without.
type Addresses struct {
	RaftAddress string `yaml:"raft_address"` // host:port
	GRPCAddress string `yaml:"grpc_address"` // host:port
}

// Join is how an invited member finds the cluster.
type Join struct {
	Members   []string `yaml:"members"`    // gRPC addresses of some present members, host:port
	TokenFile string   `yaml:"token_file"` // file: the token of `domicile members invite`; read until the member has joined
}

// Autopilot says what the leader does to the membership by itself. All members
// should have the same; the leader's counts. Each change has its audit leaf.
type Autopilot struct {
	Floor       int           `yaml:"floor"`        // voters that no removal goes below, asked for or not; 0: 3
	StableFor   time.Duration `yaml:"stable_for"`   // how long a newcomer must be caught up before it votes; 0: 10 s
	DeadAfter   time.Duration `yaml:"dead_after"`   // how long a member may be silent before it is removed; 0: 30 min
	KeepDead    bool          `yaml:"keep_dead"`    // never remove a silent member
	KeepVersion bool          `yaml:"keep_version"` // do not raise the cluster's version: the way back stays open
}

// Raft tunes consensus; a zero field takes the default of package replica. All
// voters should have the same.
type Raft struct {
	Heartbeat         time.Duration `yaml:"heartbeat"`          // how long a leader may be silent before an election; at least 10 ms
	SnapshotThreshold uint64        `yaml:"snapshot_threshold"` // log entries between snapshots; up to four times as many while the state is large
	SnapshotBytes     uint64        `yaml:"snapshot_bytes"`     // of log between snapshots, if they come first
	SnapshotInterval  time.Duration `yaml:"snapshot_interval"`  // how often it is looked whether a snapshot is due
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
