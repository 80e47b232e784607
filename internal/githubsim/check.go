package githubsim

import (
	"net/http"
	"slices"
	"time"
)

// checkRun is what one App says about one commit. Only that App may change it.
type checkRun struct {
	id          int64
	app         *App
	suite       *checkSuite
	name        string
	sha         string
	status      string // queued, in_progress or completed
	conclusion  string // "" until completed
	title       string
	summary     string
	text        string
	annotations []obj
	externalID  string
	detailsURL  string
	actions     []checkAction
	started     time.Time
	completed   time.Time
	created     time.Time
	updates     int
}

type checkAction struct {
	Label       string `json:"label"`
	Description string `json:"description"`
	Identifier  string `json:"identifier"`
}

// checkSuite is what one App has on one commit; its conclusion is its runs' worst, unless it was asked for again.
type checkSuite struct {
	id          int64
	app         *App
	sha         string
	branch      string // "" for a fork's
	before      string
	rerequested bool // queued again, its conclusion cleared, until a run is written
	created     time.Time
	updated     time.Time
}

// CheckRun is a check run as tests see it. Updates counts the times that its App wrote to it after creating it.
type CheckRun struct {
	ID                     int64
	Name, HeadSHA          string
	Status, Conclusion     string
	Title, Summary, Text   string
	ExternalID, DetailsURL string
	AppID                  int64
	Actions                []string // their identifiers
	Updates                int
	StartedAt, CompletedAt time.Time
}

// CheckRuns are the check runs on a commit, all of them, newest first.
func (r *Repository) CheckRuns(sha string) []CheckRun {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	var list []CheckRun
	for _, run := range slices.Backward(r.runsAt[sha]) {
		run.age(r.sim.today())
		view := CheckRun{
			ID: run.id, Name: run.name, HeadSHA: run.sha, Status: run.status, Conclusion: run.conclusion,
			Title: run.title, Summary: run.summary, Text: run.text, ExternalID: run.externalID, DetailsURL: run.detailsURL,
			AppID: run.app.id, Updates: run.updates, StartedAt: run.started, CompletedAt: run.completed,
		}
		for _, action := range run.actions {
			view.Actions = append(view.Actions, action.Identifier)
		}
		list = append(list, view)
	}
	return list
}

// staleAfter is when GitHub gives up on an incomplete check run.
const staleAfter = 14 * 24 * time.Hour

// age turns a run stale that has been incomplete for more than 14 days.
func (c *checkRun) age(today time.Time) {
	if c.status != "completed" && today.Sub(c.created) > staleAfter {
		c.status, c.conclusion, c.completed = "completed", "stale", c.created.Add(staleAfter)
	}
}

// passes says whether a required check is content with this run: success, neutral and skipped are enough.
func (c *checkRun) passes() bool {
	return c.status == "completed" && slices.Contains([]string{"success", "neutral", "skipped"}, c.conclusion)
}

// latestRuns are the newest runs on a commit, one for each name and App, newest first.
func (r *Repository) latestRuns(sha string) []*checkRun {
	type key struct {
		app  *App
		name string
	}
	seen := map[key]bool{}
	var list []*checkRun
	for _, run := range slices.Backward(r.runsAt[sha]) {
		run.age(r.sim.today())
		if k := (key{run.app, run.name}); !seen[k] {
			seen[k] = true
			list = append(list, run)
		}
	}
	return list
}

// requestSuites opens a suite for each installed App that may write checks, and tells it: GitHub does so on every push.
func (r *Repository) requestSuites(a actor, sha, branch, before string) {
	for _, i := range r.installations() {
		if !i.allows("checks", "write") || i.suspended {
			continue
		}
		s := r.suite(i.app, sha, branch, before)
		r.sim.emitTo(i, r, "check_suite", "requested", a.user, obj{"check_suite": r.suitePayload(s)})
	}
}

// suite finds the App's suite on a commit, making it if need be.
func (r *Repository) suite(app *App, sha, branch, before string) *checkSuite {
	for _, s := range r.suitesAt[sha] {
		if s.app == app {
			return s
		}
	}
	at := r.sim.tick()
	s := &checkSuite{id: r.sim.id(), app: app, sha: sha, branch: branch, before: before, created: at, updated: at}
	r.suitesAt[sha] = append(r.suitesAt[sha], s)
	return s
}

// branchAt is a branch of this repository whose head is the commit, or "".
func (r *Repository) branchAt(sha string) string {
	for _, p := range r.openWithHead(sha) {
		return p.headRef
	}
	for name, head := range r.branches {
		if head == sha {
			return name
		}
	}
	return ""
}

// suitePriority orders conclusions; a suite takes the first that one of its runs has.
var suitePriority = []string{"action_required", "timed_out", "cancelled", "failure", "stale", "neutral", "skipped", "success"}

// state is the status and conclusion of a suite, computed from its runs.
func (s *checkSuite) state(runs []*checkRun) (status, conclusion string) {
	best, found := len(suitePriority), false
	for _, run := range runs {
		if run.suite != s {
			continue
		}
		found = true
		if run.status != "completed" {
			return run.status, ""
		}
		best = min(best, slices.Index(suitePriority, run.conclusion))
	}
	if !found || s.rerequested {
		return "queued", ""
	}
	return "completed", suitePriority[best]
}

// RerequestCheckRun is the "Re-run" button, which needs write: the suite goes back to queued, the run itself does not change,
// and only the App that made it is told.
func (r *Repository) RerequestCheckRun(u *User, id int64) error {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.rerequest(actor{user: u}, id)
}

func (r *Repository) rerequest(a actor, id int64) error {
	run := r.runs[id]
	switch {
	case run == nil || r.roleOf(a) < roleRead:
		return notFound()
	case r.roleOf(a) < roleWrite:
		return refuse(http.StatusForbidden, "Must have push access to rerequest a check run.")
	case a.app != nil && a.app != run.app:
		return refuse(http.StatusForbidden, "Invalid app_id `%d` - check run can only be rerequested by the GitHub App that created it.", a.app.id)
	}
	run.suite.rerequested = true
	run.suite.updated = r.sim.tick()
	return r.tellOwner(a, run, "rerequested", obj{})
}

// RequestAction presses a button of a check run, which needs write; the App that made it is told who pressed which.
func (r *Repository) RequestAction(u *User, id int64, identifier string) error {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	run := r.runs[id]
	a := actor{user: u}
	switch {
	case run == nil || r.roleOf(a) < roleRead:
		return notFound()
	case r.roleOf(a) < roleWrite:
		return refuse(http.StatusForbidden, "Must have push access to request an action of a check run.")
	case !slices.ContainsFunc(run.actions, func(x checkAction) bool { return x.Identifier == identifier }):
		return unprocessable("The check run has no action " + identifier)
	}
	r.sim.tick()
	return r.tellOwner(a, run, "requested_action", obj{"requested_action": obj{"identifier": identifier}})
}

// tellOwner sends an event of a run to the App that made it and to nobody else, subscribed or not.
func (r *Repository) tellOwner(a actor, run *checkRun, action string, body obj) error {
	body["check_run"] = r.runPayload(run)
	for _, i := range r.installations() {
		if i.app == run.app {
			r.sim.emitTo(i, r, "check_run", action, a.user, body)
		}
	}
	return nil
}
