package cli

import (
	"context"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/data"
)

func (a *app) feedsCommand() *cobra.Command {
	return group("feeds", "Tell a feed its time zone, country and signature", a.feedsGet(), a.feedsSet())
}

func (a *app) showFeed(s data.FeedSettings) {
	a.out.Fields([2]string{"time zone", dash(s.TimeZone)}, [2]string{"default country", dash(s.DefaultCountry)}, [2]string{"signed URL", s.SignatureURL})
}

func (a *app) feedsGet() *cobra.Command {
	return &cobra.Command{Use: "get SOURCE NAME", Short: "Show a feed's settings", Args: cobra.ExactArgs(2),
		RunE: a.run(func(ctx context.Context, args []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			s, err := r.FeedSettings(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			return a.plain(s, func() { a.showFeed(s) })
		})}
}

func (a *app) feedsSet() *cobra.Command {
	var s data.FeedSettings
	var secretFile string
	c := &cobra.Command{Use: "set SOURCE NAME", Short: "Change a feed's settings; what is not given stays", Args: cobra.ExactArgs(2),
		Long:    "Changes a feed's settings, which are kept in the home region. Without them times count as UTC and numbers\nas of the region's country, and each record says that this was assumed.",
		Example: "  domicile feeds set asterisk pbx --time-zone Australia/Sydney --country AU",
		RunE: a.run(func(ctx context.Context, args []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			old, err := r.FeedSettings(ctx, args[0], args[1])
			if err != nil && !isNotFound(err) {
				return err
			}
			keep(&s.TimeZone, old.TimeZone)
			keep(&s.DefaultCountry, old.DefaultCountry)
			keep(&s.SignatureURL, old.SignatureURL)
			if secretFile != "" {
				raw, err := os.ReadFile(secretFile)
				if err != nil {
					return usagef("the secret cannot be read: %v", err)
				}
				s.SignatureSecret = strings.TrimSpace(string(raw))
			}
			now, err := r.PutFeedSettings(ctx, args[0], args[1], s)
			if err != nil {
				return err
			}
			return a.plain(now, func() { a.showFeed(now) })
		})}
	c.Flags().StringVar(&s.TimeZone, "time-zone", "", "IANA `zone` of times without one, such as Australia/Sydney")
	c.Flags().StringVar(&s.DefaultCountry, "country", "", "`country` of numbers without a prefix, such as AU")
	c.Flags().StringVar(&s.SignatureURL, "signature-url", "", "`URL` that Twilio signs, as Twilio knows it")
	c.Flags().StringVar(&secretFile, "signature-secret-file", "", "`file` that holds the signature secret (never an argument: others can read those)")
	return c
}

func keep(field *string, old string) {
	if *field == "" {
		*field = old
	}
}
