package cli

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// signWorkingKeys signs, with a signing key that is about to be enrolled, each API key
// that would stop working without; or that there is none.
func (a *app) signWorkingKeys(ctx context.Context, cp *client.Control, tenant string, c certificateFile, path string, yes bool) ([]*controlv1.ApiKeySignature, error) {
	secret, err := readSecretKey(path)
	if err != nil {
		return nil, err
	}
	enrolled, err := cp.SigningKeys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	all, err := cp.Keys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(k *controlv1.Key) bool {
		return k.GetRole() == string(policy.RoleIngest) || k.GetSigning() == "refused"
	})
	number, err := nextKeyNumber(enrolled, time.Now())
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		sig := policy.Sign(secret, policy.KeyStatement(c.Cluster, c.Tenant, number, policy.NoKey))
		return []*controlv1.ApiKeySignature{{Number: number, Signature: control.SignatureOf(sig)}}, nil
	}
	a.err.Line("From now on nodes take an API key above ingest only when this signing key has signed it. It signs these, so that they go on working:")
	a.sayKeys(all)
	if !yes && !a.confirmed("Type sign to sign exactly this: ", "sign") {
		return nil, errors.New("nothing was signed or sent; repeat the command to look again")
	}
	out := make([]*controlv1.ApiKeySignature, 0, len(all))
	for _, k := range all {
		if k.GetTenant() != string(c.Tenant) {
			return nil, usagef("the certificate is of tenant %s, and API key %s is not", c.Tenant, k.GetId())
		}
		out = append(out, &controlv1.ApiKeySignature{Key: k.GetId(), Number: number, Signature: signKey(secret, c.Cluster, number, k)})
	}
	return out, nil
}
