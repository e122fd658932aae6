package control

import (
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// SignatureOf is a signature as the API has it.
func SignatureOf(s policy.Signature) *controlv1.Signature {
	return &controlv1.Signature{KeyId: s.KeyID, Value: s.Value}
}

// SignatureFrom is what SignatureOf was given; of nil, none.
func SignatureFrom(s *controlv1.Signature) policy.Signature {
	return policy.Signature{KeyID: s.GetKeyId(), Value: s.GetValue()}
}
