package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// The programs of a release.
const (
	commandLine  = "domicile"
	controlPlane = "domicile-controlplane"
	dataPlane    = "domicile-dataplane"
	provider     = "terraform-provider-domicile"
)

// platform is what a program is compiled for.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "_" + p.arch }

// elsewhere is where people use the command line and Terraform, beside the
// servers' platforms.
var elsewhere = []platform{{"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}}

func (r *Release) servers() (on []platform) {
	for _, arch := range r.Arches {
		on = append(on, platform{"linux", arch})
	}
	return on
}

// desks are the platforms of the command line and the provider.
func (r *Release) desks() []platform {
	if r.Short {
		return r.servers()
	}
	return append(r.servers(), elsewhere...)
}

// program is where a compiled program is.
func (r *Release) program(name string, p platform) string {
	if p.os == "windows" {
		name += ".exe"
	}
	return filepath.Join(r.Out, "programs", p.String(), name)
}

func (r *Release) buildPrograms(ctx context.Context) error {
	for _, p := range r.servers() {
		for _, name := range []string{controlPlane, dataPlane} {
			if err := r.compile(ctx, name, p); err != nil {
				return err
			}
		}
	}
	for _, p := range r.desks() {
		for _, name := range []string{commandLine, provider} {
			if err := r.compile(ctx, name, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// compile builds a static program that holds no path of the machine it was built on.
func (r *Release) compile(ctx context.Context, name string, p platform) error {
	set := func(field, value string) string {
		return " -X github.com/domicile-io/domicile/internal/release." + field + "=" + value
	}
	out := r.program(name, p)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid="+set("version", r.Version)+set("commit", r.Commit)+set("date", r.Date.Format(time.RFC3339)),
		"-o", out, "./cmd/"+name)
	cmd.Dir = r.Source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile %s for %s: %w\n%s", name, p, err, text)
	}
	return r.describe(ctx, out)
}

// native is the platform whose programs run here.
func (r *Release) native() (platform, error) {
	for _, p := range r.servers() {
		if p.os == runtime.GOOS && p.arch == runtime.GOARCH {
			return p, nil
		}
	}
	return platform{}, fmt.Errorf("completions are written by the program itself: one of --arch must be %s", runtime.GOARCH)
}
