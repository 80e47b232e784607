package githubapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-github/v60/github"
)

// FailedDeliveries walks back through what GitHub tried to deliver to the App,
// from the cursor, or from now if that is empty, until since or until ctx is about
// to end. failed are the deliveries of which no attempt that it saw was answered
// with success, by the id that a delivery keeps when it is sent again, with the
// id of an attempt. reached is how far back it came, and next the cursor to go on
// from; it is empty at the end. GitHub remembers three days.
func (c *Client) FailedDeliveries(ctx context.Context, since time.Time, cursor string) (undelivered map[string]int64, reached time.Time, next string, err error) {
	app, err := c.creator.NewAppClient()
	if err != nil {
		return nil, reached, cursor, fmt.Errorf("create the App's client: %w", err)
	}
	undelivered = map[string]int64{}
	succeeded := map[string]bool{}
	for {
		page, response, err := app.Apps.ListHookDeliveries(ctx, &github.ListCursorOptions{PerPage: pageSize, Cursor: cursor})
		if err != nil {
			return nil, reached, cursor, failed(err, "list the App's deliveries")
		}
		for _, d := range page {
			reached = d.GetDeliveredAt().UTC()
			guid := d.GetGUID()
			switch {
			case reached.Before(since):
				return undelivered, reached, "", nil
			case d.GetStatusCode() >= 200 && d.GetStatusCode() < 400:
				// Attempts come newest first, so a success is seen before the failures that
				// it mended, unless it is a failure of an older sending.
				succeeded[guid] = true
				delete(undelivered, guid)
			case !succeeded[guid] && undelivered[guid] == 0:
				undelivered[guid] = d.GetID()
			}
		}
		if cursor = response.Cursor; cursor == "" || soon(ctx) {
			return undelivered, reached, cursor, nil
		}
	}
}

// soon reports whether the deadline is so near that a walk through pages stops, so
// that what it found can be kept.
func soon(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < 12*time.Second
}

// Redeliver asks GitHub to make the attempt again. It is no error if GitHub does
// not have it any more.
func (c *Client) Redeliver(ctx context.Context, attempt int64) error {
	app, err := c.creator.NewAppClient()
	if err != nil {
		return fmt.Errorf("create the App's client: %w", err)
	}
	_, response, err := app.Apps.RedeliverHookDelivery(ctx, attempt)
	var accepted *github.AcceptedError
	if errors.As(err, &accepted) || (response != nil && response.StatusCode == http.StatusNotFound) {
		return nil
	}
	return failed(err, "ask for the delivery attempt %d again", attempt)
}
