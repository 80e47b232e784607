package app

import (
	"fmt"
	"slices"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// mostOpen bounds how many pull requests are open in a history that goes on for
// long: each change of a policy concerns all of them.
const mostOpen = 100

func (h *history) openOne() {
	r := h.random
	open := slices.DeleteFunc(h.shop.PullRequests(), func(pr *githubsim.PullRequest) bool { return pr.State() != "open" })
	if len(open) >= mostOpen {
		h.closes(open[0], "bob")
	}
	n := len(h.shop.PullRequests())
	kind := pick(r, "search", "search", "typo", "auth", "deploy", "agent", "repair", "twin", "stacked")
	author, branch, base := pick(r, "ann", "ann", "bob"), fmt.Sprintf("%s-%d", kind, n), pick(r, "main", "main", "release")
	files := map[string]map[string]string{
		"search": searchFilesWith(fmt.Sprint(n)), "typo": {"README.md": fmt.Sprintf("# Shop %d\n", n)},
		"auth": {fmt.Sprintf("auth/login%d.go", n): "package auth\n"}, "deploy": {fmt.Sprintf("deploy/%d.sh", n): "true\n"},
		"agent": {fmt.Sprintf("catalogue/a%d.go", n): "package catalogue\n"}, "repair": {policy.DefaultPath: demoPolicy + fmt.Sprintf("# %d\n", n)},
	}[kind]
	all := h.shop.PullRequests()
	switch {
	case kind == "agent" && h.chance(2):
		author = "claude[bot]"
	case kind == "agent":
		branch = "claude/" + branch
	case kind == "twin" && n == 0:
		return
	case kind == "twin" && h.chance(2):
		other := pick(r, all...).Details()
		branch, base = other.Head, map[string]string{"main": "release", "release": "main"}[other.Base]
	case kind == "twin":
		if _, err := h.shop.ForcePush(h.github.User(author), branch, pick(r, all...).HeadSHA()); err != nil {
			return
		}
	case kind == "stacked":
		files = map[string]string{fmt.Sprintf("catalogue/s%d.go", n): "package catalogue\n"}
	}
	if kind != "twin" {
		if _, err := h.shop.Push(h.github.User(author), branch, githubsim.Commit{Message: kind, Files: files}); err != nil {
			return
		}
	}
	h.note("%s opens %s onto %s", author, branch, base)
	var pr *githubsim.PullRequest
	lost, err := h.told(func() (err error) {
		pr, err = h.shop.Open(h.github.User(author), githubsim.PullRequestSpec{Title: kind, Head: branch, Base: base})
		return err
	})
	if err == nil {
		h.lines[len(h.lines)-1] += fmt.Sprintf(": #%d at %.7s", pr.Number(), pr.HeadSHA())
		d := pr.Details()
		h.heads[pr.Number()] = []headNote{{sha: d.HeadSHA, at: d.CreatedAt, by: author, lost: lost}}
	}
}

// act lets somebody do something to one of the pull requests.
func (h *history) act() {
	r := h.random
	pr := pick(r, h.shop.PullRequests()...)
	by := pick(r, "ann", "bob", "bob", "lee", "lee", "sam", "sue", "tom", "claude[bot]")
	acts := []func(*githubsim.PullRequest, string){
		h.pushes, h.pushes, h.rebases, h.reviews, h.reviews, h.reviews, h.reviews, h.comments, h.comments, h.comments, h.comments,
		h.agree, h.agree, h.takesBack, h.takesBack, h.labels, h.closes, h.retargets, h.grants, h.moves, h.legislates,
	}
	if h.chance(20) {
		h.openOne()
		return
	}
	pick(r, acts...)(pr, by)
}

func (h *history) pushes(pr *githubsim.PullRequest, by string) {
	d := pr.Details()
	if d.Merged {
		return
	}
	known := h.heads[d.Number]
	commit := githubsim.Commit{Message: "more", Files: map[string]string{pick(h.random, "catalogue/x.go", "docs/y.md"): fmt.Sprintln("x", h.random.IntN(1000))}}
	switch {
	case h.chance(4):
		commit.Author = h.github.User("ann")
		commit.Committer = commit.Author
	case h.chance(10):
		commit.UnmappedEmail = "somebody@example.com"
	}
	old := pick(h.random, known...).sha
	forced := h.chance(3)
	if forced && (h.nothingToMerge("main", old) || h.nothingToMerge("release", old)) {
		return
	}
	what := "pushes"
	if forced {
		what = fmt.Sprintf("forces the branch to %.7s", old)
	}
	h.note("%s %s to %s", by, what, d.Head)
	lost, err := h.told(func() (err error) {
		if forced {
			_, err = h.shop.ForcePush(h.github.User(by), d.Head, old)
		} else {
			_, err = h.shop.Push(h.github.User(by), d.Head, commit)
		}
		return err
	})
	if err == nil {
		h.lines[len(h.lines)-1] += fmt.Sprintf(": the head is %.7s", pr.HeadSHA())
		h.noteHeads(by, lost)
	}
}

// rebases puts what the pull request changes on top of its base, as one commit.
func (h *history) rebases(pr *githubsim.PullRequest, by string) {
	d := pr.Details()
	if d.Merged {
		return
	}
	commit := githubsim.Commit{Message: "rebased", Files: map[string]string{}, Author: h.github.User(d.Author), Committer: h.github.User(d.Author)}
	for _, f := range pr.Files() {
		if content, ok := h.shop.File(d.HeadSHA, f.Path); ok && f.Path != policy.DefaultPath {
			commit.Files[f.Path] = content
		}
	}
	if len(commit.Files) == 0 {
		return
	}
	h.note("%s rebases %s onto %s", by, d.Head, d.Base)
	lost, err := h.told(func() error {
		_, err := h.shop.ForcePush(h.github.User(by), d.Head, h.shop.Head(d.Base), commit)
		return err
	})
	if err == nil {
		h.lines[len(h.lines)-1] += fmt.Sprintf(": the head is %.7s", pr.HeadSHA())
		h.noteHeads(by, lost)
	}
}

// reviews is a review of any kind, now and then of an older commit.
func (h *history) reviews(pr *githubsim.PullRequest, by string) {
	state, commit, body := pick(h.random, "APPROVE", "APPROVE", "REQUEST_CHANGES", "COMMENT"), pr.HeadSHA(), "a review"
	if h.chance(5) {
		commit = pick(h.random, h.heads[pr.Number()]...).sha
	}
	if state == "COMMENT" {
		body = h.body(pr)
	}
	h.review(pr, by, state, commit, body)
}

func (h *history) review(pr *githubsim.PullRequest, by, state, commit, body string) {
	n := pr.Number()
	h.note("%s reviews #%d at %.7s: %s %q", by, n, commit, state, body)
	var review *githubsim.Review
	lost, err := h.told(func() (err error) {
		review, err = pr.ReviewAt(h.github.User(by), state, body, commit)
		return err
	})
	if err != nil {
		return
	}
	w := &word{id: review.ID, by: by, at: review.SubmittedAt, commit: review.CommitID, lost: lost}
	switch state {
	case "APPROVE":
		w.verdicts, w.shown = []spoken{{verdict: "approve"}}, true
	case "REQUEST_CHANGES":
		w.verdicts, w.shown = []spoken{{verdict: "reject"}}, true
	default:
		w.verdicts = said(body)
	}
	h.words[n] = append(h.words[n], w)
}

// agree has several people approve, one after the other.
func (h *history) agree(pr *githubsim.PullRequest, _ string) {
	people := []string{"bob", "lee", "sam", "sue"}
	h.random.Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
	for _, by := range people[:2+h.random.IntN(3)] {
		if h.chance(2) {
			h.says(pr, by, "/approve")
		} else {
			h.approves(pr, by)
		}
	}
}

func (h *history) approves(pr *githubsim.PullRequest, by string) {
	h.review(pr, by, "APPROVE", pr.HeadSHA(), "a review")
}

// body is a text with commands, or with what looks like some.
func (h *history) body(pr *githubsim.PullRequest) string {
	sha := pick(h.random, h.heads[pr.Number()]...).sha
	return pick(h.random,
		"/approve", "/approve", "/approve", "/approve "+pr.HeadSHA()[:10], "/approve "+sha[:10], "/approve "+sha, "/reject no", "/reject", "/unapprove",
		"/approve\n\n/reject on second thoughts", "/approve nonsense", "> /approve\n\nNo.", "```\n/approve\n```", "`/reject`", "/tier", "@claude please mend this", "fine",
	)
}

// said are the verdicts of a text.
func said(body string) []spoken {
	var all []spoken
	for _, c := range policy.ParseCommands(body) {
		verdict := map[policy.Verb]string{policy.VerbApprove: "approve", policy.VerbReject: "reject", policy.VerbUnapprove: "withdrawn"}[c.Verb]
		if verdict != "" && c.Fault == "" {
			all = append(all, spoken{verdict, c.SHA})
		}
	}
	return all
}

func (h *history) comments(pr *githubsim.PullRequest, by string) {
	h.says(pr, by, h.body(pr))
}

func (h *history) says(pr *githubsim.PullRequest, by, body string) {
	h.note("%s comments on #%d: %q", by, pr.Number(), body)
	var comment *githubsim.Comment
	lost, err := h.told(func() (err error) {
		comment, err = pr.Comment(h.github.User(by), body)
		return err
	})
	if err == nil {
		h.words[pr.Number()] = append(h.words[pr.Number()], &word{id: comment.ID, by: by, at: comment.CreatedAt, verdicts: said(body), lost: lost})
	}
}

// takesBack edits or deletes a comment, edits the text of a review, or
// dismisses a review.
func (h *history) takesBack(pr *githubsim.PullRequest, by string) {
	words := h.words[pr.Number()]
	if len(words) == 0 {
		return
	}
	w := pick(h.random, words...)
	if h.chance(2) {
		by = w.by
	}
	// GitHub tells times to the second, and an edit within one of them may not be
	// seen by REST.
	_ = pr.SetTitle(h.github.User("ann"), fmt.Sprint("Title ", h.random.IntN(1000)))
	u, how := h.github.User(by), pick(h.random, "edits", "deletes")
	var act func() error
	switch {
	case w.shown:
		how = "dismisses"
		act = func() error { return pr.DismissReview(u, w.id, "settled") }
	case w.commit != "":
		how = "edits"
		act = func() error { return pr.EditReview(u, w.id, "/approve\n\nedited") }
	case how == "edits":
		act = func() error { return pr.EditComment(u, w.id, "/approve\n\nedited") }
	default:
		act = func() error { return pr.DeleteComment(u, w.id) }
	}
	h.note("%s %s what %s said on #%d: %v", by, how, w.by, pr.Number(), w.verdicts)
	if lost, err := h.told(act); err == nil {
		w.taken = append(w.taken, taking{by: by, seen: w.shown, lost: lost})
	}
}

func (h *history) labels(pr *githubsim.PullRequest, by string) {
	u := h.github.User(by)
	if slices.Contains(pr.Labels(), "security") {
		h.note("%s takes the label security off #%d", by, pr.Number())
		_, _ = h.told(func() error { return pr.RemoveLabel(u, "security") })
		return
	}
	h.note("%s puts the label security on #%d", by, pr.Number())
	_, _ = h.told(func() error { return pr.AddLabel(u, "security") })
}

func (h *history) closes(pr *githubsim.PullRequest, by string) {
	u := h.github.User(by)
	if pr.State() == "open" {
		h.note("%s closes #%d", by, pr.Number())
		_, _ = h.told(func() error { return pr.Close(u) })
		return
	}
	d := pr.Details()
	if h.nothingToMerge(d.Base, h.shop.Head(d.Head)) {
		return
	}
	h.note("%s reopens #%d", by, pr.Number())
	if lost, err := h.told(func() error { return pr.Reopen(u) }); err == nil {
		// What was pushed while it was closed is the head now; by whom is not told.
		h.noteHeads("", lost)
	}
}

func (h *history) retargets(pr *githubsim.PullRequest, by string) {
	d := pr.Details()
	base := map[string]string{"main": "release", "release": "main"}[d.Base]
	if h.nothingToMerge(base, d.HeadSHA) {
		return
	}
	h.note("%s retargets #%d to %s", by, d.Number, base)
	_, _ = h.told(func() error { return pr.Retarget(h.github.User(by), base) })
}

// nothingToMerge is true of a head that the base has. GitHub refuses or closes
// such a pull request, and the simulator does not.
func (h *history) nothingToMerge(base, head string) bool {
	return (&judging{oracle: h.oracle}).ancestors(h.shop.Head(base))[head]
}

// grants changes somebody's role.
func (h *history) grants(*githubsim.PullRequest, string) {
	who, role := pick(h.random, "bob", "lee", "sam", "tom"), pick(h.random, "read", "triage", "write", "write", "maintain", "admin")
	h.note("%s is given the role %s", who, role)
	_, _ = h.told(func() error { h.shop.SetRole(h.github.User(who), role); return nil })
}

// moves changes a team.
func (h *history) moves(*githubsim.PullRequest, string) {
	team := pick(h.random, h.shop.Organization().Teams()...)
	who := pick(h.random, "bob", "lee", "sam", "sue")
	if slices.Contains(team.Members(), who) {
		h.note("%s leaves %s", who, team.Slug())
		_, _ = h.told(func() error { team.Remove(h.github.User(who)); return nil })
		return
	}
	h.note("%s joins %s", who, team.Slug())
	_, _ = h.told(func() error { team.Add(h.github.User(who)); return nil })
}

// legislates changes a policy.
func (h *history) legislates(*githubsim.PullRequest, string) {
	names := []string{"the demo's", "the demo's", "one that keeps approvals", "a lax one", "a strict one", "a broken one", "one with an unknown team"}
	name := pick(h.random, names...)
	repo, branch := h.shop, pick(h.random, "main", "main", "release")
	if org := h.github.Repository("acme/.github"); org != nil && h.chance(3) {
		repo, branch = org, "main"
	}
	h.note("the policy of %s on %s is %s", repo.Name(), branch, name)
	_, _ = h.told(func() error {
		repo.SetFiles(branch, map[string]string{policy.DefaultPath: policiesOfHistories[name]})
		return nil
	})
}
