package githubsim

import (
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"
)

// checkWrite is the body of a request that creates or changes a check run; nil is "not given".
type checkWrite struct {
	Name        *string       `json:"name"`
	HeadSHA     *string       `json:"head_sha"`
	DetailsURL  *string       `json:"details_url"`
	ExternalID  *string       `json:"external_id"`
	Status      *string       `json:"status"`
	Conclusion  *string       `json:"conclusion"`
	StartedAt   *time.Time    `json:"started_at"`
	CompletedAt *time.Time    `json:"completed_at"`
	Output      *checkOutput  `json:"output"`
	Actions     []checkAction `json:"actions"`
}

type checkOutput struct {
	Title       *string `json:"title"`
	Summary     *string `json:"summary"`
	Text        *string `json:"text"`
	Annotations []obj   `json:"annotations"`
}

var appConclusions = []string{"action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"}

// GitHub's documented limits for check runs, in characters and pieces.
const (
	longestOutput      = 65535
	mostAnnotations    = 50
	mostActions        = 3
	longestLabel       = 20
	longestDescription = 40
	longestIdentifier  = 20
	mostRunsOfAName    = 1000
)

// validate refuses what GitHub refuses of any check run body.
func (w *checkWrite) validate() error {
	if w.Status != nil && !slices.Contains([]string{"queued", "in_progress", "completed"}, *w.Status) {
		return invalid("CheckRun", "status", "invalid", fmt.Sprintf("%s is not included in the list, or is set by GitHub Actions only", *w.Status))
	}
	if w.Conclusion != nil && !slices.Contains(appConclusions, *w.Conclusion) {
		return invalid("CheckRun", "conclusion", "invalid", fmt.Sprintf("%s cannot be set by an App", *w.Conclusion))
	}
	if w.Conclusion != nil && w.Status != nil && *w.Status != "completed" {
		return invalid("CheckRun", "status", "invalid", "a conclusion needs the status completed")
	}
	if err := w.validateOutput(); err != nil {
		return err
	}
	return w.validateActions()
}

func (w *checkWrite) validateOutput() error {
	if w.Output == nil {
		return nil
	}
	if w.Output.Summary == nil {
		return invalid("CheckRun", "output.summary", "missing_field", "")
	}
	for field, value := range map[string]*string{"summary": w.Output.Summary, "text": w.Output.Text} {
		if value != nil && utf8.RuneCountInString(*value) > longestOutput {
			return invalid("CheckRun", "output."+field, "custom", fmt.Sprintf("Only %d characters are allowed; %d were supplied.", longestOutput, utf8.RuneCountInString(*value)))
		}
	}
	if len(w.Output.Annotations) > mostAnnotations {
		return invalid("CheckRun", "output.annotations", "custom", fmt.Sprintf("No more than %d items are allowed", mostAnnotations))
	}
	for _, annotation := range w.Output.Annotations {
		for _, name := range []string{"path", "start_line", "end_line", "annotation_level", "message"} {
			if annotation[name] == nil {
				return invalid("CheckRun", "output.annotations."+name, "missing_field", "")
			}
		}
	}
	return nil
}

func (w *checkWrite) validateActions() error {
	if len(w.Actions) > mostActions {
		return invalid("CheckRun", "actions", "custom", fmt.Sprintf("No more than %d items are allowed", mostActions))
	}
	for _, a := range w.Actions {
		for _, part := range []struct {
			name, value string
			limit       int
		}{{"label", a.Label, longestLabel}, {"description", a.Description, longestDescription}, {"identifier", a.Identifier, longestIdentifier}} {
			switch n := utf8.RuneCountInString(part.value); {
			case n == 0:
				return invalid("CheckRun", "actions."+part.name, "missing_field", "")
			case n > part.limit:
				return invalid("CheckRun", "actions."+part.name, "custom", fmt.Sprintf("Only %d characters are allowed; %d were supplied.", part.limit, n))
			}
		}
	}
	return nil
}

