package githubsim

import "time"

// json is the thread as an issue; a pull request's has pull_request, an issue's has not.
func (t *thread) json() obj {
	r := t.repo
	place := "issues"
	if t.pull != nil {
		place = "pull"
	}
	out := obj{
		"id": t.id, "node_id": nodeID("I", t.id), "number": t.number, "title": t.title, "body": text(t.body), "user": t.author.json(),
		"state": t.state, "state_reason": nil, "locked": t.locked, "labels": r.labelsJSON(t.labels), "comments": len(t.comments),
		"assignee": nil, "assignees": []obj{}, "milestone": nil, "active_lock_reason": text(t.lockReason),
		"author_association": r.association(t.author), "performed_via_github_app": r.sim.viaApp(t.app),
		"url": r.url("issues/%d", t.number), "repository_url": r.sim.api("repos/%s", r.fullName()),
		"html_url": r.html("%s/%d", place, t.number), "comments_url": r.url("issues/%d/comments", t.number),
		"labels_url": r.url("issues/%d/labels{/name}", t.number), "events_url": r.url("issues/%d/events", t.number),
		"created_at": t.created, "updated_at": t.updated, "closed_at": moment(t.closed),
		"reactions": rollup(r.url("issues/%d/reactions", t.number), nil),
	}
	t.showAssigned(out)
	if t.state == "closed" && t.pull == nil {
		out["state_reason"] = "completed"
	}
	if p := t.pull; p != nil {
		out["draft"] = p.draft
		out["pull_request"] = obj{
			"url": r.url("pulls/%d", t.number), "html_url": r.html("pull/%d", t.number), "diff_url": r.html("pull/%d.diff", t.number),
			"patch_url": r.html("pull/%d.patch", t.number), "merged_at": moment(p.mergedAt),
		}
	}
	return out
}

func (s *Sim) viaApp(a *App) any {
	if a == nil {
		return nil
	}
	return s.appJSON(a)
}

func (c *comment) json() obj {
	r := c.thread.repo
	return obj{
		"id": c.id, "node_id": nodeID("IC", c.id), "body": c.body, "user": c.author.json(), "created_at": c.created, "updated_at": c.updated,
		"author_association": r.association(c.author), "performed_via_github_app": r.sim.viaApp(c.app),
		"url": r.url("issues/comments/%d", c.id), "issue_url": r.url("issues/%d", c.thread.number),
		"html_url":  r.html("pull/%d#issuecomment-%d", c.thread.number, c.id),
		"reactions": rollup(r.url("issues/comments/%d/reactions", c.id), c.reactions),
	}
}

// rollup counts reactions by kind.
func rollup(url string, list []reaction) obj {
	out := obj{"url": url, "total_count": len(list)}
	for _, content := range reactionContents {
		n := 0
		for _, x := range list {
			if x.content == content {
				n++
			}
		}
		out[content] = n
	}
	return out
}

func (x reaction) json() obj {
	return obj{"id": x.id, "node_id": nodeID("REA", x.id), "user": x.user.json(), "content": x.content, "created_at": x.at}
}

// brief is a pull request as lists have it: without the counts and without what takes computing.
func (p *PullRequest) brief() obj {
	r := p.repo
	out := obj{
		"id": p.id, "node_id": nodeID("PR", p.id), "number": p.number, "state": p.state, "title": p.title, "body": text(p.body),
		"user": p.author.json(), "labels": p.labelsJSON(), "draft": p.draft, "locked": p.locked, "active_lock_reason": text(p.lockReason),
		"head": branchJSON(p.headRepo, p.headRef, p.shownHead()), "base": branchJSON(r, p.base, p.baseSHA),
		"author_association": r.association(p.author), "auto_merge": p.autoMergeJSON(), "assignee": nil, "assignees": []obj{},
		"requested_reviewers": []obj{}, "requested_teams": []obj{}, "milestone": nil,
		"created_at": p.created, "updated_at": p.updated, "closed_at": moment(p.closed), "merged_at": moment(p.mergedAt),
		"merge_commit_sha": text(p.mergeSHA), "url": r.url("pulls/%d", p.number), "html_url": r.html("pull/%d", p.number),
		"issue_url": r.url("issues/%d", p.number), "commits_url": r.url("pulls/%d/commits", p.number),
		"comments_url": r.url("issues/%d/comments", p.number), "statuses_url": r.url("statuses/%s", p.head),
		"diff_url": r.html("pull/%d.diff", p.number), "patch_url": r.html("pull/%d.patch", p.number),
		"review_comments_url": r.url("pulls/%d/comments", p.number), "review_comment_url": r.url("pulls/comments{/number}"),
	}
	p.showAssigned(out)
	links := obj{}
	for name, key := range map[string]string{"self": "url", "html": "html_url", "issue": "issue_url", "commits": "commits_url", "comments": "comments_url", "statuses": "statuses_url",
		"review_comments": "review_comments_url", "review_comment": "review_comment_url"} {
		links[name] = obj{"href": out[key]}
	}
	out["_links"] = links
	return out
}

