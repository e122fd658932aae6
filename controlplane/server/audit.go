package server

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/policy"
)

type auditService struct {
	controlv1.UnimplementedAuditServiceServer
	*core
	signer      *audit.Signer
	certificate string
	last        *atomic.Pointer[signedCheckpoint]
}

// signedCheckpoint is kept because nobody needs a credential to ask for it: one
// size is read and signed once.
type signedCheckpoint struct {
	size uint64
	note string
}

func newAuditService(c *core, s *bundle.Signer) (auditService, error) {
	key, certificate := s.Certified()
	signer, err := audit.NewSigner(audit.Origin(c.cluster), key, s.SignCheckpoint)
	return auditService{core: c, signer: signer, certificate: hex.EncodeToString(certificate), last: &atomic.Pointer[signedCheckpoint]{}}, err
}

// ListLeaves implements controlv1.AuditServiceServer.
func (s auditService) ListLeaves(_ context.Context, req *controlv1.ListLeavesRequest) (*controlv1.ListLeavesResponse, error) {
	start, limit := req.GetStart(), int(req.GetPageSize())
	if limit <= 0 {
		limit = defaultPage
	}
	if token := req.GetPageToken(); token != "" {
		var err error
		if start, err = strconv.ParseUint(lastOf(token), 10, 53); err != nil {
			return nil, badPageToken()
		}
	}
	records, size, err := s.store.AuditLeaves(start, limit)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListLeavesResponse{Size: size}
	for _, r := range records {
		l, err := verify.ParseLeaf(r)
		if err != nil {
			return nil, err
		}
		leaf := &controlv1.Leaf{Record: string(r), Index: l.Index, Action: l.Action, Resource: l.Resource, Actor: l.Actor, Revision: l.Revision}
		if err := s.beside(leaf); err != nil {
			return nil, err
		}
		out.Leaves = append(out.Leaves, leaf)
	}
	if next := start + uint64(len(records)); len(records) > 0 && next < size {
		out.NextPageToken = pageToken(strconv.FormatUint(next, 10))
	}
	return out, nil
}

// beside adds what a record does not say and a restore cannot do without
// (docs/adr/0093). What is gone by now is left out.
func (s auditService) beside(l *controlv1.Leaf) error {
	switch l.GetAction() {
	case "tenant.create":
		t, err := s.store.Tenant(policy.TenantID(l.GetResource()))
		if err != nil && !isReason(err, policy.NotFound) {
			return err
		}
		l.Slug = string(t.Slug)
	case "signing_key.withdraw":
		p, err := s.store.Policy(policy.TenantID(l.GetResource()))
		if err != nil && !isReason(err, policy.NotFound) {
			return err
		}
		if p.Signers == nil {
			return nil
		}
		for _, w := range p.Signers.Withdrawn {
			l.Withdrawals = append(l.Withdrawals, &controlv1.Withdrawal{SigningKey: w.Key, Signature: control.SignatureOf(w.Signature)})
		}
	}
	return nil
}

// GetCheckpoint implements controlv1.AuditServiceServer. It shows what this
// voter has applied; that is committed, and so the beginning of what any other
// voter will ever show.
func (s auditService) GetCheckpoint(context.Context, *controlv1.GetCheckpointRequest) (*controlv1.Checkpoint, error) {
	kept := s.last.Load()
	if kept == nil || kept.size != policy.CountOf(s.store.Revision()) {
		size, root, err := s.store.AuditRoot()
		if err != nil {
			return nil, err
		}
		note, err := s.signer.Sign(size, root)
		if err != nil {
			return nil, err
		}
		kept = &signedCheckpoint{size: size, note: string(note)}
		s.last.Store(kept)
	}
	return &controlv1.Checkpoint{Note: kept.note, Key: s.signer.VerifierKey(), Certificate: s.certificate}, nil
}

// ProveLeaf implements controlv1.AuditServiceServer.
func (s auditService) ProveLeaf(_ context.Context, req *controlv1.ProveLeafRequest) (*controlv1.LeafProof, error) {
	leaf, size, proof, err := s.store.AuditInclusion(req.GetIndex(), req.GetSize())
	if err != nil {
		return nil, err
	}
	return &controlv1.LeafProof{Index: req.GetIndex(), Size: size, Leaf: string(leaf), Hashes: hexOf(proof)}, nil
}

// ProveConsistency implements controlv1.AuditServiceServer.
func (s auditService) ProveConsistency(_ context.Context, req *controlv1.ProveConsistencyRequest) (*controlv1.ConsistencyProof, error) {
	size, proof, err := s.store.AuditConsistency(req.GetOldSize(), req.GetSize())
	if err != nil {
		return nil, err
	}
	return &controlv1.ConsistencyProof{OldSize: req.GetOldSize(), Size: size, Hashes: hexOf(proof)}, nil
}

func hexOf(hashes []audit.Hash) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = fmt.Sprintf("%x", h)
	}
	return out
}
