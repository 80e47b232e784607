package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anyFile is a policy with rules that the pull requests of anyInput meet.
func anyFile(t *rapid.T, name string) PolicyFile {
	file := DefaultPolicy()
	who := rapid.Custom(func(t *rapid.T) Who {
		w := Who{Permission: rapid.SampledFrom([]Permission{PermissionNone, PermissionWrite, PermissionMaintain}).Draw(t, "permission")}
		w.Teams = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"acme/leads", "acme/security"}), 0, 2, rapid.ID).Draw(t, "teams")
		if w.IsZero() {
			w.Users = []string{"bob"}
		}
		return w
	})
	for _, tier := range []ApprovalTier{TierPeerReview, TierTeamLead, TierSecurityReview} {
		file.Tiers[tier] = Requirement{rapid.IntRange(1, 2).Draw(t, name+" approvals"), who.Draw(t, name+" from")}
	}
	globs := rapid.SliceOfN(rapid.SampledFrom([]string{"auth/**", "deploy/**", "lib/**"}), 0, 2)
	file.Classify.SecuritySensitive = Match{Paths: globs.Draw(t, name+" sensitive"), Labels: []string{"security"}}
	file.Classify.Infrastructure = Match{Paths: globs.Draw(t, name+" infrastructure")}
	file.Classify.Agents.Users = rapid.SliceOfN(rapid.SampledFrom([]string{"bob", "cat"}), 0, 1).Draw(t, name+" agents")
	file.Approval = ApprovalRules{
		Author: rapid.Bool().Draw(t, name+" author"), Committers: rapid.Bool().Draw(t, name+" committers"), Agents: rapid.Bool().Draw(t, name+" machines"),
		OnPush:       rapid.SampledFrom([]OnPush{OnPushDismiss, OnPushKeepIfUnchanged}).Draw(t, name+" on push"),
		ExpiresAfter: rapid.SampledFrom([]time.Duration{time.Hour, 10 * time.Hour}).Draw(t, name+" expires"),
	}
	return file
}

// anyInput is a pull request with votes on it, under no policy yet.
func anyInput(t *rapid.T) Input {
	logins := []string{"ann", "bob", "cat", "dan", "claude[bot]"}
	person := rapid.SampledFrom(logins)
	in := Input{Now: dayStart.Add(2 * time.Hour), Standings: map[int64]Standing{}, Unchanged: map[string]bool{"old": rapid.Bool().Draw(t, "unchanged")}}
	for _, login := range logins {
		in.Standings[people(login).ID] = Standing{
			Login: login, Permission: rapid.SampledFrom([]Permission{PermissionRead, PermissionWrite, PermissionMaintain}).Draw(t, login),
			Teams: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"acme/leads", "acme/security"}), 0, 2, rapid.ID).Draw(t, login+" teams"),
		}
	}
	file := File{Path: rapid.SampledFrom([]string{"a.md", "auth/a.go", "deploy/a.yml", "lib/a.go"}).Draw(t, "path"), Status: FileModified, Additions: rapid.IntRange(0, 400).Draw(t, "lines")}
	by := people(rapid.SampledFrom([]string{"ann", "claude[bot]"}).Draw(t, "author"))
	in.Snapshot = Snapshot{
		Files: []File{file}, Commits: []Commit{{SHA: "new", Author: by, Committer: by}},
		PullRequest: PullRequest{Author: by, HeadSHA: "new", BaseBranch: "main", Open: true, ChangedFiles: 1, CommitCount: 1},
	}
	if rapid.Bool().Draw(t, "labeled") {
		in.Snapshot.History = []Event{{Kind: EventLabeled, Label: "security", By: people("bob")}, {Kind: EventUnlabeled, Label: "security", By: people(person.Draw(t, "unlabeled by"))}}
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "votes") {
		vote := Vote{
			Source: reviewSource(i), By: people(person.Draw(t, "voter")), Commit: rapid.SampledFrom([]string{"new", "new", "old"}).Draw(t, "commit"),
			Verdict: rapid.SampledFrom([]Verdict{VerdictApprove, VerdictApprove, VerdictApprove, VerdictReject, VerdictWithdrawn}).Draw(t, "verdict"),
			At:      dayStart.Add(time.Duration(rapid.IntRange(0, 119).Draw(t, "minute")) * time.Minute),
		}
		if vote.Verdict == VerdictReject && rapid.Bool().Draw(t, "lifted") {
			vote.LiftedBy = people(person.Draw(t, "lifter"))
		}
		in.Votes = append(in.Votes, vote)
	}
	return in
}

// reviewSource names the i-th vote's review.
func reviewSource(i int) string { return SourceReview + ":" + string(rune('1'+i)) }

func under(in Input, files ...PolicyFile) Input {
	in.Policies = nil
	for _, file := range files {
		in.Policies = append(in.Policies, PolicySource{Place: Place{Path: DefaultPath, Branch: "main"}, Present: true, File: file})
	}
	return in
}

// TestTogetherPoliciesAreNeverLooserThanOneAlone joins random policies: what is
// open under both is open under each, the tier is no lower than under each, and
// their order does not matter.
func TestTogetherPoliciesAreNeverLooserThanOneAlone(t *testing.T) {
	opened := 0
	rapid.Check(t, func(t *rapid.T) {
		a, b, in := anyFile(t, "a"), anyFile(t, "b"), anyInput(t)
		both, reversed := Decide(under(in, a, b)), Decide(under(in, b, a))
		if both.Outcome != reversed.Outcome || both.Assessment.Tier != reversed.Assessment.Tier {
			t.Fatalf("in one order %s %s, in the other %s %s", both.Outcome, both.Title(), reversed.Outcome, reversed.Title())
		}
		for name, file := range map[string]PolicyFile{"a": a, "b": b} {
			alone := Decide(under(in, file))
			if CompareTiers(both.Assessment.Tier, alone.Assessment.Tier) < 0 {
				t.Fatalf("together %s, %s alone %s", both.Assessment.Tier, name, alone.Assessment.Tier)
			}
			if both.Outcome == OutcomeOpen && alone.Outcome != OutcomeOpen {
				t.Fatalf("together %s, %s alone %s: %s", both.Title(), name, alone.Outcome, alone.Title())
			}
		}
		if both.Outcome == OutcomeOpen {
			opened++
		}
	})
	if opened < 5 {
		t.Errorf("only %d of the pull requests were open under both", opened)
	}
}
