package journal

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// load reads every file. Of the last one, the end may be a batch that a crash cut
// short; everything else that cannot be read is damage.
func (j *Journal) load(paths []string) error {
	want := uint64(0) // number of the next record; 0: whatever the first file says
	for i, path := range paths {
		s, err := openSegment(path)
		if err != nil {
			return err
		}
		j.segments = append(j.segments, s)
		if j.mark.cut != 0 && s.base >= j.mark.cut {
			continue // on its way out
		}
		if want != 0 && s.base != want {
			return fmt.Errorf("record %d is missing: the next file begins at %d: %w", want, s.base, ErrDamaged)
		}
		if err := j.scan(s, i == len(paths)-1); err != nil {
			return err
		}
		want = s.end()
	}
	if j.mark.cut != 0 {
		return j.cut(j.mark.cut)
	}
	if last := j.last(); last < j.mark.index {
		return fmt.Errorf("it ends at record %d, and record %d had been synced: %w", last, j.mark.index, ErrDamaged)
	}
	return nil
}

func openSegment(path string) (*segment, error) {
	base, err := baseOf(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a file of the journal: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open a file of the journal: %w", err)
	}
	head := make([]byte, segmentHeader)
	if _, err := f.ReadAt(head, 0); err != nil || !bytes.Equal(head, headOf(base)) {
		return nil, fmt.Errorf("%s does not begin as a file of the journal: %w", path, ErrDamaged)
	}
	return &segment{file: f, path: path, size: int(info.Size()), base: base, next: segmentHeader}, nil
}

// scan reads the records of one file.
func (j *Journal) scan(s *segment, tail bool) error {
	raw := make([]byte, s.size)
	if _, err := io.ReadFull(io.NewSectionReader(s.file, 0, int64(s.size)), raw); err != nil {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	for j.mark.cut == 0 || s.end() < j.mark.cut {
		h, _, ok := parseFrame(raw[s.next:])
		if !ok || h.index != s.end() || int(s.next)+frameSize(h.length) > len(raw) {
			return j.judge(s, raw, tail)
		}
		s.extend([]uint32{s.next}, frameSize(h.length))
	}
	return nil
}

// judge decides what the place is where no record stands. In a file that others
// follow it is the end of the file, which the next one's number confirms. In the
// last one it is the end of the journal, unless a record of a later batch stands
// behind it: that batch was begun because this one was synced, so the disk lost
// it. What a crash cut short is overwritten with zeros, so that no piece of it
// can ever be taken for a record.
func (j *Journal) judge(s *segment, raw []byte, tail bool) error {
	rest := raw[s.next:]
	end := uint32(len(bytes.TrimRight(rest, "\x00")))
	if !tail || end == 0 {
		return nil
	}
	missing := s.end()
	for at := 0; at+headerSize <= len(rest); at += alignment {
		h, _, ok := parseFrame(rest[at:])
		if ok && h.batch > missing {
			return fmt.Errorf("record %d of %s cannot be read, and record %d was written after it was synced: %w", missing, s.path, h.index, ErrDamaged)
		}
	}
	if missing <= j.mark.index {
		return fmt.Errorf("record %d of %s cannot be read, and had been synced: %w", missing, s.path, ErrDamaged)
	}
	return s.clear(s.next)
}
