package policy

import "fmt"

// DataClass is what kind of data something is.
type DataClass uint8

// The data classes.
const (
	CallRecord DataClass = iota + 1
	Recording
	Transcript
	MessageBody
	Signalling
	Presence
	SensitiveInput
	Derived
	OperationalLog
	Consent
	BillingUsage
	AccountConfig
	numDataClasses = iota + 1
)

var dataClassNames = [numDataClasses]string{
	CallRecord: "call_record", Recording: "recording", Transcript: "transcript",
	MessageBody: "message_body", Signalling: "signalling", Presence: "presence",
	SensitiveInput: "sensitive_input", Derived: "derived", OperationalLog: "operational_log",
	Consent: "consent", BillingUsage: "billing_usage", AccountConfig: "account_config",
}

// DataClasses lists every data class, in order.
func DataClasses() []DataClass { return listOf[DataClass](numDataClasses) }

func (c DataClass) String() string                     { return nameOf(dataClassNames[:], uint8(c)) }
func (c DataClass) MarshalText() ([]byte, error)       { return marshalName(dataClassNames[:], uint8(c)) }
func (c *DataClass) UnmarshalText(b []byte) error      { return parseInto(c, dataClassNames[:], b) }
func ParseDataClass(s string) (c DataClass, err error) { err = c.UnmarshalText([]byte(s)); return }

// Valid reports whether c is one of the closed list.
func (c DataClass) Valid() bool { return c > 0 && c < numDataClasses }

// HangsOnCall reports whether data of the class hang on a call: nothing but its
// record leads from a person to them.
func (c DataClass) HangsOnCall() bool { return c == Recording || c == Transcript }

// Exportable reports whether the class may ever cross a border as pseudonymised
// rows. Content never does.
func (c DataClass) Exportable() bool {
	switch c {
	case CallRecord, Signalling, Derived, BillingUsage:
		return true
	}
	return false
}

// FieldClass is what a field reveals about a person.
type FieldClass uint8

// The field classes.
const (
	DirectID FieldClass = iota + 1
	QuasiID
	Content
	Sensitive
	Operational
	OpaqueID
	numFieldClasses = iota + 1
)

var fieldClassNames = [numFieldClasses]string{
	DirectID: "direct_id", QuasiID: "quasi_id", Content: "content",
	Sensitive: "sensitive", Operational: "operational", OpaqueID: "opaque_id",
}

func (c FieldClass) String() string               { return nameOf(fieldClassNames[:], uint8(c)) }
func (c FieldClass) MarshalText() ([]byte, error) { return marshalName(fieldClassNames[:], uint8(c)) }

// Valid reports whether c is one of the closed list; the zero class is not,
// and a field without a class blocks every export.
func (c FieldClass) Valid() bool { return c > 0 && c < numFieldClasses }

// Personal reports whether a field of this class must never be plain outside the home region.
func (c FieldClass) Personal() bool { return !(c == Operational || c == OpaqueID) }

// Operation is what is to be done with data.
type Operation uint8

// The operations.
const (
	Ingest Operation = iota + 1
	Store
	Process
	View
	Export
	Erase         // destroying at home, for a person or because its time has come; moves nothing
	numOperations = iota + 1
)

var operationNames = [numOperations]string{Ingest: "ingest", Store: "store", Process: "process", View: "view", Export: "export", Erase: "erase"}

// Operations lists every operation, in order.
func Operations() []Operation { return listOf[Operation](numOperations) }

func (o Operation) String() string                     { return nameOf(operationNames[:], uint8(o)) }
func (o Operation) MarshalText() ([]byte, error)       { return marshalName(operationNames[:], uint8(o)) }
func (o *Operation) UnmarshalText(b []byte) error      { return parseInto(o, operationNames[:], b) }
func ParseOperation(s string) (o Operation, err error) { err = o.UnmarshalText([]byte(s)); return }

// Mode says where data of a class may be.
type Mode uint8

// The modes. Replicated answers NOT_YET wherever it is asked for.
const (
	Sealed     Mode = iota + 1 // store, process and view at home only
	Restricted                 // store at home; process and view inside the boundary
	Replicated                 // copied to named regions of the boundary; not built yet
	numModes   = iota + 1
)

