package peer

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/domicile-io/domicile/api"
	peerv1 "github.com/domicile-io/domicile/api/peer/v1"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// sendTimeout bounds one delivery; the transfer stays queued past it.
const sendTimeout = 30 * time.Second

// Outgoing is one frozen transfer, or (Refused) the marker of a gap. Its
// payload was made by Freeze, from pseudonymised rows only.
type Outgoing struct {
	ID       string
	Sequence uint64
	Payload  []byte
	Sum      [32]byte
	Rows     int
	Refused  bool
}

// Sender delivers transfers, and tells what to delete. Dial gives a connection
// that the one dialer made and counts; so does Reach, for deletions.
type Sender struct {
	Dial  func(permit policy.Permit) (grpc.ClientConnInterface, error)
	Reach func(t policy.TenantID, to policy.RegionID, basis string) (grpc.ClientConnInterface, error)
}

// Send delivers one transfer under a permit for exactly its tenant and
// recipient, and returns the receiver's high-water mark. Any error means that
// the transfer may or may not have arrived: send the same again.
func (s *Sender) Send(ctx context.Context, permit policy.Permit, out Outgoing) (uint64, error) {
	if permit.Operation() != policy.Export || permit.Transform() != policy.Pseudonymise || permit.Recipient() == "" {
		return 0, policy.Errorf(policy.EgressDenied, "nothing is sent without an export permit")
	}
	conn, err := s.Dial(permit)
	if err != nil {
		return 0, fmt.Errorf("reach region %s: %w", permit.To(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	r, err := peerv1.NewPeerServiceClient(conn).Deliver(ctx, &peerv1.DeliverRequest{
		Format: formatVersion, Transfer: out.ID, Tenant: string(permit.Tenant()), Recipient: string(permit.Recipient()),
		Purpose: permit.Purpose(), Sequence: out.Sequence, PolicyRevision: permit.Revision(), Basis: permit.Basis(),
		AllowListHash: record.AllowListHash(), Payload: out.Payload, PayloadSha256: out.Sum[:], Rows: uint32(out.Rows), Refused: out.Refused,
	})
	if err != nil {
		return 0, fmt.Errorf("deliver to region %s: %w", permit.To(), api.FromGRPC(err))
	}
	return r.GetHighWater(), nil
}
