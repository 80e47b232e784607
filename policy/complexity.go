package policy

import (
	"fmt"
	"path"
	"strings"
)

// Factor is one share of a complexity score.
type Factor struct {
	Name   string
	Points int
	// Detail says in words what the points were given for.
	Detail string
}

// Score is a complexity score with every factor that went into it, those with
// no points included, so that a reader sees what was looked at.
type Score struct {
	// Value is between MinComplexity and MaxComplexity.
	Value   int
	Factors []Factor
}

// dependencyManifests are the files in which a project names its dependencies.
var dependencyManifests = newGlobs([]string{
	"**/go.mod", "**/package.json", "**/requirements*.txt", "**/pyproject.toml", "**/Pipfile", "**/Cargo.toml", "**/Gemfile",
	"**/pom.xml", "**/build.gradle", "**/build.gradle.kts", "**/composer.json", "**/*.csproj", "**/*.gemspec", "**/mix.exs", "**/Package.swift",
})

// testFiles are the places in which projects keep their tests.
var testFiles = newGlobs([]string{
	"**/*_test.*", "**/test_*.py", "**/*.test.*", "**/*.spec.*", "**/*_spec.rb", "**/*Test.java", "**/*Tests.cs",
	"**/test/**", "**/tests/**", "**/__tests__/**", "**/spec/**",
})

// ScoreComplexity computes the score of a change: 1, plus the points of each
// factor, never more than 10. What cannot be measured is given points, so that
// it raises the score and never lowers it.
func ScoreComplexity(rules Classify, s Snapshot, securitySensitive bool) Score {
	factors := []Factor{
		filesTouched(s.Files),
		linesChanged(s.Files),
		unmeasured(s.Files),
		yes("security-sensitive", 3, securitySensitive, "see the reasons for the tier"),
		matched("API change", 2, rules.APIChange, s),
		matched("database migration", 2, rules.DatabaseMigration, s),
		areasCrossed(s.Files),
		dependencies(s.Files),
		testsDeleted(s.Files),
	}
	total := MinComplexity
	for _, factor := range factors {
		total += factor.Points
	}
	return Score{Value: min(total, MaxComplexity), Factors: factors}
}

// step is one rung of a ladder: counts up to and including UpTo earn Points.
type step struct{ upTo, points int }

func climb(count int, ladder []step, beyond int) int {
	for _, s := range ladder {
		if count <= s.upTo {
			return s.points
		}
	}
	return beyond
}

func filesTouched(files []File) Factor {
	points := climb(len(files), []step{{1, 0}, {5, 1}, {15, 2}, {40, 3}}, 4)
	return Factor{Name: "files touched", Points: points, Detail: fmt.Sprint(len(files))}
}

func linesChanged(files []File) Factor {
	lines := 0
	for _, f := range files {
		lines += f.Additions + f.Deletions
	}
	points := climb(lines, []step{{10, 0}, {50, 1}, {200, 2}, {500, 3}}, 4)
	return Factor{Name: "lines changed", Points: points, Detail: fmt.Sprint(lines)}
}

// unmeasured counts files in which GitHub reports no changed line although it
// lists them as changed: binaries, submodules, modes, and files too large to
// compare.
func unmeasured(files []File) Factor {
	var found []string
	for _, f := range files {
		if f.Additions+f.Deletions == 0 && f.Status != FileRenamed {
			found = append(found, f.Path)
		}
	}
	return countOf("files without a line count", 2, found)
}

func areasCrossed(files []File) Factor {
	areas := map[string]bool{}
	for _, f := range files {
		for _, p := range f.paths() {
			areas[topLevel(p)] = true
		}
	}
	points := climb(len(areas), []step{{2, 0}, {4, 1}}, 2)
	return Factor{Name: "top-level areas", Points: points, Detail: fmt.Sprint(len(areas))}
}

func topLevel(p string) string {
	first, _, nested := strings.Cut(path.Clean(p), "/")
	if !nested {
		return "."
	}
	return first
}

func dependencies(files []File) Factor {
	var found []string
	for _, f := range files {
		if f.Additions > 0 && dependencyManifests.first(f.Path) != "" {
			found = append(found, f.Path)
		}
	}
	return countOf("new dependencies", 1, found)
}

func testsDeleted(files []File) Factor {
	var found []string
	for _, f := range files {
		gone := f.Status == FileRemoved && isTest(f.Path)
		renamedAway := f.PreviousPath != "" && isTest(f.PreviousPath) && !isTest(f.Path)
		if gone || renamedAway {
			found = append(found, f.Path)
		}
	}
	return countOf("deleted tests", 2, found)
}

func isTest(p string) bool { return testFiles.first(p) != "" }

func matched(name string, points int, rule Match, s Snapshot) Factor {
	why := rule.first(s)
	return yes(name, points, why != "", why)
}

func yes(name string, points int, is bool, detail string) Factor {
	if !is {
		return Factor{Name: name, Detail: "no"}
	}
	return Factor{Name: name, Points: points, Detail: detail}
}

func countOf(name string, points int, found []string) Factor {
	switch len(found) {
	case 0:
		return Factor{Name: name, Detail: "none"}
	case 1:
		return Factor{Name: name, Points: points, Detail: found[0]}
	default:
		return Factor{Name: name, Points: points, Detail: fmt.Sprintf("%s and %d more", found[0], len(found)-1)}
	}
}