var modeNames = [numModes]string{Sealed: "sealed", Restricted: "restricted", Replicated: "replicated"}

func (m Mode) String() string                { return nameOf(modeNames[:], uint8(m)) }
func (m Mode) MarshalText() ([]byte, error)  { return marshalName(modeNames[:], uint8(m)) }
func (m *Mode) UnmarshalText(b []byte) error { return parseInto(m, modeNames[:], b) }

// EgressClass is why bytes leave a data-plane process at all; a closed list.
type EgressClass uint8

// The egress classes.
const (
	CarrierSignalling EgressClass = iota + 1
	CarrierMedia
	StirIdentity
	NumberLookup
	CustomerWebhook
	PushNotification
	PseudonymisedExport
	Aggregate
	ControlStream
	LocalStore
	LocalKey
	Backup
	Identity
	Telemetry
	SupportSession
	LegalDisclosure
	Move
	TreeHead
	CustomerAPI
	numEgressClasses = iota + 1
)

var egressClassNames = [numEgressClasses]string{
	CarrierSignalling: "CARRIER_SIGNALLING", CarrierMedia: "CARRIER_MEDIA", StirIdentity: "STIR_IDENTITY",
	NumberLookup: "NUMBER_LOOKUP", CustomerWebhook: "CUSTOMER_WEBHOOK", PushNotification: "PUSH_NOTIFICATION",
	PseudonymisedExport: "PSEUDONYMISED_EXPORT", Aggregate: "AGGREGATE", ControlStream: "CONTROL_STREAM",
	LocalStore: "LOCAL_STORE", LocalKey: "LOCAL_KEY", Backup: "BACKUP", Identity: "IDENTITY",
	Telemetry: "TELEMETRY", SupportSession: "SUPPORT_SESSION", LegalDisclosure: "LEGAL_DISCLOSURE",
	Move: "MOVE", TreeHead: "TREE_HEAD", CustomerAPI: "CUSTOMER_API",
}

// EgressClasses lists every egress class, in order.
func EgressClasses() []EgressClass { return listOf[EgressClass](numEgressClasses) }

func (c EgressClass) String() string                { return nameOf(egressClassNames[:], uint8(c)) }
func (c EgressClass) MarshalText() ([]byte, error)  { return marshalName(egressClassNames[:], uint8(c)) }
func (c *EgressClass) UnmarshalText(b []byte) error { return parseInto(c, egressClassNames[:], b) }
func ParseEgressClass(s string) (c EgressClass, err error) {
	err = c.UnmarshalText([]byte(s))
	return
}

// Attestation is how well a node's place is known; a greater value is stronger.
type Attestation uint8

// The attestation levels.
const (
	Declared Attestation = iota + 1
	OperatorSigned
	CloudSigned
	numAttestations = iota + 1
)

var attestationNames = [numAttestations]string{Declared: "declared", OperatorSigned: "operator_signed", CloudSigned: "cloud_signed"}

func (a Attestation) String() string                { return nameOf(attestationNames[:], uint8(a)) }
func (a Attestation) MarshalText() ([]byte, error)  { return marshalName(attestationNames[:], uint8(a)) }
func (a *Attestation) UnmarshalText(b []byte) error { return parseInto(a, attestationNames[:], b) }

func nameOf(names []string, i uint8) string {
	if int(i) >= len(names) || i == 0 {
		return fmt.Sprintf("unknown(%d)", i)
	}
	return names[i]
}

func marshalName(names []string, i uint8) ([]byte, error) {
	if int(i) >= len(names) || i == 0 {
		return nil, fmt.Errorf("%d is not in the closed list", i)
	}
	return []byte(names[i]), nil
}

func parseInto[T ~uint8](dst *T, names []string, b []byte) error {
	for i, name := range names {
		if i > 0 && name == string(b) {
			*dst = T(i)
			return nil
		}
	}
	return fmt.Errorf("must be one of %q", names[1:]) // what was given is not repeated: it may be personal
}

// clip bounds a text that somebody else chose.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

func listOf[T ~uint8](n int) []T {
	out := make([]T, 0, n-1)
	for i := 1; i < n; i++ {
		out = append(out, T(i))
	}
	return out
}
