package githubsim

import (
	"cmp"
	"net/http"
	"slices"
)

func pullRoutes() []route {
	const at = "repos/{owner}/{repo}/pulls"
	read, write := needs("pull_requests=read"), needs("pull_requests=write")
	return []route{
		endpoint("GET "+at, servePulls, read),
		endpoint("POST "+at, serveNewPull, write),
		endpoint("GET "+at+"/{number}", servePull, read),
		endpoint("PATCH "+at+"/{number}", serveEditPull, write),
		endpoint("GET "+at+"/{number}/files", servePullFiles, read),
		endpoint("GET "+at+"/{number}/commits", servePullCommits, read),
		endpoint("GET "+at+"/{number}/reviews", serveReviews, read),
		endpoint("POST "+at+"/{number}/reviews", serveNewReview, write),
		endpoint("GET "+at+"/{number}/reviews/{id}", serveReview, read),
		endpoint("PUT "+at+"/{number}/reviews/{id}", serveEditReview, write),
		endpoint("POST "+at+"/{number}/reviews/{id}/events", serveSubmitReview, write),
		endpoint("PUT "+at+"/{number}/reviews/{id}/dismissals", serveDismissal, write),
		endpoint("GET "+at+"/{number}/merge", serveMerged, needs("contents=read")),
		endpoint("PUT "+at+"/{number}/merge", serveMerge, needs("contents=write")),
		endpoint("GET repos/{owner}/{repo}/commits/{sha}/pulls", servePullsOfCommit, read),
	}
}

func (c *call) pull() (*PullRequest, error) {
	p := c.repo.pulls[int(parseID(c.params["number"]))]
	if p == nil {
		return nil, notFound()
	}
	return p, nil
}

func servePulls(c *call) error {
	var list []*PullRequest
	for _, p := range c.repo.pulls {
		if c.wantsState(p.state) && c.wantsBranch("base", p.base) && c.wantsBranch("head", p.headRepo.owner.login+":"+p.headRef) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *PullRequest) int {
		order := a.number - b.number
		if c.query.Get("sort") == "updated" {
			order = cmp.Or(a.updated.Compare(b.updated), order)
		}
		if c.newestFirst() {
			return -order
		}
		return order
	})
	return replyList(c, list, (*PullRequest).brief)
}

// newestFirst is GitHub's default: descending when sorted by creation, ascending by anything else.
func (c *call) newestFirst() bool {
	if direction := c.query.Get("direction"); direction != "" {
		return direction == "desc"
	}
	by := c.query.Get("sort")
	return by == "" || by == "created"
}

func (c *call) wantsState(state string) bool {
	wanted := c.query.Get("state")
	return wanted == "all" || wanted == state || wanted == "" && state == "open"
}

func (c *call) wantsBranch(key, value string) bool {
	wanted := c.query.Get(key)
	return wanted == "" || wanted == value
}

func serveNewPull(c *call) error {
	var body struct {
		Title, Body, Head, Base string
		Draft                   bool
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.Base == "" {
		return invalid("PullRequest", "base", "missing_field", "")
	}
	p, err := c.repo.openPull(c.actor, PullRequestSpec(body))
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, p.json(false))
}

func servePull(c *call) error {
	p, err := c.pull()
	if err != nil {
		return err
	}
	return c.replyUnlessOld(p.updated, p.json(false))
}

func serveEditPull(c *call) error {
	p, err := c.pull()
	if err != nil {
		return err
	}
	var body struct{ Title, Body, Base, State *string }
	if err := c.decode(&body); err != nil {
		return err
	}
	if err := p.edit(c.actor, body.Title, body.Body); err != nil {
		return err
	}
	if body.Base != nil {
		if err := p.retarget(c.actor, *body.Base); err != nil {
			return err
		}
	}
	if body.State != nil {
		if err := p.changeState(c.actor, *body.State); err != nil {
			return err
		}
	}
	return c.reply(http.StatusOK, p.json(false))
}

// changeState is PATCH's state: open or closed.
func (t *thread) changeState(a actor, state string) error {
	switch {
	case state == "closed":
		return t.setState(a, state)
	case state == "open" && t.pull != nil:
		return t.pull.reopen(a)
	case state == "open":
		return t.setState(a, state)
	}
	return invalid("Issue", "state", "invalid", "")
}

