package client

import (
	"context"
	"net/http"
	"net/url"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// Nodes lists the regions' nodes; region and state may be "".
func (c *Control) Nodes(ctx context.Context, region, state string, filters ...string) ([]*controlv1.Node, error) {
	q := url.Values{}
	if region != "" {
		q.Set("region", region)
	}
	if state != "" {
		q.Set("state", state)
	}
	var all []*controlv1.Node
	err := pages(narrowed(q, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListNodesResponse{}
		err := c.get(ctx, "/v1/nodes", q, out)
		all = append(all, out.GetNodes()...)
		return out.GetNextPageToken(), err
	})
	return all, err
}

// Node finds one node.
func (c *Control) Node(ctx context.Context, id string) (*controlv1.Node, error) {
	out := &controlv1.Node{}
	return out, c.get(ctx, "/v1/nodes/"+url.PathEscape(id), nil, out)
}

// AdmitNode admits a node; one that was evicted needs the etag that was read.
func (c *Control) AdmitNode(ctx context.Context, in *controlv1.AdmitNodeRequest, etag string) (*controlv1.Node, error) {
	out := &controlv1.Node{}
	return out, c.conditional(ctx, http.MethodPost, "/v1/nodes/"+url.PathEscape(in.GetNode())+":admit", etag, in, out)
}

// EvictNode ends a node's streams and refuses it from then on.
func (c *Control) EvictNode(ctx context.Context, in *controlv1.EvictNodeRequest) (*controlv1.Node, error) {
	out := &controlv1.Node{}
	return out, c.post(ctx, "/v1/nodes/"+url.PathEscape(in.GetNode())+":evict", in, out)
}

// NodeAdmission says how a region takes nodes.
func (c *Control) NodeAdmission(ctx context.Context, region string) (*controlv1.NodeAdmission, error) {
	out := &controlv1.NodeAdmission{}
	return out, c.get(ctx, "/v1/regions/"+url.PathEscape(region)+"/node_admission", nil, out)
}

// PutNodeAdmission sets it; etag "" when it was never set.
func (c *Control) PutNodeAdmission(ctx context.Context, in *controlv1.PutNodeAdmissionRequest, etag string) (*controlv1.NodeAdmission, error) {
	out := &controlv1.NodeAdmission{}
	return out, c.conditional(ctx, http.MethodPut, "/v1/regions/"+url.PathEscape(in.GetRegion())+"/node_admission", etag, in, out)
}

// Violations lists what was seen to be against the rules; state "" is any.
func (c *Control) Violations(ctx context.Context, state string, filters ...string) ([]*controlv1.Violation, error) {
	q := url.Values{}
	if state != "" {
		q.Set("state", state)
	}
	var all []*controlv1.Violation
	err := pages(narrowed(q, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListViolationsResponse{}
		err := c.get(ctx, "/v1/violations", q, out)
		all = append(all, out.GetViolations()...)
		return out.GetNextPageToken(), err
	})
	return all, err
}

// Violation finds one violation.
func (c *Control) Violation(ctx context.Context, id string) (*controlv1.Violation, error) {
	out := &controlv1.Violation{}
	return out, c.get(ctx, "/v1/violations/"+url.PathEscape(id), nil, out)
}

// AcknowledgeViolation says that a person knows.
func (c *Control) AcknowledgeViolation(ctx context.Context, in *controlv1.AcknowledgeViolationRequest) (*controlv1.Violation, error) {
	out := &controlv1.Violation{}
	return out, c.post(ctx, "/v1/violations/"+url.PathEscape(in.GetViolation())+":acknowledge", in, out)
}
