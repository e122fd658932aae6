package lobby

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
)

// HTTP2 is the protocol that a gRPC server's TLS configuration must name.
const HTTP2 = "h2"

// Credentials are those of a gRPC server behind a Listener.
func Credentials() credentials.TransportCredentials { return shaken{} }

// shaken takes connections whose handshake is done.
type shaken struct{}

// ServerHandshake implements credentials.TransportCredentials.
func (shaken) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	t, ok := c.(*tls.Conn)
	if !ok || !t.ConnectionState().HandshakeComplete {
		return nil, nil, errors.New("lobby: a connection arrived that had not shaken hands")
	}
	state := t.ConnectionState()
	if state.NegotiatedProtocol != HTTP2 {
		return nil, nil, errors.New("lobby: the client does not speak HTTP/2 (ALPN)")
	}
	return t, credentials.TLSInfo{State: state, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
}

// ClientHandshake implements credentials.TransportCredentials: clients do not
// come through a lobby.
func (shaken) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("lobby: these credentials are a server's")
}

// Info implements credentials.TransportCredentials.
func (shaken) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (s shaken) Clone() credentials.TransportCredentials { return s }

// OverrideServerName implements credentials.TransportCredentials.
func (shaken) OverrideServerName(string) error { return nil }
