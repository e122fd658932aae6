package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
)

func (a *app) loginCommand() *cobra.Command {
	var issuer, clientID, audience, issuerCA string
	c := &cobra.Command{Use: "login", Short: "Log in with your organisation's account, in a browser anywhere", Args: cobra.NoArgs,
		Long: `Asks the control plane which issuer it believes, shows a URL and a code, and waits until you have confirmed
the code there (OAuth 2.0 device flow, RFC 8628). The tokens go into your configuration folder, mode 0600,
and are renewed when they run out. domicile logout forgets them.`,
		Example: "  domicile login\n  domicile login --issuer https://login.example.com --client-id domicile-cli --audience https://control.example.com",
		RunE: a.run(func(ctx context.Context, _ []string) error {
			base, err := a.need(a.controlURL, "DOMICILE_CONTROL_URL", "--control-url")
			if err != nil {
				return err
			}
			cp, err := a.controlAt(base, "")
			if err != nil {
				return err
			}
			in, err := chooseIssuer(ctx, cp, &controlv1.Issuer{Issuer: issuer, ClientId: clientID, Audience: audience})
			if err != nil {
				return err
			}
			hc, err := client.NewHTTP(client.HTTPOptions{CAFile: issuerCA})
			if err != nil {
				return usagef("%v: correct --issuer-ca", err)
			}
			l := savedLogin{Issuer: in.GetIssuer(), ClientID: in.GetClientId(), Audience: in.GetAudience(), CA: issuerCA}
			if err := a.deviceFlow(ctx, hc, &l); err != nil {
				return err
			}
			if err := a.saveLogin(base, &l); err != nil {
				return err
			}
			cp.Token = l.Access
			me, err := cp.WhoAmI(ctx)
			if err != nil {
				return err
			}
			return a.result(me, func() {
				a.out.Line("logged in as principal %s, %s", me.GetPrincipal(), dash(me.GetRole()))
				if me.GetRole() == "" {
					a.err.Line("you have no role yet; a security officer gives you one: domicile principals bind %s --role ROLE", me.GetPrincipal())
				}
			})
		})}
	f := c.Flags()
	f.StringVar(&issuer, "issuer", "", "issuer's `URL`; left out: the control plane's")
	f.StringVar(&clientID, "client-id", "", "client `id` at the issuer; left out: the control plane's")
	f.StringVar(&audience, "audience", "", "`audience` of the tokens; left out: the control plane's")
	f.StringVar(&issuerCA, "issuer-ca", "", "PEM `file` of the authority of the issuer's certificate; left out: the system's")
	return c
}

// chooseIssuer completes what the flags gave from what the control plane says.
func chooseIssuer(ctx context.Context, cp *client.Control, given *controlv1.Issuer) (*controlv1.Issuer, error) {
	if given.GetIssuer() != "" && given.GetClientId() != "" && given.GetAudience() != "" {
		return given, nil
	}
	l, err := cp.Login(ctx)
	if err != nil {
		return nil, err
	}
	var fit []*controlv1.Issuer
	for _, i := range l.GetIssuers() {
		if given.GetIssuer() == "" || given.GetIssuer() == i.GetIssuer() {
			fit = append(fit, i)
		}
	}
	if len(l.GetIssuers()) == 0 {
		return nil, usagef("nobody can log in at this control plane: its configuration has no issuer (oidc); use a token, with --token or DOMICILE_TOKEN")
	}
	if len(fit) != 1 {
		return nil, usagef("the control plane names %d issuers that fit: choose one with --issuer, --client-id and --audience, or use a token", len(fit))
	}
	if given.GetClientId() != "" {
		fit[0].ClientId = given.GetClientId()
	}
	if given.GetAudience() != "" {
		fit[0].Audience = given.GetAudience()
	}
	return fit[0], nil
}

// deviceFlow logs in (RFC 8628) and fills in the tokens.
func (a *app) deviceFlow(ctx context.Context, hc *http.Client, l *savedLogin) error {
	ctx = oidc.ClientContext(ctx, hc)
	conf, err := oauthConfig(ctx, l)
	if err != nil {
		return err
	}
	if conf.Endpoint.DeviceAuthURL == "" {
		return fmt.Errorf("the issuer %s offers no device flow: enable it for client %s there", l.Issuer, l.ClientID)
	}
	resource := oauth2.SetAuthURLParam("resource", l.Audience) // RFC 8707
	began, err := conf.DeviceAuth(ctx, resource, oauth2.SetAuthURLParam("prompt", "consent"))
	if err != nil {
		return fmt.Errorf("begin the login at %s: %w", l.Issuer, err)
	}
	if began.VerificationURIComplete != "" {
		a.err.Line("open   %s", screen.Clean(began.VerificationURIComplete))
	}
	a.err.Line("or     %s", screen.Clean(began.VerificationURI))
	a.err.Line("code   %s", a.err.Bold(screen.Clean(began.UserCode)))
	stop := a.spin("waiting until you have confirmed it there" + before(began.Expiry))
	t, err := conf.DeviceAccessToken(ctx, began, resource)
	stop()
	if err != nil {
		return fmt.Errorf("the login was not confirmed: %w", err)
	}
	l.keep(t)
	return nil
}

// before says until when a code works, if the issuer says so.
func before(end time.Time) string {
	if end.IsZero() {
		return ""
	}
	return fmt.Sprintf(", for %v at most", time.Until(end).Round(time.Minute))
}

// oauthConfig discovers the issuer's endpoints.
func oauthConfig(ctx context.Context, l *savedLogin) (*oauth2.Config, error) {
	provider, err := oidc.NewProvider(ctx, l.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover the issuer %s: %w", l.Issuer, err)
	}
	end := provider.Endpoint()
	end.AuthStyle = oauth2.AuthStyleInParams // a public client has no secret
	return &oauth2.Config{ClientID: l.ClientID, Endpoint: end, Scopes: []string{oidc.ScopeOpenID, oidc.ScopeOfflineAccess}}, nil
}

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{Use: "logout", Short: "Forget the login of this control plane", Args: cobra.NoArgs,
		RunE: a.run(func(context.Context, []string) error {
			base, err := a.need(a.controlURL, "DOMICILE_CONTROL_URL", "--control-url")
			if err != nil {
				return err
			}
			if err := a.saveLogin(base, nil); err != nil {
				return err
			}
			return a.plain(map[string]bool{"logged_in": false}, func() {
				a.out.Line("logged out; a token that was copied elsewhere lasts until it expires")
			})
		})}
}

// controlAt is the client with a token that is given.
func (a *app) controlAt(base, token string) (*client.Control, error) {
	hc, err := a.http()
	if err != nil {
		return nil, err
	}
	return &client.Control{BaseURL: base, Token: token, HTTP: hc, Patience: patience}, nil
}

const refreshAhead = 30 * time.Second // before an access token runs out
