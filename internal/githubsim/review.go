package githubsim

import (
	"net/http"
	"strings"
	"time"
)

// review is one review; state is upper case, as over REST: APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED or PENDING.
type review struct {
	id      int64
	pull    *PullRequest
	author  *User
	state   string
	body    string
	commit  string
	at      time.Time // when it was submitted
	created time.Time
	edited  edit
}

// Review is a review as tests see it; State is as over REST, in upper case.
type Review struct {
	ID          int64
	User        string
	State, Body string
	CommitID    string
	SubmittedAt time.Time
}

var reviewStates = map[string]string{
	"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED", "": "PENDING",
}

// Review reviews the current head: state is APPROVE, REQUEST_CHANGES or COMMENT. The author cannot approve.
func (p *PullRequest) Review(u *User, state, body string) (*Review, error) {
	return p.ReviewAt(u, state, body, "")
}

// ReviewAt reviews an older commit of the pull request, as somebody does whose page is not reloaded.
func (p *PullRequest) ReviewAt(u *User, state, body, commitSHA string) (*Review, error) {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	r, err := p.review(actor{user: u}, state, body, commitSHA)
	if err != nil {
		return nil, err
	}
	view := r.view()
	return &view, nil
}

// Reviews are the submitted reviews, oldest first.
func (p *PullRequest) Reviews() []Review {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	var list []Review
	for _, r := range p.reviews {
		if r.state != "PENDING" {
			list = append(list, r.view())
		}
	}
	return list
}

// DismissReview takes a review's effect away; it needs write, and a message.
func (p *PullRequest) DismissReview(u *User, id int64, message string) error {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.dismissReview(actor{user: u}, id, message)
}

// EditReview changes the text of one's own review; Apps hear pull_request_review.edited.
func (p *PullRequest) EditReview(u *User, id int64, body string) error {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.editReview(actor{user: u}, id, body)
}

func (r *review) view() Review {
	return Review{ID: r.id, User: r.author.login, State: r.state, Body: r.body, CommitID: r.commit, SubmittedAt: r.at}
}

func (p *PullRequest) review(a actor, event, body, sha string) (*review, error) {
	if sha == "" {
		sha = p.head
	}
	state, known := reviewStates[event]
	switch {
	case p.repo.roleOf(a) < roleRead:
		return nil, notFound()
	case !known:
		return nil, invalid("PullRequestReview", "event", "invalid", "")
	case p.repo.net.commits[sha] == nil:
		return nil, unprocessable("The commit_id is not part of the pull request")
	}
	if err := p.mayReview(a); err != nil {
		return nil, err
	}
	r := &review{id: p.repo.sim.id(), pull: p, author: a.user, state: "PENDING", body: body, commit: sha}
	if state != "PENDING" {
		if err := r.submit(a, state); err != nil {
			return nil, err
		}
	}
	if r.created = r.at; r.created.IsZero() {
		r.created = p.repo.sim.tick()
	}
	p.reviews = append(p.reviews, r)
	return r, nil
}

// submit turns a pending review into one that others see.
func (r *review) submit(a actor, state string) error {
	switch {
	case r.state != "PENDING" || r.author != a.user:
		return unprocessable("Review cannot be submitted")
	case state == "APPROVED" && r.pull.author == a.user:
		return unprocessable("Can not approve your own pull request")
	case state == "CHANGES_REQUESTED" && r.pull.author == a.user:
		return unprocessable("Can not request changes on your own pull request")
	case state != "APPROVED" && r.body == "":
		return unprocessable("Body can't be blank")
	}
	r.pull.touch()
	r.state, r.at = state, r.pull.updated
	r.emit(a, "submitted", obj{})
	return nil
}

func (r *review) emit(a actor, action string, body obj) {
	body["review"] = r.json(true)
	body["pull_request"] = r.pull.payload(false)
	r.pull.repo.sim.emit(r.pull.repo, "pull_request_review", action, a.user, body)
}

// reviewNamed finds a review that a can see: a pending one only its author can.
func (p *PullRequest) reviewNamed(a actor, id int64) (*review, error) {
	for _, r := range p.reviews {
		if r.id == id && (r.state != "PENDING" || r.author == a.user) {
			return r, nil
		}
	}
	return nil, notFound()
}

func (p *PullRequest) dismissReview(a actor, id int64, message string) error {
	r, err := p.reviewNamed(a, id)
	switch {
	case err != nil:
		return err
	case p.repo.roleOf(a) < roleWrite:
		return refuse(http.StatusForbidden, "Must have write access to dismiss a review.")
	case message == "":
		return invalid("PullRequestReview", "message", "missing_field", "")
	case r.state != "APPROVED" && r.state != "CHANGES_REQUESTED":
		return unprocessable("Can not dismiss a " + strings.ToLower(r.state) + " pull request review")
	}
	p.touch()
	p.record(a, timelineEntry{event: "review_dismissed", review: r, was: r.state, text: message})
	r.state = "DISMISSED"
	r.emit(a, "dismissed", obj{})
	return nil
}

func (p *PullRequest) editReview(a actor, id int64, body string) error {
	r, err := p.reviewNamed(a, id)
	switch {
	case err != nil:
		return err
	case r.author != a.user:
		return refuse(http.StatusForbidden, "Only the author may edit a review.")
	case body == "":
		return unprocessable("Body can't be blank")
	}
	from := r.body
	r.body = body
	p.touch()
	r.edited = edit{a.user, p.updated}
	r.emit(a, "edited", obj{"changes": obj{"body": obj{"from": from}}})
	return nil
}

// opinions are the latest approvals and requests for changes, one for each person: a comment changes nothing, a dismissal clears.
func (p *PullRequest) opinions() map[*User]string {
	latest := map[*User]string{}
	for _, r := range p.reviews {
		if r.state != "COMMENTED" && r.state != "PENDING" {
			latest[r.author] = r.state
		}
	}
	return latest
}
