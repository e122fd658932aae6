package journal

// TruncateAfter removes the records behind last, which may be written again.
func (j *Journal) TruncateAfter(last uint64) error {
	j.write.Lock()
	defer j.write.Unlock()
	if err := j.Sync(); err != nil { // what stays counts as synced afterwards
		return err
	}
	return j.cut(last + 1)
}

// DropBefore drops the records below first. Files go whole: a record beside one
// that stays is gone from the answers at once, and from the disk with its file, so
// that it may be there again after the next Open.
func (j *Journal) DropBefore(first uint64) error {
	j.write.Lock()
	defer j.write.Unlock()
	if first > j.Last() {
		return j.cut(1)
	}
	j.flush.Lock()
	defer j.flush.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dropped = max(j.dropped, first)
	for len(j.segments) > 1 && j.segments[1].base <= first {
		if err := j.segments[0].remove(); err != nil {
			return err
		}
		j.segments = j.segments[1:]
	}
	return nil
}

// cut removes record from and all behind it. That it is under way is durable
// first, so that Open takes what a crash leaves of it neither for records nor for
// damage, and does it again. write is held, or the journal is being opened.
func (j *Journal) cut(from uint64) error {
	j.flush.Lock()
	defer j.flush.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	last := uint64(0)
	if len(j.segments) > 0 && from > j.segments[0].base {
		last = from - 1
	} else {
		j.dropped = 0
	}
	if err := j.mark.removing(last, from); err != nil {
		return err
	}
	for len(j.segments) > 0 && j.tail().base >= from {
		if err := j.tail().remove(); err != nil {
			return err
		}
		j.segments = j.segments[:len(j.segments)-1]
	}
	if err := syncFolder(j.dir); err != nil {
		return err
	}
	if len(j.segments) > 0 {
		s := j.tail()
		if keep := from - s.base; keep < uint64(len(s.offsets)) {
			s.next = s.offsets[keep]
			s.offsets = s.offsets[:keep]
		}
		if err := s.clear(s.next); err != nil {
			return err
		}
	}
	j.retreat(last)
	return j.mark.removing(last, 0)
}
