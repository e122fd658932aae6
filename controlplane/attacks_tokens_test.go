package controlplane_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/login/logintest"
	"github.com/domicile-io/domicile/internal/mtls"
)

// loginTarget is a target whose people log in at an issuer that signs anything.
func loginTarget(t *testing.T) (*target, *logintest.Issuer) {
	t.Helper()
	e := logintest.New(t)
	x := &target{cluster: prepare(t, 1), logged: &logged{}}
	x.log = slog.New(slog.NewJSONHandler(x.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	x.loginsAt(t, e)
	x.startAll()
	x.before = x.state()
	return x, e
}

// Every token of controlplane/login's list, and each way to bring a token that is
// not the one header, over gRPC with the certificate of a gateway (which is what a
// stolen one could do) and over REST: on a read, a write, and a stream.
func TestINV12_TokenAttacksOverTheWire(t *testing.T) {
	x, e := loginTarget(t)
	x.tokensOfNobodyOpenNothing(t, e)
}

func (x *target) tokensOfNobodyOpenNothing(t *testing.T, e *logintest.Issuer) {
	t.Helper()
	conn := x.dial(0, mtls.ControlRegion, mtls.Gateway)
	login, tenants, backups := controlv1.NewLoginServiceClient(conn), controlv1.NewTenantServiceClient(conn), controlv1.NewBackupServiceClient(conn)
	ask := func(authorization ...string) map[string]error {
		ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": authorization})
		_, who := login.WhoAmI(ctx, &controlv1.WhoAmIRequest{})
		_, write := tenants.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: "stolen", HomeRegion: "ie1", BillingCountry: "IE"})
		stream, backup := backups.CreateBackup(ctx, &controlv1.CreateBackupRequest{})
		if backup == nil {
			_, backup = stream.Recv()
		}
		return map[string]error{"WhoAmI": who, "CreateTenant": write, "CreateBackup": backup}
	}
	good := e.Token(nil)
	got := ask("Bearer " + good)
	if x.procs == nil && (got["WhoAmI"] != nil || status.Code(got["CreateTenant"]) != codes.PermissionDenied) {
		t.Fatalf("the control: a good token of a person without a role: %v", got)
	}
	refused := func(err error) bool { // UNAVAILABLE: for a key that the issuer was asked for often enough
		return status.Code(err) == codes.Unauthenticated || status.Code(err) == codes.Unavailable
	}
	tried := 0
	for name, token := range e.Attacks() {
		for method, err := range ask("Bearer " + token) {
			if tried++; !refused(err) {
				t.Errorf("gRPC %s, %s: %v", method, name, err)
			}
		}
		if a := x.do(0, "GET", "/v1/whoami", nil, as(token)); a.Status != 401 && a.Status != 503 {
			t.Errorf("REST, %s: %d", name, a.Status)
		}
		tried++
	}
	for name, values := range map[string][]string{
		"two tokens": {"Bearer " + good, "Bearer " + good}, "a good one behind a bad one": {"Bearer " + strings.Repeat("x", 40), "Bearer " + operatorToken},
		"two in one value": {"Bearer " + good + ", Bearer " + operatorToken}, "another scheme": {"Basic " + operatorToken}, "no scheme": {operatorToken},
		"the scheme alone": {"Bearer"}, "the scheme and a space": {"Bearer "}, "half a token": {"Bearer " + operatorToken[:len(operatorToken)-1]},
		"a longer token": {"Bearer " + operatorToken + "x"}, "its hash": {"Bearer " + hashed(operatorToken)}, "of another case": {"Bearer " + strings.ToUpper(operatorToken)},
	} {
		for method, err := range ask(values...) {
			elsewhere := x.procs != nil && len(values) == 1 && mayBeKnown(values[0]) && status.Code(err) == codes.Unavailable
			if tried++; status.Code(err) != codes.Unauthenticated && !elsewhere {
				t.Errorf("gRPC %s, %s: %v", method, name, err)
			}
		}
	}
	// In metadata that is not the header, and in the URL.
	for _, key := range []string{"grpcgateway-authorization", "x-authorization", "proxy-authorization", "cookie", "token", "access_token", "x-domicile-principal"} {
		ctx := metadata.NewOutgoingContext(t.Context(), metadata.Pairs(key, "Bearer "+operatorToken))
		if _, err := login.WhoAmI(ctx, &controlv1.WhoAmIRequest{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("in %s: %v", key, err)
		}
		tried++
	}
	for _, query := range []string{"?access_token=", "?token=", "?authorization=Bearer+"} {
		if a := x.do(0, "GET", "/v1/whoami"+query+operatorToken, nil, headers{"Authorization": ""}); a.Status != 401 && a.Status != 400 {
			t.Errorf("in the URL: %d", a.Status)
		}
		tried++
	}
	if n := e.Asked.Load(); n > 20 {
		t.Errorf("the issuer was asked for its keys %d times by tokens of nobody", n)
	}
	text := x.logged.String()
	if x.procs != nil {
		text = x.procs.text()
	}
	for name, token := range e.Attacks() {
		if parts := strings.Split(token, "."); len(parts) > 2 && len(parts[2]) > 20 && strings.Contains(text, parts[2]) {
			t.Errorf("the log holds the token %q", name)
		}
	}
	if strings.Contains(text, good) || strings.Contains(text, `"ann"`) {
		t.Error("the log holds a token or a person")
	}
	x.unharmed(t, "tokens of nobody")
	_, err := login.WhoAmI(metadata.NewOutgoingContext(context.Background(), metadata.Pairs("authorization", "Bearer "+good)), &controlv1.WhoAmIRequest{})
	if err != nil && (x.procs == nil || status.Code(err) != codes.Unavailable) {
		t.Errorf("the good token after %d attacks: %v", tried, err)
	}
	t.Logf("%d calls were refused", tried)
}
