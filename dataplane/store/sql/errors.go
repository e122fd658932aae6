package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/policy"
)

// damaged are the codes by which PostgreSQL says that its own bytes are not what
// it wrote.
func damaged(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && (said.Code == "XX001" || said.Code == "XX002")
}

// met are the codes of a transaction that lost against another; nothing of it is there.
func met(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && (said.Code == "40001" || said.Code == "40P01")
}

// refused reports that the database answered a statement with an error, so that it
// did nothing.
func refused(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said)
}

// meaning turns an error of the database, by which nothing was changed, into
// what the caller may do about it. The database's words stay in the cause: they
// may quote keys, which are tags.
func meaning(err error) error {
	var known *policy.Error
	if err == nil || damaged(err) || errors.As(err, &known) {
		return err
	}
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		if errors.Is(err, context.DeadlineExceeded) {
			return &policy.Error{Reason: policy.Overloaded, Cause: plain(err), Message: "the region's database did not answer in time; nothing was changed; try again in a moment"}
		}
		return &policy.Error{Reason: policy.NotReady, Cause: plain(err), Message: "the region's database does not answer; nothing was changed; try again in a moment"}
	}
	switch code := said.Code; {
	case met(err):
		return &policy.Error{Reason: policy.NotReady, Cause: errors.Join(sealed.ErrAgain, words(said)), Message: "another node got in between; nothing was changed; try again in a moment"}
	case code == "53100":
		return &policy.Error{Reason: policy.StorageFull, Cause: words(said), Message: "the region's database has no room left; give it more, then send this again"}
	case strings.HasPrefix(code, "53"), code == "55P03", code == "57014":
		return &policy.Error{Reason: policy.Overloaded, Cause: words(said), Message: "the region's database is overloaded; nothing was changed; try again in a moment"}
	case strings.HasPrefix(code, "57P"), strings.HasPrefix(code, "08"), code == "25006", code == "25P03", strings.HasPrefix(code, "28"), strings.HasPrefix(code, "3D"):
		return &policy.Error{Reason: policy.NotReady, Cause: words(said), Message: "the region's database takes no work; nothing was changed; try again in a moment"}
	}
	return &policy.Error{Reason: policy.Internal, Cause: words(said), Message: "the region's database refused a statement; see the node's log"}
}

// unknown is the error of a commit of which the database said nothing.
func unknown(err error) error {
	return &policy.Error{Reason: policy.OutcomeUnknown, Cause: plain(err),
		Message: "the region's database did not say whether it committed; the records may or may not be stored; send them again"}
}

// words says what the database said, without details, which quote values.
func words(said *pgconn.PgError) error {
	return fmt.Errorf("%s %s (SQLSTATE %s)", strings.ToLower(said.Severity), said.Message, said.Code)
}

// plain takes an error of connecting apart: pgx's names the user and the database.
func plain(err error) error {
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		return fmt.Errorf("connect: %w", errors.Unwrap(connecting))
	}
	return err
}

func isCode(err error, codes ...string) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && slices.Contains(codes, said.Code)
}

// away says what an error at the start means, and leaves the database's own.
func away(err error) error {
	if err == nil || refused(err) {
		return err
	}
	return plain(err)
}
