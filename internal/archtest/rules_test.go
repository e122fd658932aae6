package archtest

// module is the prefix of every import path of ours.
const module = "github.com/domicile-io/domicile/"

// importRule says what the packages under From may never reach, or what alone
// they may reach, directly or through others.
type importRule struct {
	From   string   // our package, or a tree of them with /...
	Never  []string // our packages or trees that it never reaches
	Only   []string // when set: the only packages of ours that it reaches; nothing from outside the standard library
	Reason string
}

var imports = []importRule{
	{From: "policy", Only: []string{}, Reason: "the decision is pure: whoever audits it reads one package and the standard library"},
	{From: "dataplane/record", Only: []string{"policy"}, Reason: "what a record is, and how it is pseudonymised, does no I/O and trusts no library"},
	{From: "controlplane/...", Never: []string{"dataplane/...", "api/data", "api/peer/...", "api/ingest/..."}, Reason: "residency by import graph: the control plane cannot name a call record"},
	{From: "api/control/...", Never: []string{"api/data", "api/peer/...", "dataplane/...", "controlplane/..."}, Reason: "the control plane's wire carries no record, and the wire knows no implementation"},
	{From: "api/data", Never: []string{"dataplane/...", "controlplane/...", "api/control/..."}, Reason: "the wire knows no implementation"},
	{From: "api/ingest/...", Never: []string{"dataplane/...", "controlplane/...", "api/control/..."}, Reason: "the wire knows no implementation"},
	{From: "internal/sluice", Never: []string{"dataplane/...", "controlplane/...", "api/..."}, Reason: "frames are watched by what knows nothing of records"},
	{From: "api/peer/...", Never: []string{"dataplane/...", "controlplane/...", "api/control/..."}, Reason: "the wire knows no implementation"},
	{From: "regions", Never: []string{"api/...", "controlplane/...", "dataplane/..."}, Reason: "the catalogue only seeds; it knows policy and nothing else of ours"},
	{From: "controlplane/journal", Only: nil, Never: []string{"policy", "api/...", "controlplane/store", "controlplane/replica"}, Reason: "the log keeps bytes and knows nothing of what they mean"},
	{From: "dataplane/...", Never: []string{"controlplane/..."}, Reason: "a region lives on without the control plane; they meet on the wire only"},
	{From: "dataplane/store", Never: []string{"dataplane/store/sealed", "dataplane/store/local", "dataplane/server"}, Reason: "the contract knows none of its implementations"},
	{From: "dataplane/intake", Never: []string{"dataplane/store/...", "dataplane/egress", "dataplane/peer"}, Reason: "parsers read bytes and return records; they can neither keep nor send them"},
	{From: "...", Never: []string{"dataplane/store/storetest"}, Reason: "a test helper that makes permits belongs in no program"},
	{From: "...", Never: []string{"dataplane/shelf/shelftest"}, Reason: "a test helper belongs in no program"},
	{From: "...", Never: []string{"internal/man"}, Reason: "what renders manual pages belongs in no program"},
	{From: "...", Never: []string{"internal/pasted"}, Reason: "what follows the documentation belongs in no program"},
	{From: "...", Never: []string{"dataplane/aws/awstest"}, Reason: "a key service of tests belongs in no program"},
	{From: "...", Never: []string{"internal/instance/instancetest"}, Reason: "a cloud of tests belongs in no program"},
	{From: "...", Never: []string{"internal/postgres"}, Reason: "a database server of tests belongs in no program"},
	{From: "...", Never: []string{"controlplane/login/logintest"}, Reason: "an issuer that signs anything belongs in no program"},
	{From: "controlplane/login", Never: []string{"api/...", "controlplane/server", "controlplane/store", "controlplane/replica"}, Reason: "how people are believed is small enough to audit, and knows neither state nor wire"},
	{From: "terraform/provider", Never: []string{"api/peer/...", "controlplane/...", "dataplane/...", "internal/..."}, Reason: "residency as code goes over the typed client, like anybody else"},
	{From: "internal/mtls", Only: []string{"policy"}, Reason: "identity is small enough to audit"},
	{From: "audit/verify", Only: []string{}, Reason: "INV26: the verifier shares no code with the log that it checks, not even a library's; whoever doubts us reads one package"},
	{From: "audit", Never: []string{"audit/verify", "api/...", "controlplane/...", "dataplane/...", "policy"}, Reason: "the log knows neither its verifier nor what is recorded, and keeps nothing itself"},
}

