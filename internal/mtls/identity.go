// Package mtls is who is who on the wire: SPIFFE-style identities in URI SANs,
// a small certificate authority for `domicile dev` and tests, and TLS 1.3
// configurations that check cluster, role and region on every connection.
//
// An identity is spiffe://domicile/cluster/<CL…>/region/<region|control>/role/<role>/<ND…>
// (invariant 6). "Any certificate of our CA" is never enough.
package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"

	"github.com/domicile-io/domicile/policy"
)

const trustDomain = "domicile"

// Role is what a certificate's holder is.
type Role string

// The roles. A gateway's certificate carries REST requests to its own voter and
// has no permission of its own.
const (
	ControlPlane Role = "cp"
	DataPlane    Role = "dp"
	Gateway      Role = "gw"
)

// ControlRegion stands where a control-plane node has no region.
const ControlRegion policy.RegionID = "control"

// Identity is what a certificate says of its holder.
type Identity struct {
	Cluster string // CL…
	Region  policy.RegionID
	Role    Role
	Node    policy.NodeID
}

// URI is the identity's SPIFFE form.
func (i Identity) URI() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: trustDomain,
		Path: fmt.Sprintf("/cluster/%s/region/%s/role/%s/%s", i.Cluster, i.Region, i.Role, i.Node)}
}

// ParseURI reads the SPIFFE form.
func ParseURI(u *url.URL) (Identity, error) {
	p := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	if u.Scheme != "spiffe" || u.Host != trustDomain || len(p) != 7 || p[0] != "cluster" || p[2] != "region" || p[4] != "role" {
		return Identity{}, fmt.Errorf("certificate's URI is not spiffe://%s/cluster/…/region/…/role/…/…", trustDomain)
	}
	id := Identity{Cluster: p[1], Region: policy.RegionID(p[3]), Role: Role(p[5]), Node: policy.NodeID(p[6])}
	switch {
	case !policy.ValidID(policy.KindCluster, id.Cluster):
		return Identity{}, fmt.Errorf("certificate's cluster id is malformed")
	case id.Role != ControlPlane && id.Role != DataPlane && id.Role != Gateway:
		return Identity{}, fmt.Errorf("certificate's role is unknown")
	case !policy.ValidID(policy.KindNode, string(id.Node)):
		return Identity{}, fmt.Errorf("certificate's node id is malformed")
	}
	if _, err := policy.ParseRegionID(p[3]); err != nil && id.Region != ControlRegion {
		return Identity{}, fmt.Errorf("certificate's region is malformed")
	}
	return id, nil
}

// Of reads the identity of a leaf certificate: exactly one URI SAN.
func Of(leaf *x509.Certificate) (Identity, error) {
	if len(leaf.URIs) != 1 {
		return Identity{}, fmt.Errorf("certificate has %d URI names, want exactly 1", len(leaf.URIs))
	}
	return ParseURI(leaf.URIs[0])
}

// OfConnection reads the identity of a connection's peer.
func OfConnection(cs tls.ConnectionState) (Identity, error) {
	if len(cs.VerifiedChains) == 0 || len(cs.PeerCertificates) == 0 {
		return Identity{}, fmt.Errorf("peer showed no verified certificate")
	}
	return Of(cs.PeerCertificates[0])
}
