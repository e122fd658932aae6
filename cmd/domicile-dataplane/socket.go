package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"syscall"

	"github.com/domicile-io/domicile/dataplane"
)

// errNotRunning: nobody listens at the socket in data_dir.
var errNotRunning = errors.New("the node does not run: start it (systemctl start domicile-dataplane), or look for another data_dir in the configuration that it runs with")

// errNotItsUser: the socket, or its folder, is another user's.
var errNotItsUser = errors.New("only the node's own user may ask it: type the same again as that user (sudo -u domicile-dataplane …)")

// onSocket asks the running node over its socket. The caller closes the body.
func onSocket(ctx context.Context, cfg dataplane.Config, method, target string) (*http.Response, error) {
	socket := filepath.Join(cfg.DataDir, dataplane.AdminSocket)
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+target, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Transport: t}).Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil, errNotRunning
	case errors.Is(err, fs.ErrPermission):
		return nil, errNotItsUser
	case errors.Is(err, syscall.EINVAL):
		return nil, errors.New("the path of data_dir is too long for a socket, so that a node there cannot be asked: give it one of at most 89 bytes")
	case err != nil:
		return nil, fmt.Errorf("ask the node: %w", errors.Unwrap(err))
	}
	return resp, nil
}
