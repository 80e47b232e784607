package policy

import (
	"fmt"
	"testing"
)

// benchGlobs are 200 globs as a large repository's policy has them: those of the
// default policy, and folders, kinds of file and names of its own.
func benchGlobs() []string {
	classify := DefaultPolicy().Classify
	var globs []string
	for _, m := range []Match{classify.SecuritySensitive, classify.Infrastructure, classify.APIChange, classify.DatabaseMigration} {
		globs = append(globs, m.Paths...)
	}
	for i := 0; len(globs) < 200; i++ {
		own := []string{
			"services/team%02d/**", "**/vault%02d/**", "**/*.kind%02d", "**/Secret%02d*",
			"lib/*/guard%02d/**/*.go", "cmd/tool%02d/main.go", "web/{app,site}%02d/**", "docs/[a-c]%02d-*.md",
		}
		globs = append(globs, fmt.Sprintf(own[i%len(own)], i/len(own)))
	}
	return globs
}

// benchPaths are 3,000 paths, as many as GitHub lists of a pull request. One in
// fifty is matched, by globs from all over the list.
func benchPaths() []string {
	var paths []string
	for i := range 3000 {
		ordinary := []string{
			"services/checkout/internal/orders/handler_%04d.go", "web/src/components/cart/CartItem%04d.tsx", "lib/python/warehouse/stock/reader_%04d.py",
			"docs/guides/getting-started/part-%04d.md", "services/checkout/internal/orders/testdata/golden/order-%04d.json",
		}
		guarded := []string{"services/team%02d/a%d.go", "a/b/vault%02d/c%d.go", "a/%[2]d/b.kind%02[1]d", "web/site%02d/a%d.css", "auth/%02d/a%d.go"}
		if i%50 == 0 {
			paths = append(paths, fmt.Sprintf(guarded[i/50%len(guarded)], i/50%16, i))
			continue
		}
		paths = append(paths, fmt.Sprintf(ordinary[i%len(ordinary)], i))
	}
	return paths
}

// BenchmarkGlobs says what it takes to find the first glob for each path.
func BenchmarkGlobs(b *testing.B) {
	list, paths := benchGlobs(), benchPaths()
	for b.Loop() {
		matched, prepared := 0, newGlobs(list)
		for _, path := range paths {
			if prepared.first(path) != "" {
				matched++
			}
		}
		if matched != len(paths)/50 {
			b.Fatalf("%d of %d paths are matched", matched, len(paths))
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms/list")
}
