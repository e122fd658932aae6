package dev

import (
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/domicile-io/domicile/controlplane/mirror"
)

// terraformVersion is what the provider of this tree is called in dev's mirror.
const terraformVersion = "0.1.0"

// packProvider makes the archive that the voters serve. It is made anew at each
// start: the program may have been.
func (e *Environment) packProvider() error {
	if e.opts.TerraformProvider == "" {
		return nil
	}
	dir := filepath.Join(e.opts.Dir, "terraform")
	if _, err := mirror.Pack(e.opts.TerraformProvider, dir, terraformVersion, runtime.GOOS, runtime.GOARCH); err != nil {
		return err
	}
	e.mirror = dir
	return nil
}

// TerraformRC is the file that tells terraform where the provider is; "" without one.
func (e *Environment) TerraformRC() string {
	if e.mirror == "" {
		return ""
	}
	return filepath.Join(e.opts.Dir, "terraformrc")
}

// writeTerraformRC names the first voter as the only place that the provider
// comes from; every other provider comes from where it always does.
func (e *Environment) writeTerraformRC() error {
	if e.mirror == "" {
		return nil
	}
	const address = "registry.terraform.io/domicile-io/domicile"
	return writeAtomically(e.TerraformRC(), fmt.Appendf(nil, `provider_installation {
  network_mirror {
    url     = %q
    include = [%q]
  }
  direct {
    exclude = [%q]
  }
}
`, e.ControlURL()+mirror.Prefix, address, address))
}
