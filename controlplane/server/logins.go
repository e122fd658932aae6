package server

import (
	"context"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/login"
)

type loginService struct {
	controlv1.UnimplementedLoginServiceServer
	issuers []login.Issuer
}

// GetLogin implements controlv1.LoginServiceServer: what the command line needs
// to begin a login, which is the same for everybody and no secret.
func (s loginService) GetLogin(context.Context, *controlv1.GetLoginRequest) (*controlv1.Login, error) {
	out := &controlv1.Login{}
	for _, i := range s.issuers {
		out.Issuers = append(out.Issuers, &controlv1.Issuer{Issuer: i.URL, ClientId: i.ClientID, Audience: i.Audience})
	}
	return out, nil
}

// WhoAmI implements controlv1.LoginServiceServer.
func (s loginService) WhoAmI(ctx context.Context, _ *controlv1.WhoAmIRequest) (*controlv1.Identity, error) {
	who := callOf(ctx)
	out := &controlv1.Identity{Principal: who.principal, Role: string(who.role), Tenant: string(who.tenant), Region: string(who.region),
		ReadOnly: who.readOnly, ExpiresAt: moment(who.expires), Credential: string(who.credential)}
	if who.role == unbound {
		out.Role = ""
	}
	return out, nil
}
