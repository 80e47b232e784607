package policy

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/txtar"
)

// decideCase describes a pull request and what people said of it. Times are
// offsets from the start of the day.
type decideCase struct {
	Author string
	Branch string
	Labels []string
	// Classified are the labels of the decision before.
	Classified []string
	Base       string
	Files      []struct {
		Path, Was, Status string
		Lines             int
	}
	Commits []struct {
		SHA, By, Message string
		Unmapped         bool
	}
	// Listed overrides how many files GitHub says there are.
	Listed int
	Heads  []struct {
		SHA, By string
		Since   time.Duration
	}
	Votes []struct {
		By, Login, Says, Commit, Permission, Reason, Lifted string
		Teams                                               []string
		At                                                  time.Duration
		Unread                                              bool
	}
	Deputies []struct {
		For, Sandbox string
		From, Until  time.Duration
	}
	Comments []struct{ By, Body string }
	History  []struct {
		Kind, By, Label, Assignee string
		At                        time.Duration
	}
	// Others are the standings of people who did not vote.
	Others []struct {
		Login, Permission string
		Teams             []string
	}
	// Unchanged are commits at which the change was the same as at the head.
	Unchanged []string
	Now       time.Duration
	Repaired  bool
	Detour    bool
	Agents    []string
	// AutoMerge is true if it is armed.
	AutoMerge bool `yaml:"auto_merge"`
	Stops     []struct {
		Scope, Reason, By, Carrier string
		Agents, Releasing          bool
		Since                      time.Duration
	}
}

var dayStart = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// people gives each login of a case an id of its own.
func people(login string) Actor {
	if login == "" {
		return Actor{}
	}
	id := int64(0)
	for _, r := range login {
		id = id*31 + int64(r)
	}
	kind := KindUser
	if strings.HasSuffix(login, "[bot]") {
		kind = KindBot
	}
	return Actor{ID: id, Login: login, Kind: kind}
}

// TestDecide reads each case of testdata/decide: a policy, a pull request with
// its votes, and the decision with its sentences; in some of them, the whole text
// of the check.
func TestDecide(t *testing.T) {
	files, err := filepath.Glob("testdata/decide/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sections := map[string][]byte{}
			for _, f := range archive.Files {
				sections[f.Name] = f.Data
			}
			var c decideCase
			if err := yaml.UnmarshalWithOptions(sections["case.yml"], &c, yaml.Strict()); err != nil {
				t.Fatal(err)
			}
			decision := Decide(c.input(sections["organization.yml"], sections["policy.yml"]))
			if got, want := told(decision), strings.TrimSpace(string(sections["want"])); got != want {
				t.Errorf("%s\ngot:\n%s\n\nwant:\n%s", archive.Comment, got, want)
			}
			want, shown := sections["summary.md"]
			if got := decision.Summary(); shown && got != string(want) {
				t.Errorf("%s\nthe check says:\n%s\nwant:\n%s", archive.Comment, got, want)
			}
		})
	}
}

