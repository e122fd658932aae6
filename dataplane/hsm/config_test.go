package hsm

import (
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	for want, c := range map[string]Config{
		"keys.pkcs11.module":   {Module: "lib.so", Token: "t", PINFile: "p"},
		"keys.pkcs11.token":    {Module: "/lib.so", PINFile: "p"},
		"keys.pkcs11.pin_file": {Module: "/lib.so", Token: "t"},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
	err := Config{Module: "/lib.so", Token: "t", PINFile: "p"}.Check()
	if Built != (err == nil) {
		t.Errorf("built %v: %v", Built, err)
	}
}
