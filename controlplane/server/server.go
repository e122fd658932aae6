package server

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/login"
	"github.com/domicile-io/domicile/controlplane/members"
	"github.com/domicile-io/domicile/controlplane/mirror"
	"github.com/domicile-io/domicile/controlplane/replica"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/instance"
	"github.com/domicile-io/domicile/internal/lobby"
	"github.com/domicile-io/domicile/internal/mtls"
)

// Options of a server. All fields are required but logins and durations.
type Options struct {
	Name       string // ours among the members
	Directory  *members.Directory
	Steward    *members.Steward
	Roll       *members.Roll
	Store      *store.Store
	Replica    *replica.Replica
	Signer     *bundle.Signer
	Root       ed25519.PublicKey // the operator's; certifies signing keys
	TLS        *mtls.Material    // role cp
	GatewayTLS *mtls.Material    // role gw
	GRPC       net.Listener      // TCP
	REST       net.Listener      // TCP
	Logins     *login.Verifier   // nil: nobody logs in, tokens only
	Issuers    []login.Issuer    // of Logins, for people to find
	Logger     *slog.Logger
	Registry   prometheus.Registerer
	Instances  *instance.Authorities // what clouds' documents are held against; nil: none counts
	Dir        string                // for files that live no longer than the process; "": the system's

	Renew    time.Duration // between renewals of fresh_until; 0: 15 s
	FreshFor time.Duration // what one promises; 0: 60 s

	ViolationsApart time.Duration // between two writes of one violation; 0: 1 min

	Mirror *mirror.Mirror // of the Terraform provider; nil: none

	BackupRecipients []string // age public keys that every backup is encrypted to; may be empty
}

// Server answers on two listeners until Close.
type Server struct {
	*core
	valid    *validation
	peers    *peers
	backups  *backups
	work     *work
	inFlight chan struct{}
	mirror   *mirror.Mirror
	grpc     *grpc.Server
	rest     *http.Server
	own      *grpc.ClientConn // of the gateway, to ourselves
	on       struct{ grpc, rest net.Listener }
	stop     context.CancelFunc
	done     sync.WaitGroup
}

// New builds a server; Serve starts it.
func New(o Options) (*Server, error) {
	if o.Renew == 0 {
		o.Renew = 15 * time.Second
	}
	if o.FreshFor == 0 {
		o.FreshFor = time.Minute
	}
	if o.ViolationsApart == 0 {
		o.ViolationsApart = time.Minute
	}
	s := &Server{inFlight: make(chan struct{}, maxInFlight), mirror: o.Mirror}
	m, err := newMetrics(o.Registry, o.Replica, o.Store, func() float64 { return float64(len(s.inFlight)) })
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	auth, err := newAuthenticator(o)
	if err != nil {
		return nil, fmt.Errorf("prepare authentication: %w", err)
	}
	if s.valid, err = newValidation(); err != nil {
		return nil, fmt.Errorf("compile the rules of messages: %w", err)
	}
	s.core = &core{name: o.Name, directory: o.Directory, steward: o.Steward, roll: o.Roll, cluster: o.TLS.Identity.Cluster, root: o.Root, store: o.Store, replica: o.Replica,
		instances: o.Instances, hub: newHub(o), log: o.Logger, metrics: m, auth: auth}
	s.peers = &peers{own: o.GatewayTLS, directory: o.Directory}
	s.backups = &backups{core: s.core, signer: o.Signer, leader: &peers{own: o.TLS, directory: o.Directory}, recipients: o.BackupRecipients, busy: make(chan struct{}, 1)}
	s.work = newWork(s.core, o.TLS.Identity, s.backups.leader)
	s.on.grpc, s.on.rest = guarded(o)
	s.grpc = grpc.NewServer(grpc.Creds(lobby.Credentials()),
		grpc.ForceServerCodecV2(newWireCodec()), grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream),
		grpc.NumStreamWorkers(streamWorkers), // goroutines whose stacks have grown already; more calls get their own
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxHeaderListSize(maxHeader), grpc.MaxConcurrentStreams(1024), grpc.ConnectionTimeout(5*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 15 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))
	if err := s.register(o); err != nil {
		return nil, err
	}
	if s.own, err = Dial(o.GRPC.Addr().String(), o.GatewayTLS); err != nil {
		return nil, err
	}
	if err := o.Registry.Register(hubMetrics{s.hub}); err != nil {
		return nil, errors.Join(fmt.Errorf("register metrics of distribution: %w", err), s.own.Close())
	}
	handler, err := s.gateway()
	if err != nil {
		return nil, errors.Join(err, s.own.Close())
	}
	s.rest = &http.Server{Handler: handler, TLSConfig: &tls.Config{NextProtos: webProtocols}, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader, ErrorLog: newStdLogger(o.Logger)}
	return s, nil
}

