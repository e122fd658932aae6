// Package recovery is what two people sign before a voter that survived a lost
// quorum may go on alone, and how their signatures are checked.
//
// The operator's offline root certifies the recovery keys of people, named by
// opaque ids. A statement says what is about to be done, to which cluster, from
// which point of its log. Signatures are over the exact statement; two of one
// person count once.
package recovery

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Format of a statement.
const Format = 1

// MaxAge is how old a statement may be when it is carried out: what its signers
// knew of the other voters does not stay true.
const MaxAge = 24 * time.Hour

// Statement is what two people sign.
type Statement struct {
	Format    int       `json:"format"`
	Cluster   string    `json:"cluster"`    // CL…
	Survivor  string    `json:"survivor"`   // the voter that goes on, alone
	Lost      []string  `json:"lost"`       // the other voters; they may never run again on the data they have
	LastIndex uint64    `json:"last_index"` // where the survivor's log ends, committed or not
	LastTerm  uint64    `json:"last_term"`
	Revision  uint64    `json:"revision"` // of the survivor's state; its log may hold more
	Epoch     uint64    `json:"epoch"`    // the cluster epoch that begins
	Time      time.Time `json:"time"`     // UTC, whole seconds: when it was made
}

var voterForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// Check holds a statement against its closed forms.
func (s Statement) Check() error {
	if s.Format != Format {
		return fmt.Errorf("the statement has format %d and this program reads format %d", s.Format, Format)
	}
	for _, v := range append([]string{s.Survivor}, s.Lost...) {
		if !voterForm.MatchString(v) {
			return errors.New("the statement names a voter that can be none")
		}
	}
	switch {
	case !policy.ValidID(policy.KindCluster, s.Cluster):
		return errors.New("the statement names no cluster")
	case s.LastIndex == 0 || s.LastTerm == 0:
		return errors.New("the statement says nothing of the log")
	case s.Epoch <= policy.EpochOf(s.Revision) || s.Epoch > policy.MaxEpoch:
		return errors.New("the statement's epoch does not follow that of its revision")
	case s.Time.IsZero() || !s.Time.Equal(s.Time.UTC().Truncate(time.Second)):
		return errors.New("the statement's time is not in whole seconds")
	}
	return nil
}

// Bytes is what is signed: one line for each field, none of which can hold a
// line break.
func (s Statement) Bytes() []byte {
	return fmt.Appendf(nil, "domicile recovery statement v%d\n%s\n%s\n%s\n%d\n%d\n%d\n%d\n%d\n", s.Format, s.Cluster, s.Survivor,
		strings.Join(s.Lost, ","), s.LastIndex, s.LastTerm, s.Revision, s.Epoch, s.Time.Unix())
}

// SHA256 names the statement, in the audit log too.
func (s Statement) SHA256() string {
	sum := sha256.Sum256(s.Bytes())
	return hex.EncodeToString(sum[:])
}

// Words says in plain words what signing it does.
func (s Statement) Words() []string {
	lost := strings.Join(s.Lost, ", ")
	return []string{
		fmt.Sprintf("Cluster %s has lost its quorum. Voter %s goes on alone, from where its log ends: entry %d of term %d.", s.Cluster, s.Survivor, s.LastIndex, s.LastTerm),
		fmt.Sprintf("Voters %s are given up. What only they had is lost, changes that were acknowledged included. Their data must be destroyed: they may never run again on it.", lost),
		"What the survivor's log holds and was never committed becomes part of the state.",
		fmt.Sprintf("Cluster epoch %d begins. All tokens are void, pending changes lapse, and one new operator's token is written into a file on the survivor.", s.Epoch),
		fmt.Sprintf("It was made at %s and can be carried out until %s.", s.Time.Format(time.RFC3339), s.Time.Add(MaxAge).Format(time.RFC3339)),
	}
}
