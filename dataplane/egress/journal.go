package egress

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// The journal is one text file, egress.ledger: a header line, then one line per
// change, each "<crc32c, 8 hex> <json>\n". A change adds to a key's counts of a
// day. Opening folds all lines and writes a fresh file; so does growing past
// twice the size of the last one.
// LedgerFile is the ledger's name in its folder.
const LedgerFile = "egress.ledger"

const (
	journalFile   = LedgerFile
	journalFormat = 1
	maxLine       = 4 << 10
	minRewrite    = 1 << 20
	keepDays      = 35 * 24 * time.Hour // older days are folded into their month
)

// line is one change.
type line struct {
	day string
	key key
	sum sum
}

type lineJSON struct {
	Format      int             `json:"format,omitempty"` // the header only
	Region      policy.RegionID `json:"region,omitempty"` // header: whose ledger; else the destination's
	Day         string          `json:"day,omitempty"`
	Class       string          `json:"class,omitempty"`
	Destination string          `json:"to,omitempty"`
	Boundary    policy.Boundary `json:"boundary,omitempty"`
	Basis       string          `json:"basis,omitempty"`
	Tenant      policy.TenantID `json:"tenant,omitempty"`
	Opened      int64           `json:"opened,omitempty"`
	Failed      int64           `json:"failed,omitempty"`
	Out         int64           `json:"out,omitempty"`
	In          int64           `json:"in,omitempty"`
	Last        int64           `json:"last,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type journal struct {
	dir    string
	region policy.RegionID
	f      *os.File             // nil after a failure
	size   int64                // of the file
	base   int64                // of the file when it was last rewritten
	sync   func(*os.File) error // (*os.File).Sync but in tests of a disk that hangs
}

// openJournal folds an existing journal, or makes a new one. A line that does
// not check, with good ones after it, is damage: the file is kept beside the
// new one and reported. At the end of the file it is a torn write that was
// never relied on.
func openJournal(dir string, region policy.RegionID, now time.Time, log *slog.Logger) (*journal, map[string]map[key]sum, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the egress ledger's folder: %w", err)
	}
	j := &journal{dir: dir, region: region, sync: (*os.File).Sync}
	days := map[string]map[key]sum{}
	path := filepath.Join(dir, journalFile)
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, nil, fmt.Errorf("open the egress ledger: %w", err)
	default:
		damaged, err := readJournal(f, region, days)
		_ = f.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("read the egress ledger %s: %w", path, err)
		}
		if damaged > 0 {
			aside := path + ".damaged-" + strconv.FormatInt(now.Unix(), 10)
			if err := os.Link(path, aside); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, nil, fmt.Errorf("keep the damaged egress ledger: %w", err)
			}
			log.Error("egress ledger is damaged: the lines that check are counted, the file is kept", "lines", damaged, "file", aside)
		}
	}
	foldMonths(days, now)
	if err := j.rewrite(days); err != nil {
		return nil, nil, err
	}
	return j, days, nil
}

// readJournal folds every line that checks into days and counts the damaged ones.
func readJournal(r io.Reader, region policy.RegionID, days map[string]map[key]sum) (damaged int, err error) {
	in := bufio.NewReaderSize(r, maxLine)
	bad, first := 0, true
	for {
		raw, err := in.ReadSlice('\n')
		if err == io.EOF {
			return damaged, nil // what is left has no end: torn
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return damaged, err
		}
		n, ok := decodeLine(raw)
		if !ok {
			bad++
			first = false
			continue
		}
		damaged, bad = damaged+bad, 0
		switch {
		case n.Format != 0 && (n.Format != journalFormat || n.Region != region):
			return damaged, fmt.Errorf("it is of format %d and region %s, this node is %d and %s; give each node a folder of its own", n.Format, n.Region, journalFormat, region)
		case n.Format != 0:
		default:
			if first {
				damaged++ // the header is missing
			}
			class, err := policy.ParseEgressClass(n.Class)
			if err != nil {
				return damaged, err
			}
			into(days, line{day: n.Day, key: key{class: class, destination: n.Destination, region: n.Region, boundary: n.Boundary, basis: n.Basis, tenant: n.Tenant},
				sum: sum{opened: n.Opened, failed: n.Failed, out: n.Out, in: n.In, last: n.Last}})
		}
		first = false
	}
}

func decodeLine(raw []byte) (n lineJSON, ok bool) {
	if len(raw) < 10 || raw[8] != ' ' || raw[len(raw)-1] != '\n' {
		return n, false
	}
	body := raw[9 : len(raw)-1]
	want, err := strconv.ParseUint(string(raw[:8]), 16, 32)
	if err != nil || crc32.Checksum(body, castagnoli) != uint32(want) {
		return n, false
	}
	return n, json.Unmarshal(body, &n) == nil
}

func encodeLine(b *bytes.Buffer, n lineJSON) error {
	body, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode a line of the egress ledger: %w", err)
	}
	if len(body)+10 > maxLine {
		return fmt.Errorf("a line of the egress ledger is %d bytes, more than %d", len(body), maxLine)
	}
	fmt.Fprintf(b, "%08x %s\n", crc32.Checksum(body, castagnoli), body)
	return nil
}

func (n line) encode(b *bytes.Buffer) error {
	return encodeLine(b, lineJSON{Day: n.day, Class: n.key.class.String(), Destination: n.key.destination, Region: n.key.region,
		Boundary: n.key.boundary, Basis: n.key.basis, Tenant: n.key.tenant,
		Opened: n.sum.opened, Failed: n.sum.failed, Out: n.sum.out, In: n.sum.in, Last: n.sum.last})
}

func (j *journal) full() bool { return j.size > minRewrite && j.size > 2*j.base }

// append makes lines durable. After an error the journal must be rewritten.
func (j *journal) append(lines []line) error {
	if len(lines) == 0 {
		return nil
	}
	if j.f == nil {
		return errors.New("append to the egress ledger: it is closed")
	}
	var b bytes.Buffer
	for _, n := range lines {
		if err := n.encode(&b); err != nil {
			return err
		}
	}
	n, err := j.f.Write(b.Bytes())
	j.size += int64(n)
	if err == nil {
		err = j.sync(j.f)
	}
	if err != nil {
		_ = j.close() // an unsynced descriptor is never used again
		return fmt.Errorf("append to the egress ledger: %w", err)
	}
	return nil
}

// rewrite replaces the file by one that holds exactly days.
func (j *journal) rewrite(days map[string]map[key]sum) error {
	var b bytes.Buffer
	if err := encodeLine(&b, lineJSON{Format: journalFormat, Region: j.region}); err != nil {
		return err
	}
	for day, m := range days {
		for k, s := range m {
			if err := (line{day, k, s}).encode(&b); err != nil {
				return err
			}
		}
	}
	_ = j.close()
	path := filepath.Join(j.dir, journalFile)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the egress ledger: %w", err)
	}
	_, err = f.Write(b.Bytes())
	if err == nil {
		err = j.sync(f)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(j.dir)
	}
	if err != nil {
		return fmt.Errorf("write the egress ledger: %w", errors.Join(err, f.Close()))
	}
	j.f, j.size, j.base = f, int64(b.Len()), int64(b.Len())
	return nil
}

// foldMonths adds days that are older than keepDays to their month.
func foldMonths(days map[string]map[key]sum, now time.Time) {
	oldest := now.UTC().Add(-keepDays).Format(time.DateOnly)
	var old []string
	for day := range days {
		if len(day) == len(time.DateOnly) && day < oldest {
			old = append(old, day)
		}
	}
	slices.Sort(old)
	for _, day := range old {
		for k, s := range days[day] {
			into(days, line{day: day[:len("2006-01")], key: k, sum: s})
		}
		delete(days, day)
	}
}

func (j *journal) close() error {
	if j.f == nil {
		return nil
	}
	f := j.f
	j.f = nil
	return f.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