// maxOpen bounds the connections of one listener that have shaken hands; idle
// ones end after a minute, and those that say nothing after five seconds.
const maxOpen = 4096

// webProtocols are what people's clients may speak.
var webProtocols = []string{"h2", "http/1.1"}

// guarded puts a lobby before each listener, so that whoever has not shown a
// certificate, or has not even shaken hands, holds nothing of ours but a place
// there.
func guarded(o Options) (rpc, rest net.Listener) {
	machines := o.TLS.Server(mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane, mtls.DataPlane, mtls.Gateway}})
	machines.NextProtos = []string{lobby.HTTP2}
	people := o.TLS.PublicServer()
	people.NextProtos = webProtocols
	return lobby.New(o.GRPC, lobby.Options{TLS: machines, Open: maxOpen}), lobby.New(o.REST, lobby.Options{TLS: people, Open: maxOpen})
}

func (s *Server) register(o Options) error {
	log, err := newAuditService(s.core, o.Signer)
	if err != nil {
		return fmt.Errorf("sign the audit log: %w", err)
	}
	controlv1.RegisterAuditServiceServer(s.grpc, log)
	controlv1.RegisterTenantServiceServer(s.grpc, tenantService{core: s.core})
	controlv1.RegisterBatchServiceServer(s.grpc, batchService{core: s.core})
	controlv1.RegisterKeyServiceServer(s.grpc, keyService{core: s.core})
	controlv1.RegisterPolicyServiceServer(s.grpc, policyService{core: s.core})
	controlv1.RegisterChangeServiceServer(s.grpc, changeService{core: s.core})
	controlv1.RegisterSigningKeyServiceServer(s.grpc, signingKeyService{core: s.core})
	controlv1.RegisterRecipientServiceServer(s.grpc, recipientService{core: s.core})
	controlv1.RegisterRegionServiceServer(s.grpc, regionService{core: s.core})
	controlv1.RegisterBasisServiceServer(s.grpc, basisService{core: s.core})
	controlv1.RegisterCatalogueServiceServer(s.grpc, catalogueService{core: s.core})
	controlv1.RegisterNodeServiceServer(s.grpc, nodeService{core: s.core})
	controlv1.RegisterViolationServiceServer(s.grpc, violationService{core: s.core})
	controlv1.RegisterLifecycleServiceServer(s.grpc, lifecycleService{core: s.core})
	controlv1.RegisterLongRunningServiceServer(s.grpc, longRunningService{work: s.work})
	controlv1.RegisterOperationsServiceServer(s.grpc, operationsService{core: s.core, peers: s.peers})
	controlv1.RegisterBackupServiceServer(s.grpc, backupService{backups: s.backups})
	controlv1.RegisterTokenServiceServer(s.grpc, tokenService{core: s.core})
	controlv1.RegisterPrincipalServiceServer(s.grpc, principalService{core: s.core})
	controlv1.RegisterLoginServiceServer(s.grpc, loginService{issuers: o.Issuers})
	controlv1.RegisterMemberServiceServer(s.grpc, memberService{core: s.core})
	controlv1.RegisterMembershipServiceServer(s.grpc, membershipService{core: s.core})
	controlv1.RegisterDistributionServiceServer(s.grpc, distributionService{core: s.core})
	return nil
}

// Serve answers on both listeners in the background; fatal is called when one
// of them fails by itself.
func (s *Server) Serve(fatal func(error)) {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	run := func(what string, f func() error) {
		s.done.Add(1)
		go func() {
			defer s.done.Done()
			if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, grpc.ErrServerStopped) {
				fatal(fmt.Errorf("serve %s: %w", what, err))
			}
		}()
	}
	run("gRPC", func() error { return s.grpc.Serve(s.on.grpc) })
	run("REST", func() error { return s.rest.Serve(s.on.rest) })
	run("membership", func() error { s.steward.Run(ctx); return nil })
	run("distribution", func() error { s.hub.run(ctx); return nil })
	run("violations", func() error { s.hub.recorder.run(ctx); return nil })
}

// Close takes no more requests, waits for those in flight until ctx ends, and
// then ends them.
func (s *Server) Close(ctx context.Context) error {
	close(s.work.closing) // calls that wait for an operation answer now
	err := s.rest.Shutdown(ctx)
	if s.stop != nil {
		s.stop() // streams end, or a graceful stop would wait for them forever
	}
	if lobby.End(ctx, s.grpc) != nil {
		err = errors.Join(err, s.rest.Close())
	}
	s.done.Wait()
	s.peers.close()
	s.backups.leader.close()
	return errors.Join(err, s.own.Close())
}
