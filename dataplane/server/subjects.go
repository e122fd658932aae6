package server

import (
	"bufio"
	"mime"
	"net/http"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/policy"
)

// subjects is what answers the routes about persons, or NOT_YET.
func (x *exchange) subjects() (*subject.Service, error) {
	if x.s.o.Subjects == nil {
		return nil, errNotYet
	}
	return x.s.o.Subjects, nil
}

// person reads whom a request is about. needed says that it must name somebody.
func (x *exchange) person(ref data.SubjectRef) (subject.Who, error) {
	var bad []policy.FieldError
	fail := func(field, message string) { bad = append(bad, policy.FieldError{Field: field, Message: message}) }
	switch {
	case ref.Number == "":
		fail("number", "is required")
	case len(ref.Number) > maxNumber:
		fail("number", "is too long")
	}
	if len(ref.Instance) > maxNumber {
		fail("instance", "is too long")
	}
	if ref.Subject != "" && !policy.ValidID(policy.KindSubject, ref.Subject) {
		fail("subject_id", "is not SU and 32 hex digits")
	}
	if err := invalid(bad); err != nil {
		return subject.Who{}, err
	}
	w := subject.Who{Instance: ref.Instance, Subject: ref.Subject}
	if w.Party.Raw = ref.Number; ref.Instance == "" {
		w.Party = x.s.numbers.Party(ref.Number, x.s.o.DefaultCountry)
	}
	if w.Party.Raw == "" {
		return w, invalid([]policy.FieldError{{Field: "number", Message: "is what sources write when a number is withheld, and is nobody's"}})
	}
	return w, nil
}

// plainBody decodes the body of a route that takes no parameters.
func (x *exchange) plainBody(into any) error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	return x.decode(into)
}

// findSubjects answers who had a number and when, with how many calls each has; the number stands in the body.
func (x *exchange) findSubjects() error {
	service, err := x.subjects()
	if err != nil {
		return err
	}
	var in data.SubjectRef
	if err := x.plainBody(&in); err != nil {
		return err
	}
	who, err := x.person(in)
	if err != nil {
		return err
	}
	owners, err := service.Find(x.r.Context(), x.who.Tenant, who)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, data.Owners{Owners: owners})
}

// reassignSubject records that a number went to somebody else: from that time on its holder is another person.
func (x *exchange) reassignSubject() error {
	service, err := x.subjects()
	if err != nil {
		return err
	}
	var in data.SubjectReassign
	if err := x.plainBody(&in); err != nil {
		return err
	}
	who, err := x.person(in.SubjectRef)
	if err != nil {
		return err
	}
	if in.Time.IsZero() {
		return invalid([]policy.FieldError{{Field: "time", Message: "is required"}})
	}
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	owners, err := service.Reassign(ctx, x.who.Tenant, who, in.Time)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, data.Owners{Owners: owners})
}

// exportSubject streams an archive. What goes wrong once it has begun cuts the
// connection, so that half an archive never looks whole.
func (x *exchange) exportSubject() error {
	service, err := x.subjects()
	if err != nil {
		return err
	}
	var in data.SubjectExport
	if err := x.plainBody(&in); err != nil {
		return err
	}
	who, err := x.person(in.SubjectRef)
	if err != nil {
		return err
	}
	out := &lateHeader{x: x, still: x.still(policy.Process, policy.CallRecord), w: bufio.NewWriterSize(&pacedWriter{w: x.w, place: x.place, rc: http.NewResponseController(x.w.ResponseWriter)}, 64<<10)}
	if err := service.Export(x.r.Context(), x.who.Tenant, who, in.WithoutMedia, out); err != nil {
		return err
	}
	return out.w.Flush()
}

// lateHeader begins the answer with the first byte of the archive, so that what
// is refused before it is a problem document. A client may take an archive for
// hours, so that it is decided again meanwhile.
type lateHeader struct {
	x     *exchange
	w     *bufio.Writer
	still func() error
}

func (l *lateHeader) Write(b []byte) (int, error) {
	if err := l.still(); err != nil {
		return 0, err
	}
	if h := l.x.w.Header(); l.x.w.status == 0 && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/zip")
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": "subject.zip"}))
		h.Set("Cache-Control", "no-store")
	}
	return l.w.Write(b)
}

// eraseSubject begins an erasure; the certificate says how it goes on.
func (x *exchange) eraseSubject() error {
	service, err := x.subjects()
	if err != nil {
		return err
	}
	var in data.SubjectRef
	if err := x.plainBody(&in); err != nil {
		return err
	}
	who, err := x.person(in)
	if err != nil {
		return err
	}
	ctx, cancel := x.detached(time.Minute)
	defer cancel()
	c, err := service.Erase(ctx, x.who.Tenant, who)
	if err != nil {
		return err
	}
	x.w.Header().Set("Location", "/v1/certificates/"+c.ID)
	return x.answer(http.StatusAccepted, c)
}

// certificate answers one certificate of an erasure.
func (x *exchange) certificate() error {
	service, err := x.subjects()
	if err != nil {
		return err
	}
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	c, err := service.Certificate(x.r.Context(), x.who.Tenant, x.r.PathValue("id"))
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, c)
}

// certificates answers the certificates of erasures.
func (x *exchange) certificates() error {
	service, err := x.subjects()
	if err != nil {
		return err
	}
	p := newParams(x.r.URL)
	size, token := p.pageSize(), p.take("page_token")
	if err := p.done(); err != nil {
		return err
	}
	list, next, err := service.Certificates(x.r.Context(), x.who.Tenant, size, token)
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, data.Certificates{Certificates: list, NextPageToken: next})
}
