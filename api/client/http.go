package client

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"
)

// HTTPOptions configures NewHTTP.
type HTTPOptions struct {
	CAFile string // PEM; "" trusts the system's authorities, else only these
	CAPEM  string // the same as text; CAFile goes first
}

// NewHTTP makes an HTTP client that trusts the given authority and follows no
// redirect. It has no overall time limit, because uploads and exports may be
// long: bound calls by their context.
func NewHTTP(o HTTPOptions) (*http.Client, error) {
	tlsConfig, err := o.TLS()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig,
			TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 30 * time.Second,
			ExpectContinueTimeout: time.Second, MaxIdleConnsPerHost: 16,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// TLS is what a client that is not of HTTP needs to trust the same authority: see
// StreamOptions.
func (o HTTPOptions) TLS() (*tls.Config, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	pem, from := []byte(o.CAPEM), "given as text"
	if o.CAFile != "" {
		var err error
		if pem, err = os.ReadFile(o.CAFile); err != nil {
			return nil, fmt.Errorf("read authority: %w", err)
		}
		from = o.CAFile
	}
	if o.CAFile != "" || o.CAPEM != "" {
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authority %s holds no PEM certificate", from)
		}
	}
	return tlsConfig, nil
}
