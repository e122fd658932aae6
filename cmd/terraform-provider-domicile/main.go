// Command terraform-provider-domicile is the Terraform provider. Terraform starts
// it; docs/terraform/index.md says how to configure it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/domicile-io/domicile/terraform/provider"
)

func main() {
	debug := flag.Bool("debug", false, "wait for a debugger, and print how Terraform reaches this process")
	flag.Parse()
	if err := providerserver.Serve(context.Background(), provider.New, providerserver.ServeOpts{Address: provider.Address, Debug: *debug}); err != nil {
		fmt.Fprintln(os.Stderr, "terraform-provider-domicile:", err)
		os.Exit(1)
	}
}
