package policy

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestClassifyApprovalTier(t *testing.T) {
	byScore := map[int]ApprovalTier{
		1: TierAuto, 2: TierAuto, 3: TierAuto, 4: TierPeerReview, 5: TierPeerReview, 6: TierPeerReview,
		7: TierTeamLead, 8: TierTeamLead, 9: TierSecurityReview, 10: TierSecurityReview,
	}
	for score, plain := range byScore {
		for _, c := range []struct {
			security, infrastructure bool
			want                     ApprovalTier
		}{
			{false, false, plain},
			{false, true, HigherTier(plain, TierTeamLead)},
			{true, false, TierSecurityReview},
			{true, true, TierSecurityReview},
		} {
			in := ApprovalClassificationInput{ComplexityScore: score, SecuritySensitive: c.security, InfrastructureChange: c.infrastructure}
			if got, err := ClassifyApprovalTier(in); err != nil || got != c.want {
				t.Errorf("%+v is %q, %v; want %q", in, got, err, c.want)
			}
		}
	}
}

func TestClassifyRefusesScoresOutsideTheRange(t *testing.T) {
	for _, score := range []int{-1, 0, 11, 1 << 30} {
		tier, err := ClassifyApprovalTier(ApprovalClassificationInput{ComplexityScore: score, SecuritySensitive: true})
		var outside *ComplexityRangeError
		if !errors.As(err, &outside) || outside.Score != score || tier.Known() {
			t.Errorf("a score of %d gives %q, %v", score, tier, err)
		}
	}
}

func TestCompareTiersIsATotalOrderWithUnknownOnTop(t *testing.T) {
	ascending := append(ApprovalTiers(), "")
	for i, a := range ascending {
		for j, b := range ascending {
			if got := CompareTiers(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("CompareTiers(%q, %q) is %d", a, b, got)
			}
		}
	}
	if CompareTiers("", "no-such-tier") != 0 || CompareTiers("no-such-tier", TierSecurityReview) <= 0 {
		t.Error("an unknown tier is not the strictest")
	}
}

// TestMoreNeverLowersTheTier adds files to a change and flags to an input:
// nothing that is added may lower score or tier.
func TestMoreNeverLowersTheTier(t *testing.T) {
	file := DefaultPolicy()
	paths := []string{"README.md", "api/v1.yml", "db/migrations/1.sql", "auth/x.go", "deploy/a.tf", "go.mod", "a/b_test.go", ".github/workflows/ci.yml", "logo.png"}
	statuses := []FileStatus{FileAdded, FileModified, FileRemoved, FileRenamed, "changed"}
	genFile := rapid.Custom(func(t *rapid.T) File {
		return File{
			Path: rapid.SampledFrom(paths).Draw(t, "path"), Status: rapid.SampledFrom(statuses).Draw(t, "status"),
			Additions: rapid.IntRange(0, 400).Draw(t, "additions"), Deletions: rapid.IntRange(0, 400).Draw(t, "deletions"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		var s Snapshot
		s.PullRequest.Author = people("ann")
		s.Files = rapid.SliceOfN(genFile, 0, 30).Draw(t, "files")
		before, err := Assess([]PolicyFile{file}, DefaultPath, s)
		if err != nil {
			t.Fatal(err)
		}
		s.Files = append(s.Files, genFile.Draw(t, "one more"))
		after, err := Assess([]PolicyFile{file}, DefaultPath, s)
		if err != nil {
			t.Fatal(err)
		}
		if after.Score.Value < before.Score.Value || CompareTiers(after.Tier, before.Tier) < 0 {
			t.Fatalf("one more file lowers %d %s to %d %s", before.Score.Value, before.Tier, after.Score.Value, after.Tier)
		}
	})
}

func ExampleClassifyApprovalTier() {
	tier, err := ClassifyApprovalTier(ApprovalClassificationInput{ComplexityScore: 2, InfrastructureChange: true})
	fmt.Println(tier, err, CompareTiers(tier, TierPeerReview) > 0)
	// Output: team-lead <nil> true
}
