package dev

import (
	"context"
	"encoding/hex"
	"path/filepath"
	"strings"
)

// voterAddresses are where nodes reach the voters: control_plane of a node's configuration.
func (e *Environment) voterAddresses() (all []string) {
	for _, v := range voterNames {
		all = append(all, e.ports.address(v+"-grpc"))
	}
	return all
}

// Dir is the absolute data folder.
func (e *Environment) Dir() string { return e.opts.Dir }

// EnvFile is where addresses and token were written.
func (e *Environment) EnvFile() string { return e.opts.EnvFile }

// Voters names the three voters.
func (e *Environment) Voters() []string { return append([]string(nil), voterNames...) }

// Regions names the active regions, by id.
func (e *Environment) Regions() []string {
	out := make([]string, 0, len(e.places))
	for _, r := range e.places {
		out = append(out, string(r.ID))
	}
	return out
}

// Boundary is the boundary of a region, such as eu; "" of one that does not run.
func (e *Environment) Boundary(region string) string {
	for _, r := range e.places {
		if string(r.ID) == region {
			return string(r.Boundary)
		}
	}
	return ""
}

// Has reports whether a tenant of this slug is there; also false when nobody
// can say now.
func (e *Environment) Has(ctx context.Context, slug string) bool {
	cp, done, err := e.operator()
	if err != nil {
		return false
	}
	defer done()
	_, err = cp.Tenant(ctx, slug)
	return err == nil
}

// ControlURL is the REST address of the first voter.
func (e *Environment) ControlURL() string { return e.VoterURL(voterNames[0]) }

// VoterURL is the REST address of one voter.
func (e *Environment) VoterURL(name string) string { return "https://" + e.ports.address(name+"-rest") }

// RegionURL is where a region's tenants reach it.
func (e *Environment) RegionURL(region string) string { return "https://" + e.ports.address(region) }

// IngestAddress is where a region takes streams of records, host:port.
func (e *Environment) IngestAddress(region string) string { return e.ports.address(region + "-ingest") }

// OpsURL is the metrics and health of a voter or region, in plain HTTP on loopback.
func (e *Environment) OpsURL(name string) string { return "http://" + e.ports.address(name+"-ops") }

// Token is the operator's bearer token.
func (e *Environment) Token() string { return e.pki.token }

// OfficerToken is the security officer's bearer token.
func (e *Environment) OfficerToken() string { return e.pki.officer }

// CAFile is the PEM file of the authority that signed every listener.
func (e *Environment) CAFile() string { return filepath.Join(e.pki.dir, "ca.pem") }

// Variables are the lines of the env file.
func (e *Environment) Variables() [][2]string {
	vars := [][2]string{{"DOMICILE_CONTROL_URL", e.ControlURL()}, {"DOMICILE_VOTERS", strings.Join(e.voterAddresses(), ",")}}
	for _, r := range e.Regions() {
		vars = append(vars, [2]string{"DOMICILE_" + strings.ToUpper(r) + "_URL", e.RegionURL(r)}, [2]string{"DOMICILE_" + strings.ToUpper(r) + "_INGEST", e.IngestAddress(r)})
	}
	return append(vars, [2]string{"DOMICILE_CA", e.CAFile()}, [2]string{"DOMICILE_TOKEN", e.Token()}, [2]string{"DOMICILE_OFFICER_TOKEN", e.OfficerToken()},
		[2]string{"DOMICILE_ROOT_KEY", hex.EncodeToString(e.pki.rootPublic)})
}

// listeners names every listener with what it is for; the order decides ports of a first start.
func (e *Environment) listeners() []listener {
	var all []listener
	for _, v := range voterNames {
		all = append(all,
			listener{v + "-rest", "REST of voter " + v}, listener{v + "-grpc", "gRPC of voter " + v},
			listener{v + "-raft", "Raft of voter " + v}, listener{v + "-ops", "metrics and health of voter " + v})
	}
	for _, r := range e.Regions() {
		all = append(all, listener{r, "tenants of region " + r}, listener{r + "-ingest", "streams of records into region " + r}, listener{r + "-peer", "transfers into region " + r},
			listener{r + "-ops", "metrics and health of region " + r})
	}
	for _, r := range e.opts.Second {
		name := SecondName(r)
		all = append(all, listener{name, "tenants of region " + r + ", second node"}, listener{name + "-ingest", "streams of records into region " + r + ", second node"}, listener{name + "-peer", "transfers into region " + r + ", second node"},
			listener{name + "-ops", "metrics and health of region " + r + ", second node"})
	}
	return all
}
