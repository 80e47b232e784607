package githubapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-github/v60/github"
)

// deliveriesTogether is how many pages of a hundred deliveries are walked through
// at once.
const deliveriesTogether = 10

// FailedDeliveries walks back through what GitHub tried to deliver to the App, a
// thousand at a time, from the cursor, or from now if that is empty, until since.
// By the id that a delivery keeps when it is sent again, failed has an attempt of
// each that was not answered with success, and delivered those that were. next is
// the cursor to go on from; it is empty at the end. With an error they are what was
// seen until then. GitHub remembers three days.
func (c *Client) FailedDeliveries(ctx context.Context, since time.Time, cursor string) (undelivered map[string]int64, delivered map[string]bool, next string, err error) {
	undelivered, delivered = map[string]int64{}, map[string]bool{}
	app, err := c.creator.NewAppClient()
	if err != nil {
		return undelivered, delivered, cursor, fmt.Errorf("create the App's client: %w", err)
	}
	for range deliveriesTogether {
		page, response, err := app.Apps.ListHookDeliveries(ctx, &github.ListCursorOptions{PerPage: pageSize, Cursor: cursor})
		if err != nil {
			return undelivered, delivered, cursor, failed(err, "list the App's deliveries")
		}
		for _, d := range page {
			guid := d.GetGUID()
			switch {
			case d.GetDeliveredAt().Before(since):
				return undelivered, delivered, "", nil
			case d.GetStatusCode() >= 200 && d.GetStatusCode() < 400:
				// Attempts come newest first, so a success is seen before the failures that
				// it mended, unless it is a failure of an older sending.
				delivered[guid] = true
				delete(undelivered, guid)
			case !delivered[guid] && undelivered[guid] == 0:
				undelivered[guid] = d.GetID()
			}
		}
		if cursor = response.Cursor; cursor == "" {
			break
		}
	}
	return undelivered, delivered, cursor, nil
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
