package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// completions are where each shell looks; PowerShell has no such folder.
var completions = map[string]string{
	"bash": "/usr/share/bash-completion/completions/domicile",
	"zsh":  "/usr/share/zsh/vendor-completions/_domicile",
	"fish": "/usr/share/fish/vendor_completions.d/domicile.fish",
}

func (r *Release) buildPackages(ctx context.Context) error {
	scratch, err := os.MkdirTemp("", "domicile-packaging")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := r.writeCompletions(ctx, scratch); err != nil {
		return err
	}
	if err := r.writeManual(ctx, filepath.Join(scratch, "man")); err != nil {
		return err
	}
	for _, p := range r.servers() {
		for _, format := range []string{"deb", "rpm"} {
			if err := r.pack(format, p, scratch); err != nil {
				return fmt.Errorf("%s for %s: %w", format, p.arch, err)
			}
		}
	}
	return nil
}

func (r *Release) writeCompletions(ctx context.Context, dir string) error {
	here, err := r.native()
	if err != nil {
		return err
	}
	for shell := range completions {
		text, err := exec.CommandContext(ctx, r.program(commandLine, here), "completion", shell).Output()
		if err != nil {
			return fmt.Errorf("completion for %s: %w", shell, err)
		}
		if err := writeFile(filepath.Join(dir, "completion."+shell), text); err != nil {
			return err
		}
	}
	return nil
}

func (r *Release) pack(format string, p platform, scratch string) error {
	contents, err := r.contents(p, scratch)
	if err != nil {
		return err
	}
	info := &nfpm.Info{
		Name: "domicile", Arch: p.arch, Platform: "linux", Version: r.Version, Release: "1",
		Section: "net", Priority: "optional", Maintainer: "The Domicile authors <maintainers@domicile.example>",
		Description: "data-residency control plane for communications platforms\nVoters of the policy store (domicile-controlplane), nodes of regions\n(domicile-dataplane) and the command line (domicile). Nothing is started\nby installing it.",
		Vendor:      "Domicile", Homepage: "https://github.com/domicile-io/domicile", License: "Apache-2.0",
		MTime: r.Date, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Contents: contents,
			Scripts: nfpm.Scripts{PreInstall: r.files("scripts", "preinstall.sh"), PostInstall: r.files("scripts", "postinstall.sh"),
				PreRemove: r.files("scripts", "preremove.sh"), PostRemove: r.files("scripts", "postremove.sh")},
			Recommends: []string{"ca-certificates"},
			RPM:        nfpm.RPM{BuildHost: "domicile", Summary: "Data-residency control plane for communications platforms", Group: "System Environment/Daemons"},
		},
	}
	if r.Short {
		info.Deb.Compression, info.RPM.Compression = "none", "gzip:1"
	}
	if format == "deb" {
		info.Depends = []string{"passwd"} // useradd, groupadd
	} else {
		info.Depends = []string{"shadow-utils"}
	}
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return err
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(r.Out, packager.ConventionalFileName(info)))
	if err != nil {
		return err
	}
	if err := packager.Package(info, out); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// contents is what is installed, and where.
func (r *Release) contents(p platform, scratch string) (all files.Contents, err error) {
	add := func(mode os.FileMode, kind, from, to string) {
		all = append(all, &files.Content{Source: from, Destination: to, Type: kind,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.Date}})
	}
	for _, name := range []string{commandLine, controlPlane, dataPlane} {
		add(0o755, "", r.program(name, p), "/usr/bin/"+name)
		if list := bill(r.program(name, p)); exists(list) {
			add(0o644, "", list, "/usr/share/doc/domicile/sbom/"+name+".cdx.json")
		}
	}
	for _, name := range []string{controlPlane, dataPlane} {
		add(0o644, "", r.files("systemd", name+".service"), "/usr/lib/systemd/system/"+name+".service")
	}
	add(0o644, "", r.files("sysusers", "domicile.conf"), "/usr/lib/sysusers.d/domicile.conf")
	for _, part := range []string{"controlplane", "dataplane"} {
		add(0o644, "config|noreplace", r.files("etc", part+".env"), "/etc/domicile/"+part+".env")
	}
	for _, name := range []string{"controlplane.yaml", "dataplane.yaml", "addresses.conf", "folders.conf", "low-ports.conf"} {
		add(0o644, "", r.files("examples", name), "/usr/share/doc/domicile/examples/"+name)
	}
	for shell, to := range completions {
		add(0o644, "", filepath.Join(scratch, "completion."+shell), to)
	}
	pages, err := manual(filepath.Join(scratch, "man"))
	if err != nil {
		return nil, err
	}
	for _, page := range pages {
		add(0o644, "", page[0], page[1])
	}
	operations := filepath.Join(r.Source, "docs", "operations")
	for _, name := range []string{"install.md", "alarms.md"} {
		add(0o644, "", filepath.Join(operations, name), "/usr/share/doc/domicile/"+name)
	}
	add(0o644, "", filepath.Join(operations, "alerts.yaml"), "/usr/share/domicile/prometheus/alerts.yaml")
	for _, name := range []string{"control-plane.json", "region.json"} {
		add(0o644, "", filepath.Join(operations, "grafana", name), "/usr/share/domicile/grafana/"+name)
	}
	for _, desk := range r.desks() {
		add(0o644, "", filepath.Join(r.Out, r.providerName(desk)), "/usr/share/domicile/terraform/"+r.providerName(desk))
	}
	add(0o644, "", filepath.Join(r.Source, "LICENSE"), "/usr/share/doc/domicile/copyright")
	add(0o644, "", filepath.Join(r.Source, "CHANGELOG.md"), "/usr/share/doc/domicile/CHANGELOG.md")
	return all, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
