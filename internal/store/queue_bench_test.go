package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/store"
)

// BenchmarkWork is what a piece of work costs beside the work itself: asked for,
// a worker called, claimed, done.
func BenchmarkWork(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			s, err := store.Open(b.Context(), engines[engine](b).url, time.Now)
			must(b, err)
			defer s.Close()
			done := make(chan struct{}, b.N)
			queue, err := s.NewQueue(b.Context(), func(ctx context.Context, w store.Work) {
				if err := s.Done(context.WithoutCancel(ctx), w, nil); err != nil {
					b.Error(err)
				}
				done <- struct{}{}
			}, zerolog.Nop())
			must(b, err)
			must(b, queue.Start(b.Context()))
			defer func() { must(b, queue.Stop(context.WithoutCancel(b.Context()))) }()
			b.ResetTimer()
			for i := range b.N {
				must(b, s.Evaluate(b.Context(), pullRequest(i+1)))
			}
			for range b.N {
				<-done
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "works/s")
		})
	}
}