// labelsJSON are the labels as pull requests have them, where no description is an empty one: by what GitHub publishes of lists.
func (p *PullRequest) labelsJSON() []obj {
	list := p.repo.labelsJSON(p.labels)
	for i, l := range p.labels {
		list[i]["description"] = l.text
	}
	return list
}

// json is the whole pull request. In a webhook mergeable is null, for GitHub has not computed it yet.
func (p *PullRequest) json(inWebhook bool) obj {
	out := p.brief()
	out["commits"], out["changed_files"] = len(p.commits()), len(p.files())
	out["additions"], out["deletions"] = p.changedLines()
	out["comments"], out["review_comments"], out["maintainer_can_modify"] = len(p.comments), 0, false
	out["merged"], out["merged_by"], out["rebaseable"] = p.merged, nil, nil
	if p.mergedBy != nil {
		out["merged_by"] = p.mergedBy.json()
	}
	if inWebhook {
		out["head"] = branchJSON(p.headRepo, p.headRef, p.head)
	}
	out["mergeable"], out["mergeable_state"] = nil, "unknown"
	if !inWebhook && p.state == "open" {
		out["mergeable"], out["mergeable_state"] = p.mergeable()
	}
	return out
}

// payload is the pull request as webhooks have it: whole, or as the events about its reviews do.
func (p *PullRequest) payload(whole bool) obj {
	out := p.brief()
	if whole {
		out = p.json(true)
	}
	sides := map[string]*Repository{"head": p.headRepo, "base": p.repo}
	for _, side := range []string{"head", "base"} {
		at, _ := out[side].(obj)
		if repo, ok := at["repo"].(obj); ok {
			repo["custom_properties"] = sides[side].propertiesJSON()
		}
	}
	return out
}

// changedLines is how many lines all files together gain and lose.
func (p *PullRequest) changedLines() (additions, deletions int) {
	for _, f := range p.files() {
		additions, deletions = additions+f.additions, deletions+f.deletions
	}
	return additions, deletions
}

// mergeable is whether the branches merge, and what GitHub calls the rest: clean, blocked, dirty, behind, draft or unstable.
func (p *PullRequest) mergeable() (bool, string) {
	if _, clean := p.repo.net.mergeTrees(p.baseTip(), p.head); !clean {
		return false, "dirty"
	}
	if p.draft {
		return true, "draft"
	}
	d := p.repo.demands(p.base, actor{})
	switch {
	case d.update || len(p.repo.checkReasons(d.checks, p.head)) > 0 || len(p.approvalReasons(d.approvals)) > 0:
		return true, "blocked"
	case d.strict && !p.repo.net.contains(p.head, p.baseTip()):
		return true, "behind"
	case p.unstable():
		return true, "unstable"
	}
	return true, "clean"
}

// unstable says whether some check that is not required does not pass.
func (p *PullRequest) unstable() bool {
	for _, run := range p.repo.latestRuns(p.head) {
		if !run.passes() {
			return true
		}
	}
	list := p.repo.latestStatuses(p.head)
	return len(list) > 0 && combined(list) != "success"
}

func branchJSON(r *Repository, ref, sha string) obj {
	out := obj{"label": r.owner.login + ":" + ref, "ref": ref, "sha": sha, "user": r.owner.json(), "repo": nil}
	if !r.gone {
		out["repo"] = r.json()
	}
	return out
}

// json is a review; webhooks write the state in lower case, REST in upper case.
func (r *review) json(inWebhook bool) obj {
	repo := r.pull.repo
	out := obj{
		"id": r.id, "node_id": nodeID("PRR", r.id), "user": r.author.json(), "body": r.body, "state": r.state, "commit_id": r.commit,
		"author_association": repo.association(r.author), "pull_request_url": repo.url("pulls/%d", r.pull.number),
		"html_url": repo.html("pull/%d#pullrequestreview-%d", r.pull.number, r.id),
		"_links": obj{
			"html":         obj{"href": repo.html("pull/%d#pullrequestreview-%d", r.pull.number, r.id)},
			"pull_request": obj{"href": repo.url("pulls/%d", r.pull.number)},
		},
	}
	if !r.at.IsZero() {
		out["submitted_at"] = r.at.UTC().Format(time.RFC3339)
	}
	if inWebhook {
		out["state"] = lowerState[r.state]
	}
	return out
}

var lowerState = map[string]string{
	"APPROVED": "approved", "CHANGES_REQUESTED": "changes_requested", "COMMENTED": "commented", "DISMISSED": "dismissed", "PENDING": "pending",
}
