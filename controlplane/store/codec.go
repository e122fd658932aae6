package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/domicile-io/domicile/policy"
)

// The wire form of a command: one byte of format, two of kind (big-endian), then JSON
// or, for the kinds of packed_commands.go, what is packed there.
const (
	commandJSON   = 1
	commandPacked = 2
	commandHeader = 3
)

type wireCommand[P any] struct {
	Stamp   Stamp `json:"stamp"`
	Payload P     `json:"payload"`
}

// Encode gives a command's wire form. PAYLOAD_TOO_LARGE beyond MaxCommand.
func Encode(c Command) ([]byte, error) {
	if c.Payload == nil {
		return nil, errors.New("encode command: no payload")
	}
	c.Stamp.Now = c.Stamp.Now.UTC().Round(0)
	header := binary.BigEndian.AppendUint16(append(make([]byte, 0, commandHeader), commandPacked), uint16(c.Kind()))
	out, ok := packCommand(header, &c)
	if !ok {
		body, err := json.Marshal(wireCommand[Payload](c))
		if err != nil {
			return nil, fmt.Errorf("encode command %d: %w", c.Kind(), err)
		}
		header[0] = commandJSON
		out = append(header, body...)
	}
	if len(out) > MaxCommand {
		return nil, policy.Errorf(policy.PayloadTooLarge, "the change takes %d bytes and at most %d fit: split it", len(out), MaxCommand)
	}
	return out, nil
}

// errSkip marks a command of an unknown kind that may be skipped.
var errSkip = errors.New("unknown command that may be skipped")

// Decode reads a command's wire form. Unknown fields are errors: a newer
// proposer that adds a field must take a new kind, or nodes would diverge. The
// items of a batch are parts of data.
func Decode(data []byte) (Command, error) {
	if len(data) < commandHeader {
		return Command{}, fmt.Errorf("command of %d bytes is shorter than its header", len(data))
	}
	kind := Kind(binary.BigEndian.Uint16(data[1:]))
	switch data[0] {
	case commandJSON:
	case commandPacked:
		c, ok := unpackCommand(kind, data[commandHeader:])
		if !ok && kind&Ignorable != 0 {
			return Command{}, errSkip
		}
		if !ok {
			return Command{}, fmt.Errorf("packed command %d has not the form that one has: this node must be upgraded before it can go on", kind)
		}
		return c, nil
	default:
		return Command{}, fmt.Errorf("command has format %d and this program reads formats %d and %d only", data[0], commandJSON, commandPacked)
	}
	decode := decoderOf(kind)
	if decode == nil {
		if kind&Ignorable != 0 {
			return Command{}, errSkip
		}
		return Command{}, fmt.Errorf("command kind %d is unknown: this node must be upgraded before it can go on", kind)
	}
	c, err := decode(data[commandHeader:])
	if err != nil {
		return Command{}, fmt.Errorf("decode command %d: %w", kind, err)
	}
	return c, nil
}

// decoderOf finds the decoder of a kind; nil when it is unknown.
func decoderOf(k Kind) func([]byte) (Command, error) {
	switch k {
	case KindInitCluster:
		return command[InitCluster]
	case KindCreateTenant:
		return command[CreateTenant]
	case KindUpdateTenant:
		return command[UpdateTenant]
	case KindPutPolicy:
		return command[PutPolicy]
	case KindAddChange:
		return command[AddChange]
	case KindRejectChange:
		return command[RejectChange]
	case KindCreateKey:
		return command[CreateKey]
	case KindDeleteKey:
		return command[DeleteKey]
	case KindPutRegion:
		return command[PutRegion]
	case KindCreateToken:
		return command[CreateToken]
	case KindNop:
		return command[Nop]
	case KindBatch:
		return command[Batch]
	case KindEnrolKey:
		return command[EnrolKey]
	case KindApprove:
		return command[Approve]
	case KindRaiseEpoch:
		return command[RaiseEpoch]
	case KindPutBasis:
		return command[PutBasis]
	case KindDrillBasis:
		return command[DrillBasis]
	case KindPutFeature:
		return command[PutFeature]
	case KindPutEntity:
		return command[PutEntity]
	case KindRegisterNode:
		return command[RegisterNode]
	case KindAdmitNode:
		return command[AdmitNode]
	case KindEvictNode:
		return command[EvictNode]
	case KindSettleViolation:
		return command[SettleViolation]
	case KindPutNodeAdmission:
		return command[PutNodeAdmission]
	}
	return laterDecoder(k)
}

// laterDecoder goes on where decoderOf ends.
func laterDecoder(k Kind) func([]byte) (Command, error) {
	switch k {
	case KindRevokeToken:
		return command[RevokeToken]
	case KindBindPrincipal:
		return command[BindPrincipal]
	case KindUnbindPrincipal:
		return command[UnbindPrincipal]
	case KindUseBootstrap:
		return command[UseBootstrap]
	case KindRenewBootstrap:
		return command[RenewBootstrap]
	case KindSetTenantState:
		return command[SetTenantState]
	case KindPurgeTenant:
		return command[PurgeTenant]
	case KindRecordPurge:
		return command[RecordPurge]
	case KindDeleteTenant:
		return command[DeleteTenant]
	case KindExcuseNode:
		return command[ExcuseNode]
	}
	return memberDecoder(k)
}

func command[P Payload](b []byte) (Command, error) {
	var w wireCommand[*P]
	if !unplain(b, &w) {
		w = wireCommand[*P]{}
		if err := strictJSON(b, &w); err != nil {
			return Command{}, err
		}
	}
	if w.Payload == nil {
		return Command{}, errors.New("no payload")
	}
	return Command{Stamp: w.Stamp, Payload: *w.Payload}, nil
}

func strictJSON(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("bytes after the end")
	}
	return nil
}