// door is one dependency and the only packages that import it. Tests may too.
type door struct {
	Import string   // import path, or a tree with /...
	Only   []string // packages of ours
	Reason string
}

var doors = []door{
	{"github.com/hashicorp/raft", []string{"controlplane/replica"}, "consensus has one owner; everybody else proposes and reads"},
	{"github.com/hashicorp/go-hclog", []string{"controlplane/replica"}, "only Raft logs through it, into slog"},
	{"go.etcd.io/bbolt", []string{"controlplane/store", "dataplane/shelf/bolt"}, "policy state; in a region only the shelves of a single node: the outbox and the received transfers"},
	{"github.com/smallstep/pkcs7", []string{"internal/instance", "internal/instance/instancetest"}, "what a cloud signs is verified in one place"},
	{"github.com/coreos/go-oidc/v3/...", []string{"controlplane/login", "internal/cli"}, "who a person is, is decided in one place; the command line only finds the issuer"},
	{"golang.org/x/oauth2", []string{"internal/cli"}, "only the command line logs in"},
	{"github.com/go-jose/go-jose/v4", []string{"controlplane/login", "controlplane/login/logintest"}, "signatures of issuers are checked in one place, with one list of algorithms"},
	{"golang.org/x/time/rate", []string{"controlplane/login", "internal/guesses"}, "limits on guesses and on questions to issuers"},
	{"golang.org/x/mod/sumdb/...", []string{"audit"}, "Merkle trees and signed notes are written in one place; the verifier must not know this library"},
	{"filippo.io/age", []string{"controlplane/backup", "dataplane/local"}, "one package encrypts and decrypts backups; another the escrow of a region's root key"},
	{"github.com/aws/aws-sdk-go-v2/...", []string{"dataplane/aws"}, "one package speaks to AWS, and through the region's door"},
	{"go.opentelemetry.io/otel/...", []string{"dataplane/telemetry"}, "one package says what a trace may say, and looks at each before it leaves"},
	{"github.com/KimMachineGun/automemlimit/...", []string{"cmd/domicile-dataplane"}, "what a container allows is asked once, where the process begins"},
	{"github.com/cockroachdb/pebble/v2/...", []string{"dataplane/store/local"}, "the embedded engine sits behind the store's contract"},
	{"github.com/jackc/pgx/v5/...", []string{"internal/postgres", "dataplane/database", "dataplane/shelf/sql", "dataplane/store/sql"}, "what the nodes of a region share is in one database, reached through the region's door; tests start one of their own"},
	{"golang.org/x/text/...", []string{"dataplane/media"}, "words are compared without case and accents, as Unicode says"},
	{"github.com/nyaruka/phonenumbers", []string{"dataplane/intake"}, "numbers become E.164 once, where they come in"},
	{"github.com/grpc-ecosystem/grpc-gateway/v2/runtime", []string{"api/control/v1", "controlplane/server"}, "one gateway, before one listener"},
	{"buf.build/go/protovalidate", []string{"controlplane/server"}, "wire validation happens in the one interceptor chain"},
	{"go.yaml.in/yaml/v3", []string{"regions", "controlplane", "dataplane", "internal/testcluster"}, "configuration and catalogue; nothing on the wire is YAML"},
	{"github.com/coreos/go-systemd/v22/...", []string{"internal/supervisor"}, "one package tells systemd how the process does"},
	{"golang.org/x/sys/unix", []string{"internal/kernel", "dataplane/disk", "dataplane/local", "internal/dev", "internal/chaos"}, "the command line also runs on macOS and Windows: what systems do differently is asked in one place; the others name errors and structures that Unix shares"},
	{"github.com/spf13/cobra", []string{"internal/cli", "internal/man"}, "commands are parsed in one place, and pages written of them in another, which is in no program"},
	{"github.com/spf13/cobra/doc", []string{"internal/man"}, "manual pages are written when packages are made, and what writes them is in no program"},
	{"github.com/cpuguy83/go-md2man/v2/md2man", []string{"internal/man"}, "the same"},
	{"charm.land/lipgloss/v2", []string{"internal/screen"}, "one package decides how things look"},
	{"github.com/schollz/progressbar/v3", []string{"internal/cli"}, "only people watch progress"},
	{"github.com/hashicorp/terraform-plugin-framework/...", []string{"terraform/provider", "cmd/terraform-provider-domicile"}, "the provider is a client like any other; nothing of ours depends on Terraform"},
	{"github.com/hashicorp/terraform-plugin-go/...", []string{"internal/awsschema"}, "only what serves another provider's schema speaks the plugin protocol itself"},
	{"github.com/jhump/protoreflect/v2/...", []string{"internal/protodeps"}, "a tool of code generation"},
}

