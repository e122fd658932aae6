// Package awstest is a stand-in for AWS in tests: a server that checks what AWS
// checks, so that a client that would be refused there is refused here. It is in
// no program, and what it shows was not run against AWS itself.
package awstest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

const maxSkew = 5 * time.Minute

// checkSignature verifies a request's Signature Version 4, by the published
// algorithm and not by the SDK that made it, and leaves the body to be read.
// Header signatures only; the body is always hashed.
func checkSignature(r *http.Request, keyID, secret, token, region, service string) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return nil, errors.New("no Signature Version 4")
	}
	parts := map[string]string{}
	for _, p := range strings.Split(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		parts[name] = value
	}
	at := r.Header.Get("X-Amz-Date")
	when, err := time.Parse("20060102T150405Z", at)
	if err != nil || time.Since(when).Abs() > maxSkew {
		return nil, fmt.Errorf("X-Amz-Date %q is not now", at)
	}
	scope := strings.Join([]string{at[:8], region, service, "aws4_request"}, "/")
	if parts["Credential"] != keyID+"/"+scope {
		return nil, fmt.Errorf("credential %q, want scope %s", parts["Credential"], scope)
	}
	if token != r.Header.Get("X-Amz-Security-Token") {
		return nil, errors.New("another session token")
	}
	signed := strings.Split(parts["SignedHeaders"], ";")
	if !slices.Contains(signed, "host") || !slices.Contains(signed, "x-amz-date") || !slices.Contains(signed, "x-amz-target") {
		return nil, fmt.Errorf("signed headers are %v", signed)
	}
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.Join(strings.Fields(value), " "))
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", parts["SignedHeaders"], digest(body))
	key := []byte("AWS4" + secret)
	for _, part := range []string{at[:8], region, service, "aws4_request", "AWS4-HMAC-SHA256\n" + at + "\n" + scope + "\n" + digest([]byte(canonical.String()))} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if !hmac.Equal([]byte(hex.EncodeToString(key)), []byte(parts["Signature"])) {
		return nil, errors.New("the signature is another")
	}
	return body, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
