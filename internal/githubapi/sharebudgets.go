package githubapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
)

const (
	// exchangeEvery is how long the news of a limit may travel to another replica.
	exchangeEvery = time.Second
	// flushEvery is how often the others are told what is left of the budgets.
	flushEvery = 10 * time.Second
)

// ShareBudgets keeps this client and those of other replicas, which share
// Options.Budgets, of one mind about GitHub's limits, until ctx ends. It runs in a
// goroutine of the owner's. A limit that one replica meets holds for the others
// within a second, which is how long they may still send.
func (c *Client) ShareBudgets(ctx context.Context) {
	if c.governor.shared == nil {
		return
	}
	tick := time.NewTicker(exchangeEvery)
	defer tick.Stop()
	for {
		if err := c.governor.exchange(ctx); err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("GitHub's limits are not shared")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// exchange tells the others what they do not know, and takes in what they do.
func (g *governor) exchange(ctx context.Context) error {
	var failures []error
	for _, news := range g.untold() {
		if err := g.shared.PutBudget(ctx, news); err != nil {
			failures = append(failures, fmt.Errorf("tell a budget: %w", err))
			g.keep(news)
		}
	}
	told, err := g.shared.Budgets(ctx)
	if err != nil {
		return errors.Join(append(failures, fmt.Errorf("ask for the budgets: %w", err))...)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, b := range told {
		a := g.at(place{b.Installation, b.Resource})
		if b.BlockedUntil.After(a.BlockedUntil) {
			a.reason = ""
		}
		a.Budget = a.Merge(b)
	}
	return errors.Join(failures...)
}

// untold takes what the others are to be told: a limit that is in force at once,
// what is left of the budgets now and then.
func (g *governor) untold() []Budget {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	flush := now.Sub(g.flushed) >= flushEvery
	if flush {
		g.flushed = now
	}
	var news []Budget
	for _, a := range g.known {
		if a.untold && (flush || now.Before(a.BlockedUntil)) {
			a.untold = false
			news = append(news, a.Budget)
		}
	}
	return news
}

// keep marks what could not be told.
func (g *governor) keep(news Budget) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at(place{news.Installation, news.Resource}).untold = true
}
