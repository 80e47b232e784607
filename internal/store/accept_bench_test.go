package store_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/store"
)

// BenchmarkAccept measures acknowledgements: each is on the disk.
func BenchmarkAccept(b *testing.B) {
	payload := bytes.Repeat([]byte(`{"action":"synchronize","number":7},`), 230)
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, senders := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d senders", engine, senders), func(b *testing.B) {
				s, err := store.Open(b.Context(), engines[engine](b).url, time.Now)
				must(b, err)
				defer s.Close()
				ids := make(chan int)
				took := make([]time.Duration, b.N)
				var all sync.WaitGroup
				for range senders {
					all.Go(func() {
						for i := range ids {
							began := time.Now()
							if err := s.Accept(b.Context(), fmt.Sprint("d", i), "pull_request", pullRequest(i%50+1), gate.UrgencyPeople, payload); err != nil {
								b.Error(err)
							}
							took[i] = time.Since(began)
						}
					})
				}
				b.ResetTimer()
				for i := range b.N {
					ids <- i
				}
				close(ids)
				all.Wait()
				slices.Sort(took)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepts/s")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms/p99")
			})
		}
	}
}
