package githubsim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// thread is what an issue and a pull request have in common: a number, a title, labels and comments.
type thread struct {
	repo     *Repository
	id       int64
	number   int
	title    string
	body     string
	author   *User
	app      *App // that opened it
	state    string
	labels   []*label
	comments []*comment
	created  time.Time
	updated  time.Time
	closed   time.Time
	edited   edit            // of the body
	timeline []timelineEntry // oldest first
	pull     *PullRequest    // nil for an issue

	locked     bool
	lockReason string
}

// Issue is a thread that is not a pull request.
type Issue struct{ *thread }

// edit is the last change of a text; zero when there was none.
type edit struct {
	by *User
	at time.Time
}

// comment is one comment of a thread.
type comment struct {
	id        int64
	thread    *thread
	author    *User
	app       *App // through which it was written, or nil
	body      string
	created   time.Time
	updated   time.Time
	edited    edit
	reactions []reaction
}

type reaction struct {
	id      int64
	user    *User
	content string
	at      time.Time
}

// Comment is a comment as tests see it. AppID is 0 unless an App wrote it.
type Comment struct {
	ID                   int64
	User                 string
	AppID                int64
	Body                 string
	CreatedAt, UpdatedAt time.Time
}

// Reaction is one reaction to a comment: +1, -1, laugh, confused, heart, hooray, rocket or eyes.
type Reaction struct {
	User    string
	Content string
}

func (r *Repository) newThread(a actor, title, body string) *thread {
	at := r.sim.tick()
	r.lastNum++
	t := &thread{
		repo: r, id: r.sim.id(), number: r.lastNum, title: title, body: body, author: a.user, app: a.through(),
		state: "open", created: at, updated: at,
	}
	r.threads[t.number] = t
	r.open++
	return t
}

// OpenIssue opens an issue, with labels when u has triage.
func (r *Repository) OpenIssue(u *User, title, body string, labels ...string) (*Issue, error) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.openIssue(actor{user: u}, title, body, labels)
}

func (r *Repository) openIssue(a actor, title, body string, labels []string) (*Issue, error) {
	switch {
	case r.roleOf(a) < roleRead:
		return nil, notFound()
	case title == "":
		return nil, invalid("Issue", "title", "missing_field", "")
	}
	t := r.newThread(a, title, body)
	t.emit(a, "issues", "opened", obj{})
	if r.roleOf(a) >= roleTriage {
		for _, name := range labels {
			if err := t.addLabel(a, name); err != nil {
				return nil, err
			}
		}
	}
	return &Issue{t}, nil
}

// Issue finds an issue by number, or returns nil.
func (r *Repository) Issue(number int) *Issue {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	if t := r.threads[number]; t != nil && t.pull == nil {
		return &Issue{t}
	}
	return nil
}

// Number is the number after the #.
func (t *thread) Number() int { return t.number }

// Repository is where the thread lives.
func (t *thread) Repository() *Repository { return t.repo }

// State is open or closed.
func (t *thread) State() string {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.state
}

// Title is the title of the issue or pull request.
func (t *thread) Title() string {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.title
}

// Body is the text of the issue or pull request.
func (t *thread) Body() string {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.body
}

// Labels are the names of the labels, in the order in which they were added.
func (t *thread) Labels() []string {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	names := make([]string, len(t.labels))
	for i, l := range t.labels {
		names[i] = l.name
	}
	return names
}

// AddLabel needs triage. A label that is not there yet is created, as by the REST API; adding twice is nothing.
func (t *thread) AddLabel(u *User, name string) error {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.addLabel(actor{user: u}, name)
}

// RemoveLabel needs triage; a label that is not on the thread is a 404, as at GitHub.
func (t *thread) RemoveLabel(u *User, name string) error {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.removeLabel(actor{user: u}, name)
}

func (t *thread) addLabel(a actor, name string) error {
	if t.repo.roleOf(a) < roleTriage {
		return refuse(http.StatusForbidden, "You do not have permission to add labels.")
	}
	if name == "" {
		return invalid("Label", "name", "missing_field", "")
	}
	if t.labelNamed(name) != nil {
		return nil
	}
	l := t.repo.label(name, a.user)
	t.labels = append(t.labels, l)
	t.touch()
	t.record(a, timelineEntry{event: "labeled", label: l})
	t.emit(a, "", "labeled", obj{"label": t.repo.labelJSON(l)})
	return nil
}

func (t *thread) removeLabel(a actor, name string) error {
	if t.repo.roleOf(a) < roleTriage {
		return refuse(http.StatusForbidden, "You do not have permission to remove labels.")
	}
	l := t.labelNamed(name)
	if l == nil {
		return refuse(http.StatusNotFound, "Label does not exist")
	}
	t.labels = slices.DeleteFunc(t.labels, func(have *label) bool { return have == l })
	t.touch()
	t.record(a, timelineEntry{event: "unlabeled", label: l})
	t.emit(a, "", "unlabeled", obj{"label": t.repo.labelJSON(l)})
	return nil
}

func (t *thread) labelNamed(name string) *label {
	for _, l := range t.labels {
		if strings.EqualFold(l.name, name) {
			return l
		}
	}
	return nil
}

func (t *thread) touch() { t.updated = t.repo.sim.tick() }

// emit sends an event about the thread; an empty event means "issues" or "pull_request", whichever it is.
func (t *thread) emit(a actor, event, action string, body obj) {
	if event == "" {
		event = "issues"
		if t.pull != nil {
			event = "pull_request"
		}
	}
	if event == "pull_request" {
		body["number"] = t.number
		body["pull_request"] = t.pull.payload(true)
	} else {
		body["issue"] = t.json()
	}
	t.repo.sim.emit(t.repo, event, action, a.user, body)
}

// setState closes or reopens; the author and people with triage may.
func (t *thread) setState(a actor, state string) error {
	if state == t.state {
		return nil
	}
	if t.repo.roleOf(a) < roleTriage && a.user != t.author {
		return refuse(http.StatusForbidden, "You do not have permission to close or reopen this.")
	}
	t.become(a, state)
	return nil
}

// become closes or reopens, whoever it was.
func (t *thread) become(a actor, state string) {
	t.touch()
	t.state = state
	action := "closed"
	if state == "open" {
		action = "reopened"
		t.closed = time.Time{}
		t.repo.open++
	} else {
		t.closed = t.updated
		t.repo.open--
	}
	if t.pull != nil {
		t.pull.stateChanged(a)
	}
	t.record(a, timelineEntry{event: action})
	t.emit(a, "", action, obj{})
}

// Close needs triage, or to be the author.
func (t *thread) Close(u *User) error {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.setState(actor{user: u}, "closed")
}

// Reopen needs triage, or to be the author; a merged pull request stays closed.
func (t *thread) Reopen(u *User) error {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	if t.pull != nil {
		return t.pull.reopen(actor{user: u})
	}
	return t.setState(actor{user: u}, "open")
}
