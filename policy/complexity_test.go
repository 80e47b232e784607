package policy

import (
	"fmt"
	"testing"
)

func files(n, lines int) []File {
	list := make([]File, n)
	for i := range list {
		list[i] = File{Path: fmt.Sprintf("lib/%d.go", i), Status: FileModified, Additions: lines}
	}
	return list
}

// TestScoreComplexity gives each factor its points, with its detail.
func TestScoreComplexity(t *testing.T) {
	rules := Classify{APIChange: Match{Paths: []string{"api/**"}}, DatabaseMigration: Match{Paths: []string{"**/migrations/**"}}}
	for _, c := range []struct {
		factor string
		files  []File
		points int
		detail string
	}{
		{"files touched", files(1, 1), 0, "1"},
		{"files touched", files(5, 1), 1, "5"},
		{"files touched", files(15, 1), 2, "15"},
		{"files touched", files(40, 1), 3, "40"},
		{"files touched", files(41, 1), 4, "41"},
		{"lines changed", files(1, 10), 0, "10"},
		{"lines changed", files(1, 11), 1, "11"},
		{"lines changed", files(2, 100), 2, "200"},
		{"lines changed", files(1, 500), 3, "500"},
		{"lines changed", files(1, 501), 4, "501"},
		{"files without a line count", []File{{Path: "logo.png", Status: FileModified}}, 2, "logo.png"},
		{"files without a line count", []File{{Path: "b.go", PreviousPath: "a.go", Status: FileRenamed}}, 0, "none"},
		{"API change", []File{{Path: "api/v1.yml", Additions: 1}}, 2, "api/v1.yml matches api/**"},
		{"API change", []File{{Path: "lib/v1.yml", PreviousPath: "api/v1.yml", Additions: 1}}, 2, "api/v1.yml matches api/**"},
		{"API change", files(1, 1), 0, "no"},
		{"database migration", []File{{Path: "db/migrations/1.sql", Additions: 1}}, 2, "db/migrations/1.sql matches **/migrations/**"},
		{"top-level areas", []File{{Path: "a/x"}, {Path: "b/x"}}, 0, "2"},
		{"top-level areas", []File{{Path: "a/x"}, {Path: "b/x"}, {Path: "README"}}, 1, "3"},
		{"top-level areas", []File{{Path: "a/x"}, {Path: "b/x"}, {Path: "c/x"}, {Path: "d/x"}, {Path: "e/x"}}, 2, "5"},
		{"new dependencies", []File{{Path: "tools/go.mod", Additions: 1}}, 1, "tools/go.mod"},
		{"new dependencies", []File{{Path: "go.mod", Deletions: 1}}, 0, "none"},
		{"deleted tests", []File{{Path: "a/x_test.go", Status: FileRemoved, Deletions: 9}}, 2, "a/x_test.go"},
		{"deleted tests", []File{{Path: "a/x.txt", PreviousPath: "a/x_test.go", Status: FileRenamed}, {Path: "tests/b.py", Status: FileRemoved}}, 2, "a/x.txt and 1 more"},
		{"deleted tests", []File{{Path: "a/x_test.go", Status: FileModified, Deletions: 9}}, 0, "none"},
	} {
		t.Run(c.factor+" "+c.detail, func(t *testing.T) {
			score := ScoreComplexity(rules, Snapshot{Files: c.files}, false)
			sum := MinComplexity
			for _, f := range score.Factors {
				sum += f.Points
				if f.Name == c.factor && (f.Points != c.points || f.Detail != c.detail) {
					t.Errorf("%d points for %q, want %d for %q", f.Points, f.Detail, c.points, c.detail)
				}
			}
			if score.Value != min(sum, MaxComplexity) {
				t.Errorf("the score is %d, its shares add up to %d", score.Value, sum)
			}
		})
	}
}

func TestScoreStaysInItsRange(t *testing.T) {
	if got := ScoreComplexity(Classify{}, Snapshot{}, false).Value; got != MinComplexity {
		t.Errorf("an empty change scores %d", got)
	}
	everything := append(files(60, 100), File{Path: "go.mod", Additions: 1}, File{Path: "x_test.go", Status: FileRemoved})
	if got := ScoreComplexity(Classify{}, Snapshot{Files: everything}, true).Value; got != MaxComplexity {
		t.Errorf("a huge change scores %d", got)
	}
}
