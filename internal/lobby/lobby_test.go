package lobby

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// server is a lobby whose connections answer "hello" and then wait for the client.
type server struct {
	*Listener
	address string
	refused chan error
	inside  sync.WaitGroup
}

func serve(t *testing.T, o Options) *server {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := &server{address: plain.Addr().String(), refused: make(chan error, 4096)}
	o.TLS = &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MinVersion: tls.VersionTLS13, NextProtos: []string{HTTP2}}
	o.Refused = func(err error) { s.refused <- err }
	s.Listener = New(plain, o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			s.inside.Go(func() {
				defer c.Close()
				_, _ = io.WriteString(c, "hello")
				_, _ = io.Copy(io.Discard, c)
			})
		}
	}()
	t.Cleanup(func() { _ = s.Close(); <-done; s.inside.Wait() })
	return s
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// from dials without a word, from an address of the loopback network.
func (s *server) from(t *testing.T, host string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}, Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", s.address)
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// enter shakes hands and hears "hello".
func (s *server) enter(c net.Conn) error {
	in := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{HTTP2}})
	if err := in.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	word := make([]byte, 5)
	_, err := io.ReadFull(in, word)
	return err
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestINV41_SilentConnectionsKeepNobodyOut(t *testing.T) {
	s := serve(t, Options{Waiting: 16, Patience: time.Minute, Grace: 20 * time.Millisecond})
	for range 400 {
		s.from(t, "127.0.0.1")
	}
	until(t, "a full lobby", func() bool { return s.InLobby() == 16 })
	for range 5 {
		check(t, s.enter(s.from(t, "127.0.0.1")))
		if n := s.InLobby(); n > 16 {
			t.Errorf("%d connections wait in a lobby for 16", n)
		}
	}
	if err := <-s.refused; !errors.Is(err, errPutOut) {
		t.Errorf("the first was put out with %v", err)
	}
}

// Whoever floods from one address puts out its own connections, not those of others.
func TestINV41_ACrowdMakesRoomItself(t *testing.T) {
	s := serve(t, Options{Waiting: 8, Patience: time.Minute, Grace: time.Millisecond})
	slow := s.from(t, "127.0.0.2")
	until(t, "the slow one", func() bool { return s.InLobby() == 1 })
	for range 100 {
		s.from(t, "127.0.0.1")
	}
	for range 93 { // 8 stay
		select {
		case <-s.refused:
		case <-time.After(20 * time.Second):
			t.Fatal("the crowd was not put out")
		}
	}
	check(t, s.enter(slow))
}

// A thousand that come at once do not put each other out.
func TestINV41_AStormOfHandshakesEnds(t *testing.T) {
	s := serve(t, Options{Waiting: 8, Grace: time.Minute})
	var all errgroup.Group
	for range 300 {
		all.Go(func() error {
			c, err := net.Dial("tcp", s.address)
			if err != nil {
				return err
			}
			defer c.Close()
			return s.enter(c)
		})
	}
	check(t, all.Wait())
}

func TestPatienceEnds(t *testing.T) {
	s := serve(t, Options{Patience: 50 * time.Millisecond})
	c := s.from(t, "127.0.0.1")
	check(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a connection that said nothing: %v, want its end", err)
	}
	until(t, "an empty lobby", func() bool { return s.InLobby() == 0 })
}

func TestOpenIsBounded(t *testing.T) {
	s := serve(t, Options{Open: 2})
	first, second, third := s.from(t, "127.0.0.1"), s.from(t, "127.0.0.1"), s.from(t, "127.0.0.1")
	check(t, s.enter(first))
	check(t, s.enter(second))
	got := make(chan error, 1)
	go func() { got <- s.enter(third) }()
	select {
	case err := <-got:
		t.Fatalf("a third got in: %v", err)
	case <-time.After(100 * time.Millisecond): // long enough for a handshake
	}
	check(t, first.Close())
	check(t, <-got)
}

func TestWhoSpeaksNoTLSIsToldSo(t *testing.T) {
	s := serve(t, Options{Plain: []byte("use https")})
	c := s.from(t, "127.0.0.1")
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	check(t, err)
	check(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	got, err := io.ReadAll(c)
	if string(got) != "use https" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCloseEndsWhoWaits(t *testing.T) {
	s := serve(t, Options{Patience: time.Hour})
	c := s.from(t, "127.0.0.1")
	until(t, "somebody who waits", func() bool { return s.InLobby() == 1 })
	check(t, s.Listener.Listener.Close())
	_ = s.Close()
	check(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
	if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}

func TestCredentialsTakeOnlyWhoShookHands(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	config := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}
	for name, c := range map[string]net.Conn{"plain": a, "before the handshake": tls.Server(a, config)} {
		if _, _, err := Credentials().ServerHandshake(c); err == nil || !strings.Contains(err.Error(), "shaken") {
			t.Errorf("%s: %v", name, err)
		}
	}
	server := tls.Server(a, config)
	go func() { _ = tls.Client(b, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
	check(t, server.Handshake())
	if _, _, err := Credentials().ServerHandshake(server); err == nil || !strings.Contains(err.Error(), "HTTP/2") {
		t.Errorf("another protocol: %v", err)
	}
}