// absentDoors are dependencies without a door: importing one anywhere fails
// until a package is named here in [doors], in the commit that needs it.
var absentDoors = []string{
	"github.com/miekg/pkcs11",             // dataplane/hsm, in programs that are built with the tag pkcs11 and in no other
	"github.com/hashicorp/raft-boltdb/v2", // the Raft log is controlplane/journal: docs/adr/0012
	"github.com/hashicorp/raft-wal/...",
}

// call is a function or value of the standard library or ours that only some
// packages may mention. It is searched in the syntax, tests excepted.
type call struct {
	Package string   // import path; ours without the module
	Names   []string // selectors
	Within  string   // the tree that the rule is about
	Only    []string // packages within it that may
	Reason  string
}

var calls = []call{
	{"policy", []string{"Decide"}, "dataplane/...", []string{"dataplane/gate", "dataplane/store/storetest"}, "one caller decides, so one place fails closed and one journal is complete; the conformance suite needs permits and is in no program"},
	{"net", []string{"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialUnix", "DialIP", "Dialer"}, "dataplane/...", []string{"dataplane/egress"}, "INV05: every connection that a data plane dials has its ledger entry"},
	{"crypto/tls", []string{"Dial", "DialWithDialer", "Dialer", "Client"}, "dataplane/...", []string{"dataplane/egress"}, "INV05"},
	{"net/http", []string{"DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm", "Client", "Transport"}, "dataplane/...", []string{"dataplane/egress"}, "INV05"},
	{"google.golang.org/grpc", []string{"NewClient", "Dial", "DialContext"}, "dataplane/...", []string{"dataplane/egress"}, "INV05"},
	{"net/http/pprof", []string{"*"}, "...", nil, "INV39: a profile is a copy of memory"},
	{"os", []string{"Exit"}, "controlplane/...", nil, "only a main ends the process on purpose"},
	{"os", []string{"Exit"}, "dataplane/...", []string{"dataplane/store/local"}, "only a main ends the process on purpose, and an engine whose disk failed under it"},
}

// forbiddenNames are package names that say nothing about what is inside.
var forbiddenNames = []string{"util", "utils", "common", "models", "types", "helpers", "core", "base", "pkg", "misc", "shared", "lib"}

// Bounds on size. Generated files are exempt.
const (
	maxFileLines     = 500
	maxFunctionLines = 70
)

// longFiles and longFunctions may exceed the bounds; each says why. Both are
// listed in ARCHITECTURE.md.
var (
	longFiles     = map[string]string{}
	longFunctions = map[string]string{} // "package.Func" or "package.Type.Method"
)