// createRun makes a run; the same name on the same commit makes another one.
func (r *Repository) createRun(a actor, w checkWrite) (*checkRun, error) {
	switch {
	case w.Name == nil || *w.Name == "":
		return nil, invalid("CheckRun", "name", "missing_field", "")
	case w.HeadSHA == nil || *w.HeadSHA == "":
		return nil, invalid("CheckRun", "head_sha", "missing_field", "")
	case r.net.commits[*w.HeadSHA] == nil:
		return nil, unprocessable("No commit found for SHA: " + *w.HeadSHA)
	case w.Output != nil && (w.Output.Title == nil || *w.Output.Title == ""):
		return nil, invalid("CheckRun", "output.title", "missing_field", "")
	}
	at := r.sim.tick()
	app := r.sim.runApp(a.app)
	run := &checkRun{id: r.sim.id(), app: app, name: *w.Name, sha: *w.HeadSHA, status: "queued", created: at, started: at}
	if err := run.write(r.sim.mutated(w), at); err != nil {
		return nil, err
	}
	run.suite = r.suite(app, run.sha, r.branchAt(run.sha), "")
	run.suite.rerequested, run.suite.updated = false, at
	r.runs[run.id] = run
	r.runsAt[run.sha] = append(r.runsAt[run.sha], run)
	r.dropOldRuns(run)
	r.emitRun(a, run, "created")
	if run.status == "completed" {
		r.emitRun(a, run, "completed")
	}
	return run, nil
}

// updateRun changes the given fields of a run; only its App may.
func (r *Repository) updateRun(a actor, id int64, w checkWrite) (*checkRun, error) {
	run := r.runs[id]
	if run == nil {
		return nil, notFound()
	}
	if run.app != a.app {
		return nil, refuse(http.StatusForbidden, "Invalid app_id `%d` - check run can only be modified by the GitHub App that created it.", a.app.id)
	}
	run.age(r.sim.today())
	was := *run
	at := r.sim.tick()
	if err := run.write(r.sim.mutated(w), at); err != nil {
		return nil, err
	}
	run.updates++
	run.suite.rerequested, run.suite.updated = false, at
	if run.status == "completed" && (was.status != run.status || was.conclusion != run.conclusion) {
		r.emitRun(a, run, "completed")
	}
	return run, nil
}

// write applies a valid body; on an error the run is unchanged. A conclusion completes; a status short of completed reopens.
func (c *checkRun) write(w checkWrite, at time.Time) error {
	if err := w.validate(); err != nil {
		return err
	}
	next := *c
	next.annotations = slices.Clone(c.annotations)
	if w.Status != nil && *w.Status != "completed" {
		if c.status == "completed" {
			next.created = at // its 14 days begin anew
		}
		next.status, next.conclusion, next.completed = *w.Status, "", time.Time{}
	}
	if w.Conclusion != nil {
		next.status, next.conclusion, next.completed = "completed", *w.Conclusion, at
	}
	finishes := w.Status != nil && *w.Status == "completed" || w.CompletedAt != nil
	if finishes && next.conclusion == "" {
		return invalid("CheckRun", "conclusion", "missing_field", "")
	}
	set(&next.name, w.Name)
	set(&next.detailsURL, w.DetailsURL)
	set(&next.externalID, w.ExternalID)
	set(&next.started, w.StartedAt)
	set(&next.completed, w.CompletedAt)
	if w.Output != nil {
		set(&next.title, w.Output.Title)
		set(&next.summary, w.Output.Summary)
		set(&next.text, w.Output.Text)
		next.annotations = append(next.annotations, w.Output.Annotations...)
	}
	if w.Actions != nil {
		next.actions = w.Actions
	}
	*c = next
	return nil
}

func set[T any](field *T, given *T) {
	if given != nil {
		*field = *given
	}
}

// dropOldRuns keeps the newest 1,000 runs of one name in a suite.
func (r *Repository) dropOldRuns(newest *checkRun) {
	count := 0
	for _, run := range slices.Backward(r.runsAt[newest.sha]) {
		if run.suite == newest.suite && run.name == newest.name {
			if count++; count > mostRunsOfAName {
				delete(r.runs, run.id)
				r.runsAt[newest.sha] = slices.DeleteFunc(r.runsAt[newest.sha], func(x *checkRun) bool { return x == run })
				return
			}
		}
	}
}

// emitRun tells every App that may read checks, the writer included: an App that answers its own events loops.
func (r *Repository) emitRun(a actor, run *checkRun, action string) {
	r.sim.emit(r, "check_run", action, a.user, obj{"check_run": r.runPayload(run)})
}