// input builds what Decide reads. nil means that there is no file.
func (c decideCase) input(organizationFile, policyFile []byte) Input {
	in := Input{Now: dayStart.Add(c.Now), Standings: map[int64]Standing{}, Labels: c.Classified, Unchanged: map[string]bool{}}
	in.Policies = []PolicySource{
		LoadPolicy(PolicyText{Place: Place{"acme/.github", "main", DefaultPath, true}, Content: organizationFile}),
		LoadPolicy(PolicyText{Place: Place{"acme/shop", "main", DefaultPath, false}, Content: policyFile}),
	}
	in.Policies[1].Repaired = c.Repaired
	for _, commit := range c.Unchanged {
		in.Unchanged[commit] = true
	}
	pr := PullRequest{
		Ref:    PullRequestRef{Repository: Repository{Owner: "acme", Name: "shop", ID: 1, Installation: 1}, Number: 7},
		Author: people(c.Author), HeadBranch: c.Branch, BaseBranch: "main", Labels: c.Labels, Open: true,
		ChangedFiles: len(c.Files), CommitCount: len(c.Commits),
	}
	if c.Listed != 0 {
		pr.ChangedFiles = c.Listed
	}
	for _, f := range c.Files {
		status := FileStatus(f.Status)
		if status == "" {
			status = FileModified
		}
		in.Snapshot.Files = append(in.Snapshot.Files, File{Path: f.Path, PreviousPath: f.Was, Status: status, Additions: f.Lines})
	}
	for _, commit := range c.Commits {
		by := people(commit.By)
		if commit.Unmapped {
			by = Actor{}
		}
		in.Snapshot.Commits = append(in.Snapshot.Commits, Commit{SHA: commit.SHA, Author: by, Committer: by, Message: commit.Message})
		pr.HeadSHA = commit.SHA
	}
	for _, head := range c.Heads {
		in.Heads = append(in.Heads, Head{SHA: head.SHA, Since: dayStart.Add(head.Since), By: people(head.By)})
	}
	in.Snapshot.Detour = c.Detour
	for _, comment := range c.Comments {
		in.Snapshot.Comments = append(in.Snapshot.Comments, Comment{By: people(comment.By), Body: comment.Body})
	}
	for _, e := range c.History {
		in.Snapshot.History = append(in.Snapshot.History, Event{
			Kind: EventKind(e.Kind), By: people(e.By), At: dayStart.Add(e.At), Label: e.Label, Assignee: people(e.Assignee),
		})
	}
	for _, other := range c.Others {
		permission, _ := ParsePermission(other.Permission)
		in.Standings[people(other.Login).ID] = Standing{Login: other.Login, Permission: permission, Teams: other.Teams}
	}
	for i, v := range c.Votes {
		by := people(v.By)
		in.Votes = append(in.Votes, Vote{
			Source: fmt.Sprintf("review:%d", i), By: by, Verdict: Verdict(v.Says), Commit: v.Commit, At: dayStart.Add(v.At), Reason: v.Reason,
			LiftedBy: people(v.Lifted),
		})
		if permission, _ := ParsePermission(v.Permission); !v.Unread {
			in.Standings[by.ID] = Standing{Login: cmp.Or(v.Login, v.By), Permission: permission, Teams: v.Teams}
		}
	}
	for _, d := range c.Deputies {
		deputy := Deputy{For: people(d.For), Sandbox: d.Sandbox, From: dayStart.Add(d.From)}
		if d.Until != 0 {
			deputy.Until = dayStart.Add(d.Until)
		}
		in.Deputies = append(in.Deputies, deputy)
	}
	pr.AutoMerge = c.AutoMerge
	for _, s := range c.Stops {
		in.Stops = append(in.Stops, Stop{
			Scope: s.Scope, Agents: s.Agents, Reason: s.Reason, By: people(s.By), Since: dayStart.Add(s.Since), Carrier: s.Carrier, Releasing: s.Releasing,
		})
	}
	in.Snapshot.PullRequest = pr
	return in
}

// told is what a decision says, one fact a line.
func told(d Decision) string {
	lines := []string{fmt.Sprintf("%s: %s", d.Outcome, d.Title())}
	if d.Status != "" {
		lines = append(lines, "status: "+string(d.Status))
	}
	for _, r := range d.Assessment.Reasons {
		lines = append(lines, fmt.Sprintf("%s because %s", r.Tier, r.Why))
	}
	for _, v := range d.Discounted {
		lines = append(lines, fmt.Sprintf("%s of %s does not count: %s", v.Vote.Verdict, v.Vote.By, v.Why))
	}
	return strings.Join(lines, "\n")
}

func TestZeroDecisionIsClosed(t *testing.T) {
	check := Decision{}.Check("portcullis", PullRequestRef{}, "")
	if check.Outcome != OutcomeClosed || check.Outcome.String() != "closed" {
		t.Errorf("the zero decision is %s", check.Outcome)
	}
	if got := (Input{}); Decide(got).Outcome == OutcomeOpen {
		t.Error("an empty input opens the gate")
	}
}

// TestSummaryShowsTextAsText holds what people write apart from what we format.
func TestSummaryShowsTextAsText(t *testing.T) {
	d := Decision{
		Outcome: OutcomeClosed, Fault: "<img src=x> [click](http://x) @acme/leads `|` \n# big",
		Assessment: Assessment{Tier: TierPeerReview, Requirements: []Requirement{{Approvals: 1, From: Who{Users: []string{"a|b"}}}}},
	}
	summary := d.Summary()
	for _, bad := range []string{"<img", "[click](", "@acme", "\n# big"} {
		if strings.Contains(summary, bad) {
			t.Errorf("the summary lets %q through:\n%s", bad, summary)
		}
	}
	d.Fault = strings.Repeat("ä", 2*MaxSummaryLength)
	if got := len([]rune(d.Summary())); got > MaxSummaryLength {
		t.Errorf("the summary has %d characters", got)
	}
	if got := len([]rune(d.Title())); got > maxTitleLength {
		t.Errorf("the title has %d characters", got)
	}
}
