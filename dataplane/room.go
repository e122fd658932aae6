package dataplane

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/disk"
)

// diskEvery is how often the disk is looked at.
const diskEvery = time.Second

// openDisk opens the gauge of the data folder's disk and the reserve on it, before
// anything that writes there. Nodes over a database have no reserve: what they
// destroy stands elsewhere.
func (n *Node) openDisk(Options) error {
	n.disk = disk.New(n.cfg.DataDir)
	if !n.cfg.shared() {
		reserve, err := disk.OpenReserve(n.disk, n.cfg.DataDir, n.cfg.DiskReserve)
		if err != nil {
			return err
		}
		n.reserve = reserve
	}
	gauge := func(name, help string, read func() float64) {
		n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	room := func() disk.Room { room, _ := n.disk.Room(time.Now()); return room }
	gauge("domicile_disk_used_share", "Used share of the data folder's disk, in [0, 1].", func() float64 { return room().Used() })
	gauge("domicile_disk_free_bytes", "What is free on the data folder's disk, beside the reserve.", func() float64 { return float64(room().Free) })
	gauge("domicile_disk_full", "1 while nothing is taken in, because the disk is full (507 STORAGE_FULL).", func() float64 { return flag(room().Full()) })
	gauge("domicile_disk_reserve_bytes", "What is left of the reserve in which erasures work on a full disk.", func() float64 { has, _, _ := n.reserve.State(); return float64(has) })
	gauge("domicile_disk_reserve_wanted_bytes", "What the reserve is when it is whole.", func() float64 { _, want, _ := n.reserve.State(); return float64(want) })

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); n.watchDisk(ctx) }()
	n.onClose("disk's watch", func(context.Context) error { cancel(); <-ended; return nil })
	return nil
}

// noRoom is what pebble asks when a write found no room. A merge of tables may wait
// until there is some, unless it is part of destroying.
func (n *Node) noRoom(patient bool) {
	if !patient || n.reserve.InUse() {
		n.reserve.Spend()
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// watchDisk keeps the reserve, and tells the log once of each change that an
// operator should know of.
func (n *Node) watchDisk(ctx context.Context) {
	var fills, full, spent bool
	for ; ctx.Err() == nil; wait(ctx, diskEvery) {
		n.reserve.Tick()
		room, err := n.disk.Room(time.Now())
		if err != nil {
			continue // whoever writes will say
		}
		percent := int(100 * room.Used())
		changed := func(was *bool, is bool) bool {
			turned := is && !*was
			*was = is
			return turned
		}
		if changed(&full, room.Full()) {
			n.log.Error("the disk is full: nothing is taken in, and what is there is shown and erased; make room", "used_percent", percent, "free_bytes", room.Free)
		} else if changed(&fills, !full && room.Used() >= disk.WarnShare) {
			n.log.Warn("the disk fills; at 95 %, or when little is free, nothing is taken in", "used_percent", percent, "free_bytes", room.Free)
		}
		has, want, failed := n.reserve.State()
		if changed(&spent, has < want) {
			cause := "it was spent on a full disk, or there has been no room for it"
			if failed != nil {
				cause = failed.Error()
			}
			n.log.Warn("the disk's reserve for erasures is not whole", "bytes", has, "wanted_bytes", want, "cause", cause)
		}
	}
}
