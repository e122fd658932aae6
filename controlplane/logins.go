package controlplane

import (
	"crypto/x509"
	"fmt"

	"github.com/domicile-io/domicile/controlplane/login"
	"github.com/domicile-io/domicile/internal/mtls"
)

// openLogins prepares the issuers of the configuration; none without them.
func openLogins(cfg Config) (*login.Verifier, []login.Issuer, error) {
	if len(cfg.OIDC) == 0 {
		return nil, nil, nil
	}
	key, err := hexFile("principal_key", cfg.PrincipalKey)
	if err != nil {
		return nil, nil, err
	}
	var issuers []login.Issuer
	for i, o := range cfg.OIDC {
		var roots *x509.CertPool
		if o.CA != "" {
			if roots, err = mtls.LoadRoots(o.CA); err != nil {
				return nil, nil, fmt.Errorf("oidc[%d].ca: %w", i, err)
			}
		}
		issuers = append(issuers, login.Issuer{URL: o.Issuer, ClientID: o.ClientID, Audience: o.Audience, CA: roots})
	}
	v, err := login.New(login.Options{Issuers: issuers, PrincipalKey: key})
	if err != nil {
		return nil, nil, fmt.Errorf("principal_key: %w", err)
	}
	return v, issuers, nil
}
