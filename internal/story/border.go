package story

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
)

// needed is k + m of the story's recipient: its threshold and whom it may control.
const needed = 10 + 3

// arriveLimit bounds the wait for an export: a window must close, be judged and be sent.
const arriveLimit = 45 * time.Second

// crossBorder waits for the export of the generated calls and shows both sides.
func (t *teller) crossBorder(ctx context.Context) error {
	h := t.homes[0]
	there := t.regionClient(recipientsIn, h.recipientKey)
	_, err := there.Received(ctx, h.recipient, "")
	if notYet(err) {
		t.Screen.Note("not yet: exports are not built in this version, so nothing has left and nothing arrived")
		return nil
	}
	if err != nil {
		return err
	}
	t.Screen.Note("waiting for an export window to close and be judged …")
	sent, err := t.awaitTransfers(ctx, h)
	if err != nil {
		return err
	}
	rows, err := t.received(ctx, there, h.recipient)
	if err != nil {
		return err
	}
	g := t.generated
	if err := t.check(sent.rows == g.passes && len(rows) >= sent.rows,
		"%d rows reached %s: their class has %d distinct callers, and %d are needed", sent.rows, recipientsIn, g.crowd, needed); err != nil {
		return err
	}
	if err := t.check(sent.suppressed >= g.withheld,
		"%d rows stayed in %s: of the %d calls from London, for one, only %d callers could be told apart", sent.suppressed, h.region, g.withheld, g.alone); err != nil {
		return err
	}
	if err := t.noNumbers(rows); err != nil {
		return err
	}
	if err := t.sideBySide(ctx, h, rows); err != nil {
		return err
	}
	t.command("transfers %s", sent.last)
	t.Screen.Command(fmt.Sprintf("DOMICILE_KEY=$(%s recipients key %s %s) %s received --recipient %s", t.Program, h.slug, h.recipient, t.Program, h.recipient))
	return nil
}

// received reads everything that reached a recipient.
func (t *teller) received(ctx context.Context, there *client.Region, recipient string) ([]data.PseudonymRow, error) {
	var rows []data.PseudonymRow
	for cursor := ""; ; {
		page, err := there.Received(ctx, recipient, cursor)
		if err != nil {
			return nil, err
		}
		rows = append(rows, page.Rows...)
		if len(page.Rows) == 0 || page.NextCursor == "" || page.NextCursor == cursor {
			return rows, nil
		}
		cursor = page.NextCursor
	}
}

// sent is what the transfers of this telling add up to.
type sent struct {
	rows, suppressed int
	last             string
}

// awaitTransfers waits until the windows that hold this telling's calls are
// judged and what passed is acknowledged by the other side.
func (t *teller) awaitTransfers(ctx context.Context, h *home) (sent, error) {
	ctx, cancel := context.WithTimeout(ctx, arriveLimit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := t.countTransfers(ctx, h)
		if err != nil {
			return s, err
		}
		if s.rows >= t.generated.passes {
			return s, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s, t.check(false, "an export of %d rows is acknowledged within %s; %d rows were", t.generated.passes, arriveLimit, s.rows)
		}
	}
}

func (t *teller) countTransfers(ctx context.Context, h *home) (sent, error) {
	var s sent
	for token := ""; ; {
		page, err := h.client.Transfers(ctx, token)
		if err != nil {
			return s, err
		}
		for _, tr := range page.Transfers {
			if tr.WindowTo.Before(t.generated.began) || tr.State != "acknowledged" {
				continue
			}
			s.rows += tr.Rows
			s.suppressed += tr.Suppressed
			s.last = tr.ID
		}
		if token = page.NextPageToken; token == "" {
			return s, nil
		}
	}
}

// noNumbers looks for any number of the story, whole or in part, in what arrived.
func (t *teller) noNumbers(rows []data.PseudonymRow) error {
	raw, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	found := 0
	for _, c := range t.generated.calls {
		for _, n := range []string{c.From, c.To} {
			if strings.Contains(string(raw), strings.TrimPrefix(n, "+")) || strings.Contains(string(raw), n[len(n)-7:]) {
				found++
			}
		}
	}
	for _, r := range rows {
		if r.FromCC == "GB" {
			found++
		}
	}
	return t.check(found == 0, "no number, name or exact time is among them, nor any row of a suppressed class")
}

// sideBySide shows calls as they are at home and rows as they are abroad.
// Which row is which call only the home region can tell.
func (t *teller) sideBySide(ctx context.Context, h *home, rows []data.PseudonymRow) error {
	const shown = 3
	hour := t.generated.hour
	page, err := h.client.Calls(ctx, client.Filter{Start: hour, End: hour.Add(time.Hour), PageSize: shown})
	if err != nil {
		return err
	}
	t.Screen.Line("      %s", t.Screen.Faint("in "+h.region+": who, to whom, when, how long"))
	for _, c := range page.Calls {
		t.Screen.Line("      %s → %s  %s  %.0f s", c.From.E164, c.To.E164, c.StartTime.Format(time.DateTime), float64(c.DurationMS)/1000)
	}
	t.Screen.Line("      %s", t.Screen.Faint("in "+recipientsIn+": pseudonyms, countries, the hour, a span (which row is which call, only "+h.region+" can tell)"))
	for _, r := range rows[max(0, len(rows)-shown):] {
		t.Screen.Line("      %s… → %s…  %s → %s  %s  %s  %s", clip(r.From), clip(r.To), r.FromCC, r.ToCC, r.Hour, r.Duration, r.Outcome)
	}
	return t.check(len(page.Calls) == shown, "both sides were read just now, each with its own key, from its own region")
}

func clip(pseudonym string) string {
	if len(pseudonym) > 12 {
		return pseudonym[:12]
	}
	return pseudonym
}
