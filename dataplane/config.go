// Package dataplane is one node of one region: it takes call records in, keeps
// them sealed, works on them there, and lets only pseudonyms out. Open wires
// its parts.
package dataplane

import (
	"time"

	"github.com/domicile-io/domicile/dataplane/admission"
	"github.com/domicile-io/domicile/internal/instance"
	"github.com/domicile-io/domicile/internal/mtls"
)

// Config is the strict configuration of one node (YAML; an unknown key stops the start).
type Config struct {
	Region  string     `yaml:"region"`   // must be what the certificate says (invariant 6)
	DataDir string     `yaml:"data_dir"` // everything of this node; owned by one process
	TLS     mtls.Files `yaml:"tls"`      // role dp

	ListenAddress string   `yaml:"listen_address"` // host:port, HTTPS/1.1, tenants
	Hosts         []string `yaml:"hosts"`          // names and IP addresses that this listener serves; others are 421
	IngestAddress string   `yaml:"ingest_address"` // host:port, TLS gRPC, tenants' streams of records under the names of hosts; "" none
	PeerAddress   string   `yaml:"peer_address"`   // host:port, mTLS gRPC, other regions' nodes
	OpsAddress    string   `yaml:"ops_address"`    // host:port, plain HTTP: /metrics, /healthz, /readyz; never the tenant network; "" none

	Store StoreConfig `yaml:"store"` // where records are; default: data_dir
	Media MediaConfig `yaml:"media"` // where recordings are; default: a folder of data_dir

	Telemetry *TelemetryConfig `yaml:"telemetry"` // traces to a collector of the region; default: none

	ControlPlane  []string `yaml:"control_plane"`   // voters' gRPC addresses
	RootPublicKey string   `yaml:"root_public_key"` // hex Ed25519: the operator root that certifies bundle keys

	Attestation      instance.Config `yaml:"attestation"`       // what the node itself holds its machine's document against: name its own cloud region alone
	InstanceDocument string          `yaml:"instance_document"` // file: the cloud's signed document of this machine, as its metadata service gives it; "" none

	SigningTenants []string `yaml:"signing_tenants"` // ids of tenants that are known to sign their policies: they are never believed without, not even at first sight

	BaseURLs map[string]string `yaml:"base_urls"` // region → https base URL; so that 421 works before the first bundle
	Peers    map[string]Peer   `yaml:"peers"`     // region → where its peer listener is

	IngestAddresses map[string]string `yaml:"ingest_addresses"` // region → host:port at which tenants reach its ingest_address; a stream that comes to the wrong region is told

	DefaultCountry string     `yaml:"default_country"` // ISO 3166-1 alpha-2 of the region, for numbers without a prefix
	Keys           KeysConfig `yaml:"keys"`            // the key table: rotation, copy, who keeps the root

	Backup BackupConfig `yaml:"backup"` // snapshots of what is stored, on another disk of the region

	ExportInterval time.Duration `yaml:"export_interval"` // between two looks at closed windows; default 5m
	ExportWindow   time.Duration `yaml:"export_window"`   // length of a window, over the time of acknowledgement; default 1h

	Admission admission.Limits `yaml:"admission"` // quotas of tenants, and what the node works on at once; docs/operations/load.md

	MemoryLimit int64 `yaml:"memory_limit"` // bytes: soft, the collector works harder near it; 0: nine tenths of what the cgroup or the machine has, less the store's cache; negative: none. GOMEMLIMIT counts before it

	DiskReserve int64 `yaml:"disk_reserve"` // bytes kept for erasures on a full disk; 0: 2 % of the disk, at least 128 MiB or an eighth of a small one, at most 1 GiB; negative: none

	ScrubInterval time.Duration `yaml:"scrub_interval"` // from one pass over everything stored to the next; default 168h
	ScrubRate     int           `yaml:"scrub_rate"`     // bytes per second that a pass reads; default 4 MiB

	MergeAfter time.Duration `yaml:"merge_after"` // how old records that came one by one are before they are compressed together; default 1h
}

// Peer is where another region's node listens for transfers.
type Peer struct {
	Address  string `yaml:"address"`  // host:port of its peer_address
	Boundary string `yaml:"boundary"` // of that region, such as eu
}
