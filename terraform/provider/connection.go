package provider

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/domicile-io/domicile/api/client"
)

// defaultPatience covers an election of the control plane.
const defaultPatience = 30 * time.Second

// connection is what resources share: the client, which carries the policy token
// of the run from each answer to the next request.
type connection struct {
	*client.Control
	policies sync.Mutex // parts of one policy take turns
	scope    uuid.UUID  // of this configuration and credential: what repeated creates are told apart by
}

// connect makes a connection of settings and environment. On an error, at is the
// setting that is wrong.
func connect(s settings) (c *connection, at string, err error) {
	base := either(s.Endpoint, "DOMICILE_CONTROL_URL")
	if base == "" {
		return nil, "endpoint", fmt.Errorf("the control plane's address is not known: set endpoint in the provider's block, or DOMICILE_CONTROL_URL")
	}
	token, at, err := s.token()
	if err != nil {
		return nil, at, err
	}
	patience := defaultPatience
	if p := s.Patience.ValueString(); p != "" {
		if patience, err = time.ParseDuration(p); err != nil {
			return nil, "patience", fmt.Errorf("is not a duration such as 30s")
		}
	}
	o := client.HTTPOptions{CAPEM: s.CAPEM.ValueString(), CAFile: s.CAFile.ValueString()}
	if o.CAFile == "" && o.CAPEM == "" {
		o.CAFile = os.Getenv("DOMICILE_CA")
	}
	hc, err := client.NewHTTP(o)
	if err != nil {
		return nil, "ca_file", fmt.Errorf("%w; name the PEM file of the control plane's authority in ca_file or DOMICILE_CA", err)
	}
	cp := &client.Control{BaseURL: base, Token: token, HTTP: hc, Patience: patience, Seen: &client.Freshness{}}
	return &connection{Control: cp, scope: scopeOf(base, token)}, "", nil
}

// token finds the credential: given, in a file, in the environment.
func (s settings) token() (token, at string, err error) {
	if t := s.Token.ValueString(); t != "" {
		return t, "", nil
	}
	if file := either(s.TokenFile, "DOMICILE_TOKEN_FILE"); file != "" {
		token, err = readSecret(file)
		return token, "token_file", err
	}
	if t := os.Getenv("DOMICILE_TOKEN"); t != "" {
		return t, "", nil
	}
	return "", "token", fmt.Errorf("there is no token: set DOMICILE_TOKEN, or token_file; make one with `domicile tokens create --role terraform`")
}

// readSecret reads a file that only its owner may read.
func readSecret(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("read the secret's file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("others may read %s: chmod 600 it", file)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the secret's file: %w", err)
	}
	if s := strings.TrimSpace(string(raw)); s != "" {
		return s, nil
	}
	return "", fmt.Errorf("%s is empty", file)
}

func either(v types.String, variable string) string {
	if s := v.ValueString(); s != "" {
		return s
	}
	return os.Getenv(variable)
}

// scopeOf tells configurations apart: by the folder that Terraform runs in (a
// provider is started there), the workspace, the control plane and the credential.
func scopeOf(base, token string) uuid.UUID {
	dir, _ := os.Getwd()
	workspace := os.Getenv("TF_WORKSPACE")
	if workspace == "" {
		data := os.Getenv("TF_DATA_DIR")
		if data == "" {
			data = ".terraform"
		}
		raw, _ := os.ReadFile(data + "/environment")
		workspace = string(raw)
	}
	hash := sha256.Sum256([]byte(token))
	return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "%s\n%s\n%s\n%x", base, dir, workspace, hash))
}

// repeatKey is the Idempotency-Key of a create. A run that was killed before it
// could write its state makes the same one again, and is answered as it was the
// first time; a run of another configuration is not.
func (c *connection) repeatKey(parts ...string) string {
	return uuid.NewSHA1(c.scope, []byte(strings.Join(parts, "\n"))).String()
}

// configured takes the connection in a resource's Configure. It is nil while
// Terraform only validates.
func configured(data any, diags *diag.Diagnostics) *connection {
	if data == nil {
		return nil
	}
	c, ok := data.(*connection)
	if !ok {
		diags.AddError("The provider is broken", fmt.Sprintf("Its resources got %T instead of a connection. Report this.", data))
	}
	return c
}
