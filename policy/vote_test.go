package policy

import (
	"testing"
	"time"
)

func TestCommitAt(t *testing.T) {
	at := func(seconds int) time.Time { return dayStart.Add(time.Duration(seconds) * time.Second) }
	history := []Head{{SHA: "b", Since: at(20)}, {SHA: "a", Since: at(10)}, {SHA: "a", Since: at(30)}}
	told := []Head{{SHA: "a", Since: at(10)}, {SHA: "b", Since: at(20), Replaced: "a"}}
	seen := []Head{{SHA: "a", Since: at(10)}, {SHA: "b", Since: at(20), Replaced: UnknownCommit}}
	back := []Head{{SHA: "a", Since: at(10)}, {SHA: "a", Since: at(20), Replaced: "b"}}
	late := []Head{{SHA: "a", Since: at(10)}, {SHA: "b", Since: at(25), Replaced: UnknownCommit}, {SHA: "b", Since: at(20), Replaced: "a"}}
	for _, c := range []struct {
		name  string
		heads []Head
		at    int
		want  string
	}{
		{"nothing known", nil, 10, ""},
		{"before the first head", history, 9, ""},
		{"in the second in which the pull request was opened", history, 10, ""},
		{"after the first head", history, 19, "a"},
		{"in the second of a push: the older head", history, 20, "a"},
		{"after the push", history, 21, "b"},
		{"after a push back to the first", history, 31, "a"},
		{"before a push that was told of", told, 15, "a"},
		{"before a head that was only seen", seen, 15, UnknownCommit},
		{"after it", seen, 21, "b"},
		{"before a push from another head", back, 15, UnknownCommit},
		{"after it, back at the first", back, 21, "a"},
		{"before a head that was seen, and told of later", late, 15, "a"},
		{"after it was pushed, before it was seen", late, 22, "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := CommitAt(c.heads, at(c.at)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestIncompleteSnapshots(t *testing.T) {
	whole := func() Snapshot {
		return Snapshot{
			PullRequest: PullRequest{HeadSHA: "aaaaaaaa", ChangedFiles: 1, CommitCount: 1},
			Files:       []File{{Path: "x"}}, Commits: []Commit{{SHA: "aaaaaaaa"}},
		}
	}
	if why := whole().Incomplete(); why != "" {
		t.Errorf("a whole snapshot is refused: %s", why)
	}
	for name, spoil := range map[string]func(*Snapshot){
		"files are missing":   func(s *Snapshot) { s.PullRequest.ChangedFiles = 2 },
		"commits are missing": func(s *Snapshot) { s.PullRequest.CommitCount = 251 },
		"the head is missing": func(s *Snapshot) { s.Commits[0].SHA = "b" },
	} {
		s := whole()
		if spoil(&s); s.Incomplete() == "" || !s.Torn() {
			t.Errorf("accepted, or for good, though %s", name)
		}
	}
}

func TestATooLargeSnapshotIsNotTorn(t *testing.T) {
	s := Snapshot{PullRequest: PullRequest{HeadSHA: "a", ChangedFiles: maxListedFiles + 1}, Files: make([]File, maxListedFiles)}
	if s.Incomplete() == "" || s.Torn() {
		t.Errorf("%q, torn: %t", s.Incomplete(), s.Torn())
	}
}

func TestWho(t *testing.T) {
	for _, c := range []struct {
		who      Who
		standing Standing
		selected bool
		words    string
	}{
		{Who{}, Standing{Permission: PermissionAdmin}, false, "nobody"},
		{Who{Permission: PermissionWrite}, Standing{Permission: PermissionTriage}, false, "anyone with write"},
		{Who{Permission: PermissionWrite}, Standing{Permission: PermissionMaintain}, true, "anyone with write"},
		{Who{Teams: []string{"acme/leads"}}, Standing{Teams: []string{"acme/leads"}}, true, "acme/leads"},
		{Who{Teams: []string{"acme/leads"}}, Standing{Permission: PermissionAdmin}, false, "acme/leads"},
		{Who{Users: []string{"ANN"}, Teams: []string{"acme/leads"}, Permission: PermissionAdmin}, Standing{Login: "ann"}, true, "acme/leads, ANN or anyone with admin"},
	} {
		if got := c.who.Selects(c.standing); got != c.selected || c.who.String() != c.words {
			t.Errorf("%q selects %+v: %t, want %t, %q", c.who, c.standing, got, c.selected, c.words)
		}
	}
	if (Who{Users: []string{""}}).Selects(Standing{}) {
		t.Error("an account without a login is selected by an empty name")
	}
}
