package githubsim

import (
	"net/http"
	"slices"
	"strings"
)

func checkRoutes() []route {
	const at = "repos/{owner}/{repo}"
	read, write := needs("checks=read"), needs("checks=write")
	return []route{
		endpoint("POST "+at+"/check-runs", serveNewRun, write, appsOnly),
		endpoint("GET "+at+"/check-runs/{id}", serveRun, read),
		endpoint("PATCH "+at+"/check-runs/{id}", serveEditRun, write, appsOnly),
		endpoint("POST "+at+"/check-runs/{id}/rerequest", serveRerequest, write),
		endpoint("GET "+at+"/check-suites/{id}/check-runs", serveSuiteRuns, read),
		endpoint("GET "+at+"/commits/{ref...}/check-runs", serveRuns, read),
		endpoint("GET "+at+"/commits/{ref...}/check-suites", serveSuites, read),
		endpoint("GET "+at+"/commits/{ref...}/status", serveStatus, needs("statuses=read")),
		endpoint("GET "+at+"/commits/{ref...}/statuses", serveStatuses, needs("statuses=read")),
		endpoint("POST "+at+"/statuses/{sha}", serveNewStatus, needs("statuses=write")),
		endpoint("GET "+at+"/commits/{ref...}", serveCommit, needs("contents=read")), // last: it takes every other path below commits
	}
}

func serveNewRun(c *call) error {
	var body checkWrite
	if err := c.decode(&body); err != nil {
		return err
	}
	run, err := c.repo.createRun(c.actor, body)
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, c.repo.runJSON(run))
}

func serveEditRun(c *call) error {
	var body checkWrite
	if err := c.decode(&body); err != nil {
		return err
	}
	run, err := c.repo.updateRun(c.actor, parseID(c.params["id"]), body)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, c.repo.runJSON(run))
}

func serveRun(c *call) error {
	run := c.repo.runs[parseID(c.params["id"])]
	if run == nil {
		return notFound()
	}
	return c.reply(http.StatusOK, c.repo.runJSON(run))
}

func serveRerequest(c *call) error {
	if err := c.repo.rerequest(c.actor, parseID(c.params["id"])); err != nil {
		return err
	}
	return c.reply(http.StatusCreated, obj{})
}

// serveRuns lists a commit's runs, the newest of each name and App unless filter=all.
func serveRuns(c *call) error {
	at, err := c.commitAt(c.params["ref"])
	if err != nil {
		return err
	}
	return replyCounted(c, "check_runs", c.filterRuns(at.sha), c.repo.runJSON)
}

func (c *call) filterRuns(sha string) []*checkRun {
	list := c.repo.latestRuns(sha)
	if c.query.Get("filter") == "all" {
		list = slices.Clone(c.repo.runsAt[sha])
		slices.Reverse(list)
	}
	return slices.DeleteFunc(list, func(run *checkRun) bool {
		return !wants(c, "check_name", run.name) || !wants(c, "status", run.status) || !wants(c, "app_id", itoa(run.app.id))
	})
}

// wants says whether a query parameter, if given, has the value.
func wants(c *call, key, value string) bool {
	wanted := c.query.Get(key)
	return wanted == "" || wanted == value
}

func serveSuiteRuns(c *call) error {
	for sha, suites := range c.repo.suitesAt {
		for _, s := range suites {
			if s.id == parseID(c.params["id"]) {
				list := slices.DeleteFunc(c.filterRuns(sha), func(run *checkRun) bool { return run.suite != s })
				return replyCounted(c, "check_runs", list, c.repo.runJSON)
			}
		}
	}
	return notFound()
}

func serveSuites(c *call) error {
	at, err := c.commitAt(c.params["ref"])
	if err != nil {
		return err
	}
	list := slices.DeleteFunc(slices.Clone(c.repo.suitesAt[at.sha]), func(s *checkSuite) bool { return !wants(c, "app_id", itoa(s.app.id)) })
	return replyCounted(c, "check_suites", list, c.repo.suiteJSON)
}

func serveNewStatus(c *call) error {
	var body struct {
		State, Context, Description string
		TargetURL                   string `json:"target_url"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	sha := c.params["sha"]
	made, err := c.repo.setStatus(c.actor, sha, status{
		context: body.Context, state: body.State, description: body.Description, targetURL: body.TargetURL,
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, c.repo.statusJSON(sha, made))
}

func serveStatus(c *call) error {
	at, err := c.commitAt(c.params["ref"])
	if err != nil {
		return err
	}
	list := c.repo.latestStatuses(at.sha)
	return c.reply(http.StatusOK, obj{
		"state": combined(list), "sha": at.sha, "total_count": len(list), "repository": c.repo.json(),
		"statuses":   each(page(c, list), func(s *status) obj { return c.repo.briefStatus(at.sha, s) }),
		"commit_url": c.repo.url("commits/%s", at.sha), "url": c.repo.url("commits/%s/status", at.sha),
	})
}

func serveStatuses(c *call) error {
	at, err := c.commitAt(c.params["ref"])
	if err != nil {
		return err
	}
	list := slices.Clone(c.repo.statuses[at.sha])
	slices.Reverse(list)
	return replyList(c, list, func(s *status) obj { return c.repo.statusJSON(at.sha, s) })
}

func serveCommit(c *call) error {
	at, err := c.commitAt(c.params["ref"])
	if err != nil {
		return unprocessable("No commit found for SHA: " + c.params["ref"])
	}
	if accept := c.req.Header.Get("Accept"); strings.HasPrefix(accept, "application/vnd.github.") && strings.HasSuffix(accept, "sha") {
		return c.replySHA(at.sha)
	}
	parent := ""
	if len(at.parents) > 0 {
		parent = at.parents[0]
	}
	out := c.repo.commitJSON(at)
	files := c.repo.net.diff(parent, at.sha)
	additions, deletions := 0, 0
	for _, f := range files {
		additions, deletions = additions+f.additions, deletions+f.deletions
	}
	out["stats"] = obj{"additions": additions, "deletions": deletions, "total": additions + deletions}
	out["files"] = each(page(c, files), func(f fileChange) obj { return c.repo.fileJSON(f, at.sha) })
	return c.reply(http.StatusOK, out)
}
