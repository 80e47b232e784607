package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/killswitch"
)

// Figures are what is on record, counted. store.Store fits.
type Figures interface {
	// CountLeases counts all leases by their state.
	CountLeases(ctx context.Context) (map[credential.State]int, error)
	// OldestDueLease is since when the lease waits that has waited longest for what is to
	// be done about it; zero: none waits.
	OldestDueLease(ctx context.Context) (time.Time, error)
	// Backlog counts the work that is due or being done.
	Backlog(ctx context.Context) (int, error)
}

// scrapeTime is how long the database may take to answer one scrape.
const scrapeTime = 5 * time.Second

// errUnread is all that whoever scrapes is told; the log has the rest.
var errUnread = errors.New("the database cannot be read; the log says why")

// leaseStates are those that are counted, also where there is none.
var leaseStates = []credential.State{
	credential.StateIntent, credential.StateMinted, credential.StateActive, credential.StateRevoking, credential.StateStuck,
	credential.StateRevoked, credential.StateExpired, credential.StateFailed,
}

var (
	leasesMetric   = prometheus.NewDesc("portcullis_credential_leases", "Credentials on record, by how far they are. One that is stuck has ended and could not be cleared away in many attempts.", []string{"state"}, nil)
	dueMetric      = prometheus.NewDesc("portcullis_credential_oldest_due_seconds", "For how long the credential waits that has waited longest for what is to be done about it, such as to be cleared away; 0 if none does.", nil, nil)
	backlogMetric  = prometheus.NewDesc("portcullis_work_backlog", "Pieces of work that are due or being done.", nil, nil)
	switchesMetric = prometheus.NewDesc("portcullis_kill_switches_on", "Kill switches that are on or being lifted.", nil, nil)
)

// metrics reads what is on record at each scrape, so that all replicas tell the same and
// a restart resets nothing. Of names it tells none: there is no label with one.
type metrics struct {
	figures  Figures
	switches Switches
	now      func() time.Time
	log      zerolog.Logger
}

// NewMetrics returns the handler of GET /metrics. What cannot be read makes the scrape
// fail: a zero would say that all is well.
func NewMetrics(figures Figures, switches Switches, now func() time.Time, log zerolog.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		metrics{figures, switches, now, log},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
}

// Describe names what is told.
func (m metrics) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{leasesMetric, dueMetric, backlogMetric, switchesMetric} {
		to <- desc
	}
}

// Collect tells all of it, or that it cannot be read.
func (m metrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), scrapeTime, errUnread)
	defer cancel()
	leases, err := m.figures.CountLeases(ctx)
	since, dueErr := m.figures.OldestDueLease(ctx)
	backlog, backlogErr := m.figures.Backlog(ctx)
	on, switchesErr := m.switches.InForce(ctx, killswitch.Scope{})
	if err := errors.Join(err, dueErr, backlogErr, switchesErr); err != nil {
		m.log.Error().Err(err).Str("event", "metrics.unread").Msg("the metrics cannot be told")
		to <- prometheus.NewInvalidMetric(leasesMetric, errUnread)
		return
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for _, state := range leaseStates {
		gauge(leasesMetric, float64(leases[state]), string(state))
	}
	waits := 0.0
	if !since.IsZero() {
		waits = max(0, m.now().Sub(since).Seconds())
	}
	gauge(dueMetric, waits)
	gauge(backlogMetric, float64(backlog))
	gauge(switchesMetric, float64(len(on)))
}