// mostFiles and mostPullCommits are where GitHub's lists end, whatever the page.
const (
	mostFiles       = 3000
	mostPullCommits = 250
)

func servePullFiles(c *call) error {
	p, err := c.pull()
	if err != nil {
		return err
	}
	files := p.files()
	return replyList(c, files[:min(mostFiles, len(files))], func(f fileChange) obj { return c.repo.fileJSON(f, p.head) })
}

func servePullCommits(c *call) error {
	p, err := c.pull()
	if err != nil {
		return err
	}
	list := p.commits()
	return replyList(c, list[:min(mostPullCommits, len(list))], c.repo.commitJSON)
}

func serveReviews(c *call) error {
	p, err := c.pull()
	if err != nil {
		return err
	}
	visible := slices.DeleteFunc(slices.Clone(p.reviews), func(r *review) bool { return r.state == "PENDING" && r.author != c.actor.user })
	return replyList(c, visible, func(r *review) obj { return r.json(false) })
}

func serveNewReview(c *call) error {
	p, err := c.pull()
	if err != nil {
		return err
	}
	var body struct {
		CommitID string `json:"commit_id"`
		Body     string `json:"body"`
		Event    string `json:"event"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	r, err := p.review(c.actor, body.Event, body.Body, body.CommitID)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, r.json(false))
}

// review is the review that the path names, and its pull request.
func (c *call) review() (*PullRequest, *review, error) {
	p, err := c.pull()
	if err != nil {
		return nil, nil, err
	}
	r, err := p.reviewNamed(c.actor, parseID(c.params["id"]))
	return p, r, err
}

func serveReview(c *call) error {
	_, r, err := c.review()
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, r.json(false))
}

func serveEditReview(c *call) error {
	p, r, err := c.review()
	if err != nil {
		return err
	}
	var body struct{ Body string }
	if err := c.decode(&body); err != nil {
		return err
	}
	if err := p.editReview(c.actor, r.id, body.Body); err != nil {
		return err
	}
	return c.reply(http.StatusOK, r.json(false))
}

func serveSubmitReview(c *call) error {
	_, r, err := c.review()
	if err != nil {
		return err
	}
	var body struct{ Event, Body string }
	if err := c.decode(&body); err != nil {
		return err
	}
	state := reviewStates[body.Event]
	if state == "" || state == "PENDING" {
		return invalid("PullRequestReview", "event", "invalid", "")
	}
	if body.Body != "" {
		r.body = body.Body
	}
	if err := r.submit(c.actor, state); err != nil {
		return err
	}
	return c.reply(http.StatusOK, r.json(false))
}

func serveDismissal(c *call) error {
	p, r, err := c.review()
	if err != nil {
		return err
	}
	var body struct{ Message string }
	if err := c.decode(&body); err != nil {
		return err
	}
	if err := p.dismissReview(c.actor, r.id, body.Message); err != nil {
		return err
	}
	return c.reply(http.StatusOK, r.json(false))
}

func serveMerged(c *call) error {
	p, err := c.pull()
	switch {
	case err != nil:
		return err
	case !p.merged:
		return notFound()
	}
	return c.reply(http.StatusNoContent, nil)
}

func serveMerge(c *call) error {
	p, err := c.pull()
	if err != nil {
		return err
	}
	var spec mergeSpec
	if err := c.decode(&spec); err != nil {
		return err
	}
	sha, err := p.merge(c.actor, spec, roadAPI)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, obj{"sha": sha, "merged": true, "message": "Pull Request successfully merged"})
}

func servePullsOfCommit(c *call) error {
	at, err := c.commitAt(c.params["sha"])
	if err != nil {
		return err
	}
	return replyList(c, c.repo.pullsOf(at.sha), (*PullRequest).brief)
}

// pullsOf are the pull requests that a commit is part of, or that made it by being merged, oldest first.
func (r *Repository) pullsOf(sha string) []*PullRequest {
	var list []*PullRequest
	for _, p := range r.pulls {
		own := slices.ContainsFunc(p.commits(), func(x *commit) bool { return x.sha == sha })
		if own || p.mergeSHA == sha {
			list = append(list, p)
		}
	}
	return byCreation(list, func(p *PullRequest) int64 { return p.id })
}
