package power

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/domicile-io/domicile/api/data"
)

// known is what is known of one record.
type known byte

const (
	unsent known = iota
	sent         // it was sent, and nobody said what became of it
	acknowledged
)

// round is what was sent between two cuts. All its calls begin on one day, which
// no other round has, so that it can be read and counted by itself.
type round struct {
	n  int
	mu sync.Mutex

	calls      []known
	answers    map[int]string  // ids of calls that were answered one by one
	merged     map[int]known   // Kamailio: the call's acc; a cdr follows
	billed     map[int]known   // and its cdr
	recordings map[int]string  // acknowledged, by number → id
	broken     map[string]bool // payloads that were acknowledged into the quarantine
	persons    []*person
}

// person is somebody with three calls, who may be erased.
type person struct {
	round, n    int
	calls       known
	asked       bool   // an erasure was sent
	certificate string // and acknowledged
	executed    bool   // and seen as executed
}

// book is the ledger of everything that was sent, and what was said to it. Each
// acknowledgement is a line of a file on another filesystem than the node's, too.
type book struct {
	seed   uint64
	rounds []*round
	file   *bufio.Writer // under mu
	mu     sync.Mutex
	acks   atomic.Int64 // requests
	saved  atomic.Int64 // records
	late   atomic.Int64 // acknowledgements that came too late
	tokens atomic.Int64
	dark   func() bool // the cut has begun

	old []known // batches of the tenant whose retention ends them; under mu
}

func newBook(path string, seed uint64) (*book, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &book{seed: seed, file: bufio.NewWriter(f)}, nil
}

func (b *book) begin() *round {
	r := &round{n: len(b.rounds), answers: map[int]string{}, merged: map[int]known{}, billed: map[int]known{}, recordings: map[int]string{}, broken: map[string]bool{}}
	b.rounds = append(b.rounds, r)
	return r
}

// errDark says that an acknowledgement came when the power was already being cut.
var errDark = errors.New("the power is off")

// note writes an acknowledgement down. One that comes after the cut has begun is
// none: a machine without power answers nobody. (Here the process lives on for a
// moment, and ext4 may tell a sync that is under way while the filesystem is being
// stopped that it succeeded. What a node does on a disk that fails is judged by
// TestINV33_FailedSync.)
func (b *book) note(records int, format string, args ...any) error {
	if b.dark() {
		b.late.Add(1)
		return errDark
	}
	b.acks.Add(1)
	b.saved.Add(int64(records))
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := fmt.Fprintf(b.file, format+"\n", args...)
	return err
}

// take allots n calls of the round, as sent.
func (r *round) take(n int) (first int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first = len(r.calls)
	for range n {
		r.calls = append(r.calls, sent)
	}
	return first
}

func (r *round) acknowledge(first, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := first; i < first+n; i++ {
		r.calls[i] = acknowledged
	}
}

// day is the day of a round's calls.
func (r *round) day() time.Time {
	return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, r.n)
}

// personsDay is the day of its persons' calls.
func (r *round) personsDay() time.Time {
	return time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, r.n)
}

// drawn is bytes that depend on nothing but the seed and the names.
func (b *book) drawn(what string, round, n int) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64(fmt.Appendf(nil, "%s %d %d ", what, round, n), b.seed))
}

// call is the n-th call of a round: what is sent, and what must come back.
func (b *book) call(r *round, n int) data.NewCall {
	d := b.drawn("call", r.n, n)
	at := r.day().Add(time.Duration(binary.BigEndian.Uint32(d[0:])%86_000_000) * time.Millisecond)
	billed := int64(binary.BigEndian.Uint16(d[4:]))
	c := data.NewCall{NativeID: fmt.Sprintf("c%d-%d-%x", r.n, n, d[6:10]), From: fmt.Sprintf("+35386%07d", binary.BigEndian.Uint32(d[10:])%5000),
		To: fmt.Sprintf("+3531%07d", binary.BigEndian.Uint32(d[14:])%10_000_000), CallerName: hex.EncodeToString(d[:])[:8+int(d[18])%56],
		Direction: "inbound", Status: "no-answer", StartTime: &at}
	if d[19]&1 == 0 {
		c.Direction = "outbound"
	}
	if d[19]&2 == 0 {
		answer := at.Add(time.Second)
		c.Status, c.AnswerTime, c.BillsecMS = "completed", &answer, &billed
	}
	return c
}

// same says how a call that was read differs from what was sent.
func same(got *data.Call, want *data.NewCall) error {
	var billed int64
	if want.BillsecMS != nil {
		billed = *want.BillsecMS
	}
	type form struct {
		native, from, to, name, direction, status string
		start, answer                             time.Time
		billed                                    int64
	}
	moment := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return t.UTC()
	}
	a := form{got.NativeID, got.From.Raw, got.To.Raw, got.CallerName, got.Direction, got.Status, moment(got.StartTime), moment(got.AnswerTime), got.BillsecMS}
	b := form{want.NativeID, want.From, want.To, want.CallerName, want.Direction, want.Status, moment(want.StartTime), moment(want.AnswerTime), billed}
	if a != b || got.Versions != 1 {
		return fmt.Errorf("%+v (%d versions), and what was sent is %+v", a, got.Versions, b)
	}
	return nil
}

// number is a person's, whom nobody else calls.
func (p *person) number() string { return fmt.Sprintf("+35387%05d%02d", p.round, p.n) }

func (p *person) native(i int) string { return fmt.Sprintf("p%d-%d-%d", p.round, p.n, i) }

// wav is the n-th recording of a round.
func (b *book) wav(r *round, n int) []byte {
	d := b.drawn("wav", r.n, n)
	size := 2000 + int(binary.BigEndian.Uint16(d[:]))
	out := make([]byte, 44, 44+size+32)
	for i := 0; len(out) < 44+size; i++ {
		block := b.drawn("sound", r.n, n<<16+i)
		out = append(out, block[:]...)
	}
	out = out[:44+size&^1]
	copy(out, "RIFF")
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	copy(out[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(out[16:], 16)
	binary.LittleEndian.PutUint16(out[20:], 1)
	binary.LittleEndian.PutUint16(out[22:], 1)
	binary.LittleEndian.PutUint32(out[24:], 8000)
	binary.LittleEndian.PutUint32(out[28:], 16000)
	binary.LittleEndian.PutUint16(out[32:], 2)
	binary.LittleEndian.PutUint16(out[34:], 16)
	copy(out[36:], "data")
	binary.LittleEndian.PutUint32(out[40:], uint32(len(out)-44))
	return out
}
