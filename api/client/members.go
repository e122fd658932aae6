package client

import (
	"context"
	"net/http"
	"net/url"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// Members lists the members of the control plane, with what its leader has heard of each.
func (c *Control) Members(ctx context.Context, filters ...string) (*controlv1.ListMembersResponse, error) {
	var all *controlv1.ListMembersResponse
	err := pages(narrowed(nil, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListMembersResponse{}
		if err := c.get(ctx, "/v1/members", q, out); err != nil {
			return "", err
		}
		next := out.GetNextPageToken()
		out.Members, out.NextPageToken = append(all.GetMembers(), out.GetMembers()...), ""
		all = out
		return next, nil
	})
	return all, err
}

// InviteMember issues a join token; it is returned once.
func (c *Control) InviteMember(ctx context.Context, in *controlv1.InviteMemberRequest) (*controlv1.Invitation, error) {
	out := &controlv1.Invitation{}
	return out, c.post(ctx, "/v1/members:invite", in, out)
}

// RemoveMember takes a member out.
func (c *Control) RemoveMember(ctx context.Context, name string) (*controlv1.Member, error) {
	out := &controlv1.Member{}
	return out, c.proto(ctx, request{method: http.MethodDelete, path: "/v1/members/" + url.PathEscape(name)}, nil, out)
}

// ReaddressMember says where a member that does not run will be found.
func (c *Control) ReaddressMember(ctx context.Context, in *controlv1.ReaddressMemberRequest) (*controlv1.Member, error) {
	out := &controlv1.Member{}
	return out, c.post(ctx, "/v1/members/"+url.PathEscape(in.GetMember())+":readdress", in, out)
}

// ChangeMember does one of promote, demote and transferLeadership.
func (c *Control) ChangeMember(ctx context.Context, name, verb string) (*controlv1.Member, error) {
	out := &controlv1.Member{}
	return out, c.post(ctx, "/v1/members/"+url.PathEscape(name)+":"+verb, nil, out)
}
