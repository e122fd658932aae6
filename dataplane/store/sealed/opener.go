package sealed

const (
	// scanRows is how many rows a scan reads before their turn: those of a few frames.
	scanRows = 512
	// openAhead is how many frames are opened before their turn. With those at hand
	// they bound what a scan holds.
	openAhead = 4
)

// opener opens frames for a scan, in the order in which they are asked for, while
// the scan's calls are written. It belongs to one scan and ends with it.
type opener struct {
	asks    chan ask
	opened  chan found
	waiting []ask // asked for and not taken yet, in order
}

// ask is for a frame to be opened.
type ask struct {
	tenant tenantRaw
	chunk  int64
	number uint16
	slot   int  // of the scanner's frames
	common bool // with the cache of point reads
}

// foresee asks for the frames that the next rows lead to, as long as there is room
// that none of the rows before them wants: so the call that was read last stays as it
// is, and no frame is opened twice to open others early.
func (sc *scanner) foresee(t tenantRaw) {
	for r := &sc.rows; r.seen < r.n; r.seen++ {
		row := r.at(r.seen)
		_, at, ok := placeOf(row.suffix[:], row.value)
		if !ok || sc.wanted(at.chunk, at.frame, r.given+r.seen) {
			continue
		}
		slot, free := sc.room()
		if !free || sc.opener != nil && len(sc.opener.waiting) == openAhead {
			return
		}
		if sc.opener == nil {
			sc.startOpener()
		}
		a := ask{t, at.chunk, at.frame, slot, sc.many(sc.opened + len(sc.opener.waiting))}
		sc.frames[slot], sc.until[slot] = nil, r.given+r.seen
		sc.opener.waiting = append(sc.opener.waiting, a)
		sc.opener.asks <- a // has room for openAhead
	}
}

// wanted notes that a row wants a frame; false when it is neither at hand nor asked
// for.
func (sc *scanner) wanted(chunk int64, number uint16, row int) bool {
	if sc.opener.asksLast(chunk, number) { // as most rows do that are looked at before their turn
		sc.until[sc.opener.waiting[len(sc.opener.waiting)-1].slot] = row
		return true
	}
	for i := range sc.frames {
		i = (sc.near + i) % scanFrames
		if f := sc.frames[i]; f != nil && f.chunk == chunk && f.number == number {
			sc.near, sc.until[i] = i, row
			return true
		}
	}
	if sc.opener == nil {
		return false
	}
	for _, a := range sc.opener.waiting {
		if a.chunk == chunk && a.number == number {
			sc.until[a.slot] = row
			return true
		}
	}
	return false
}

// await takes what was asked for until the frame has come; nil when it could not be
// opened.
func (sc *scanner) await(chunk int64, number uint16) *frame {
	o := sc.opener
	for {
		a := o.waiting[0]
		o.waiting = append(o.waiting[:0], o.waiting[1:]...)
		f := sc.settle(<-o.opened)
		if a.chunk == chunk && a.number == number {
			sc.last = a.slot
			return f
		}
	}
}

// startOpener begins to open frames beside the scan. The store does not close before
// it has ended: the scan that it is of is still working.
func (sc *scanner) startOpener() {
	o := &opener{asks: make(chan ask, openAhead), opened: make(chan found, openAhead)}
	sc.opener = o
	sc.s.working.Add(1)
	go func() {
		defer sc.s.working.Done()
		defer close(o.opened)
		for a := range o.asks {
			o.opened <- sc.tryOpen(a) // has room for openAhead
		}
	}()
}

// tryOpen is open for a goroutine of its own: a panic there is left to whoever comes
// across the same frame in the request's.
func (sc *scanner) tryOpen(a ask) (out found) {
	defer func() {
		if recover() != nil {
			out = found{slot: a.slot}
		}
	}()
	return sc.open(a.slot, a.tenant, a.chunk, a.number, a.common)
}

// asked reports whether a frame was asked for and has not been taken.
func (o *opener) asked(chunk int64, number uint16) bool {
	if o == nil {
		return false
	}
	for i := range o.waiting {
		if o.waiting[i].chunk == chunk && o.waiting[i].number == number {
			return true
		}
	}
	return false
}

// asksLast reports whether a frame is the one that was asked for last, and has not been taken.
func (o *opener) asksLast(chunk int64, number uint16) bool {
	if o == nil || len(o.waiting) == 0 {
		return false
	}
	a := &o.waiting[len(o.waiting)-1]
	return a.chunk == chunk && a.number == number
}

// opens reports whether a slot's room may be written to now.
func (o *opener) opens(slot int) bool {
	if o == nil {
		return false
	}
	for i := range o.waiting {
		if o.waiting[i].slot == slot {
			return true
		}
	}
	return false
}

// end waits until nothing is written any more; what has not begun is not opened.
func (o *opener) end() {
	if o == nil {
		return
	}
	for {
		select {
		case <-o.asks: // not begun
			continue
		default:
		}
		break
	}
	close(o.asks)
	for range o.opened {
	}
}
