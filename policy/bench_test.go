package policy

import (
	"fmt"
	"testing"
	"time"
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

// typicalInput is a pull request of five files in three commits that a team lead
// must approve, and did, with four comments and two reviews on it.
func typicalInput(policies ...string) Input {
	ann, bob, lee := people("ann"), people("bob"), people("lee")
	in := Input{Now: dayStart.Add(time.Hour), Standings: map[int64]Standing{
		bob.ID: {Login: "bob", Permission: PermissionWrite},
		lee.ID: {Login: "lee", Permission: PermissionMaintain, Teams: []string{"acme/leads"}},
	}}
	for i, content := range policies {
		place := Place{Repository: "acme/shop", Branch: "main", Path: DefaultPath}
		if i > 0 {
			place = Place{Repository: "acme/.github", Path: DefaultPath, Organization: true}
		}
		in.Policies = append(in.Policies, LoadPolicy(PolicyText{Place: place, Content: []byte(content)}))
	}
	s := Snapshot{PullRequest: PullRequest{
		Ref:    PullRequestRef{Repository: Repository{Installation: 1, ID: 1, Owner: "acme", Name: "shop"}, Number: 7},
		Author: ann, HeadSHA: "c2", HeadBranch: "deploy-search", BaseBranch: "main", Labels: []string{"enhancement"}, Open: true, ChangedFiles: 5, CommitCount: 3,
	}}
	for i := range 3 {
		sha, at := fmt.Sprintf("c%d", i), dayStart.Add(time.Duration(i)*time.Minute)
		s.Files = append(s.Files, File{Path: fmt.Sprintf("deploy/services/search-%d.yml", i), Status: FileModified, Additions: 20, Deletions: 7})
		s.Commits = append(s.Commits, Commit{SHA: sha, Author: ann, Committer: ann, Message: "Deploy the search service, part by part\n\nIt needs its own address.\n"})
		in.Heads = append(in.Heads, Head{SHA: sha, Since: at, By: ann})
	}
	for i := range 2 {
		s.Files = append(s.Files, File{Path: fmt.Sprintf("internal/catalogue/index/reader_%d.go", i), Status: FileModified, Additions: 40})
	}
	for i := range 4 {
		s.Comments = append(s.Comments, Comment{ID: int64(i + 1), By: bob, Body: "Why not in one step? @ann knows.", CreatedAt: dayStart.Add(5 * time.Minute)})
	}
	for i, by := range []Actor{bob, lee} {
		at := dayStart.Add(10 * time.Minute)
		s.Reviews = append(s.Reviews, Review{ID: int64(i + 1), By: by, State: ReviewApproved, Commit: "c2", SubmittedAt: at})
		in.Votes = append(in.Votes, Vote{Source: fmt.Sprintf("review:%d", i+1), By: by, Verdict: VerdictApprove, Commit: "c2", At: at})
	}
	in.Snapshot = s
	return in
}

// BenchmarkDecide says what the rules cost of a decision in the gate: its
// questions and its verdict.
func BenchmarkDecide(b *testing.B) {
	const own = "version: 1\ntiers: {team-lead: {approvals: 1, from: {teams: [acme/leads]}}}\n"
	const organization = "version: 1\ntiers: {team-lead: {approvals: 2, from: {permission: write}}}\n"
	for _, bench := range []struct {
		name     string
		policies []string
	}{
		{"typical", []string{own}},
		{"typical, and the organization's policy", []string{own, organization}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			in := typicalInput(bench.policies...)
			b.ReportAllocs()
			for b.Loop() {
				questions, err := in.Questions()
				if err != nil || len(questions.People) != 2 {
					b.Fatalf("questions %+v, %v", questions, err)
				}
				if decision := Decide(in); decision.Outcome != OutcomeOpen {
					b.Fatal(decision.Title())
				}
			}
		})
	}
}
