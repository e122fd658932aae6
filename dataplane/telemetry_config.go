package dataplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/server"
	"github.com/domicile-io/domicile/dataplane/telemetry"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// TelemetryConfig is the section `telemetry`: where traces go.
type TelemetryConfig struct {
	Collector string  `yaml:"collector"` // host:port of an OpenTelemetry collector: OTLP over gRPC and TLS
	Region    string  `yaml:"region"`    // where the collector is: the node's own region, because spans carry exact times
	CA        string  `yaml:"ca"`        // PEM file of the authority of its certificate; "" the system's
	Share     float64 `yaml:"share"`     // of requests that are traced, up to 1; default 0.01
}

const defaultShare = 0.01

// check names every setting that is malformed; a nil section traces nothing.
func (c *TelemetryConfig) check(region string) error {
	if c == nil {
		return nil
	}
	var bad []error
	if _, _, err := net.SplitHostPort(c.Collector); err != nil {
		bad = append(bad, errors.New("telemetry.collector: give host:port of an OpenTelemetry collector"))
	}
	if c.Region != region {
		bad = append(bad, fmt.Errorf("telemetry.region: spans carry exact times and must not leave the region; give %s, and a collector that is there", region))
	}
	if c.Share < 0 || c.Share > 1 {
		bad = append(bad, errors.New("telemetry.share: give a share of requests from 0 to 1"))
	}
	return errors.Join(bad...)
}

// openTraces opens the way to the collector. A collector that is away stops
// nothing.
func (n *Node) openTraces(Options) error {
	c := n.cfg.Telemetry
	if c == nil {
		return nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		roots, err := mtls.LoadRoots(c.CA)
		if err != nil {
			return fmt.Errorf("read telemetry.ca: %w", err)
		}
		config.RootCAs = roots
	}
	if err := n.door.Allow(policy.Telemetry, c.Collector); err != nil {
		return err
	}
	conn, err := n.door.GRPC(egress.Route{Class: policy.Telemetry, Region: n.region()}, c.Collector, config)
	if err != nil {
		return err
	}
	n.onClose("connection to the collector", func(context.Context) error { return conn.Close() })
	share := c.Share
	if share == 0 {
		share = defaultShare
	}
	n.traces, err = telemetry.Open(context.Background(), telemetry.Options{Region: n.region(), Routes: server.Patterns(), Share: share, Conn: conn, Logger: n.log, Metrics: n.registry})
	if err != nil {
		return err
	}
	n.onClose("traces", n.closeTraces)
	return nil
}

// closeTraces sends what waits; what the collector does not take is lost.
func (n *Node) closeTraces(ctx context.Context) error {
	if err := n.traces.Close(ctx); err != nil {
		n.log.Warn("the last traces were not sent", "cause", err.Error())
	}
	return nil
}
