package githubsim

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

func (s signature) json(at time.Time) obj {
	return obj{"name": s.name, "email": s.email, "date": at}
}

// person is the account behind a signature, null when the e-mail belongs to none.
func (s signature) person() any {
	if s.user == nil {
		return nil
	}
	return s.user.json()
}

// commitJSON is a commit as /commits and /pulls/{n}/commits have it.
func (r *Repository) commitJSON(c *commit) obj {
	return obj{
		"sha": c.sha, "node_id": nodeID("C", int64(c.depth)) + c.sha, "url": r.url("commits/%s", c.sha), "html_url": r.html("commit/%s", c.sha),
		"comments_url": r.url("commits/%s/comments", c.sha), "author": c.author.person(), "committer": c.committer.person(),
		"commit": obj{
			"author": c.author.json(c.at), "committer": c.committer.json(c.at), "message": c.message, "comment_count": 0,
			"tree": obj{"sha": c.treeSHA, "url": r.url("git/trees/%s", c.treeSHA)}, "url": r.url("git/commits/%s", c.sha),
			"verification": obj{"verified": false, "reason": "unsigned", "signature": nil, "payload": nil, "verified_at": nil},
		},
		"parents": each(c.parents, func(sha string) obj {
			return obj{"sha": sha, "url": r.url("commits/%s", sha), "html_url": r.html("commit/%s", sha)}
		}),
	}
}

// gitCommitJSON is a commit as the answer to a written file has it: git's part of it.
func (r *Repository) gitCommitJSON(c *commit) obj {
	whole := r.commitJSON(c)
	out, _ := whole["commit"].(obj)
	delete(out, "comment_count")
	for _, name := range []string{"sha", "node_id", "html_url", "parents"} {
		out[name] = whole[name]
	}
	return out
}

func (r *Repository) commitsJSON(list []*commit) []obj { return each(list, r.commitJSON) }

// headCommitJSON is a commit as check suites and merge groups have it.
func headCommitJSON(c *commit) obj {
	return obj{
		"id": c.sha, "tree_id": c.treeSHA, "message": c.message, "timestamp": c.at,
		"author": obj{"name": c.author.name, "email": c.author.email}, "committer": obj{"name": c.committer.name, "email": c.committer.email},
	}
}

// pushedCommitJSON is a commit as push events have it.
func pushedCommitJSON(c *commit) obj {
	person := func(s signature) obj {
		out := obj{"name": s.name, "email": s.email}
		if s.user != nil {
			out["username"] = s.user.login
		}
		return out
	}
	return obj{
		"id": c.sha, "tree_id": c.treeSHA, "message": c.message, "timestamp": c.at, "distinct": true,
		"author": person(c.author), "committer": person(c.committer), "added": []string{}, "removed": []string{}, "modified": []string{},
	}
}

func (r *Repository) fileJSON(f fileChange, ref string) obj {
	out := obj{
		"sha": f.blob.sha, "filename": f.path, "status": f.status, "additions": f.additions, "deletions": f.deletions,
		"changes": f.additions + f.deletions, "blob_url": r.html("blob/%s/%s", ref, f.path), "raw_url": r.html("raw/%s/%s", ref, f.path),
		"contents_url": r.url("contents/%s?ref=%s", f.path, ref),
	}
	if f.patch != "" {
		out["patch"] = f.patch
	}
	if f.previous != "" {
		out["previous_filename"] = f.previous
	}
	return out
}

func (r *Repository) runJSON(c *checkRun) obj {
	c.age(r.sim.today())
	return obj{
		"id": c.id, "node_id": nodeID("CR", c.id), "name": c.name, "head_sha": c.sha, "status": c.status, "conclusion": text(c.conclusion),
		"external_id": c.externalID, "details_url": cmp.Or(c.detailsURL, r.sim.base), "url": r.url("check-runs/%d", c.id),
		"html_url": r.html("runs/%d", c.id), "started_at": moment(c.started), "completed_at": moment(c.completed),
		"output": obj{
			"title": text(c.title), "summary": text(c.summary), "text": text(c.text), "annotations_count": len(c.annotations),
			"annotations_url": r.url("check-runs/%d/annotations", c.id),
		},
		"check_suite": obj{"id": c.suite.id},
		"app":         r.sim.appJSON(c.app), "pull_requests": r.pullLinks(c.sha),
	}
}

// runPayload is a run as webhooks have it, with its suite.
func (r *Repository) runPayload(c *checkRun) obj {
	out, suite := r.runJSON(c), r.suitePayload(c.suite)
	for _, name := range []string{"check_runs_url", "latest_check_runs_count", "head_commit"} {
		delete(suite, name)
	}
	out["check_suite"] = suite
	return out
}

// suitePayload is a suite as webhooks have it: the repository stands beside it.
func (r *Repository) suitePayload(s *checkSuite) obj {
	out := r.suiteJSON(s)
	delete(out, "repository")
	return out
}

func (r *Repository) suiteJSON(s *checkSuite) obj {
	status, conclusion := s.state(r.latestRuns(s.sha))
	return obj{
		"id": s.id, "node_id": nodeID("CS", s.id), "head_branch": text(s.branch), "head_sha": s.sha, "status": status,
		"conclusion": text(conclusion), "before": text(s.before), "after": s.sha, "url": r.url("check-suites/%d", s.id),
		"check_runs_url": r.url("check-suites/%d/check-runs", s.id), "pull_requests": r.pullLinks(s.sha), "app": r.sim.appJSON(s.app),
		"repository": r.json(), "created_at": s.created, "updated_at": s.updated, "latest_check_runs_count": r.runsIn(s),
		"head_commit": headCommitJSON(r.net.commits[s.sha]),
	}
}

func (r *Repository) runsIn(s *checkSuite) int {
	n := 0
	for _, run := range r.latestRuns(s.sha) {
		if run.suite == s {
			n++
		}
	}
	return n
}

// pullLinks are the open pull requests of a commit as check payloads have them: none for a fork's, as GitHub documents.
func (r *Repository) pullLinks(sha string) []obj {
	short := func(x *Repository) obj {
		return obj{"id": x.id, "name": x.name, "url": x.sim.api("repos/%s", x.fullName())}
	}
	list := []obj{}
	for _, p := range r.openWithHead(sha) {
		list = append(list, obj{
			"id": p.id, "number": p.number, "url": r.url("pulls/%d", p.number),
			"head": obj{"ref": p.headRef, "sha": p.head, "repo": short(r)}, "base": obj{"ref": p.base, "sha": p.baseSHA, "repo": short(r)},
		})
	}
	return list
}

func (r *Repository) statusJSON(sha string, s *status) obj {
	out := r.briefStatus(sha, s)
	out["creator"] = s.creator.json()
	return out
}

// briefStatus is a status as the combined status has it.
func (r *Repository) briefStatus(sha string, s *status) obj {
	return obj{
		"id": s.id, "node_id": nodeID("SC", s.id), "state": s.state, "context": s.context, "description": text(s.description),
		"target_url": text(s.targetURL), "url": r.url("statuses/%s", sha), "avatar_url": r.sim.base + "/avatars/" + s.creator.login,
		"created_at": s.created, "updated_at": s.created,
	}
}

// json is a ruleset; lists leave conditions and rules out.
func (rs *ruleset) json(s *Sim, whole bool) obj {
	kind := "Organization"
	var source, where string
	if rs.repo != nil {
		source, kind = rs.repo.fullName(), "Repository"
		where = s.api("repos/%s/rulesets/%d", source, rs.id)
	} else {
		source = rs.org.login
		where = s.api("orgs/%s/rulesets/%d", source, rs.id)
	}
	out := obj{
		"id": rs.id, "name": rs.name, "target": "branch", "source_type": kind, "source": source, "enforcement": rs.enforcement,
		"node_id": nodeID("RRS", rs.id), "_links": obj{"self": obj{"href": where}}, "created_at": rs.created, "updated_at": rs.updated,
	}
	if whole {
		conditions := rs.refNames()
		if rs.org != nil {
			rs.target.json(conditions)
		}
		out["conditions"], out["rules"], out["bypass_actors"] = conditions, rs.rules(), each(rs.bypass, bypassActor.json)
	}
	return out
}

func (rs *ruleset) refNames() obj {
	return obj{"ref_name": obj{"include": append([]string{}, rs.include...), "exclude": append([]string{}, rs.exclude...)}}
}

func (b bypassActor) json() obj {
	out := obj{"actor_id": nil, "actor_type": b.ActorType, "bypass_mode": cmp.Or(b.BypassMode, "always")}
	if b.ActorID != nil {
		out["actor_id"] = *b.ActorID
	}
	return out
}

// rules are what a ruleset demands, in GitHub's shapes.
func (rs *ruleset) rules() []obj {
	list := []obj{}
	if rs.update {
		list = append(list, obj{"type": "update", "parameters": obj{"update_allows_fetch_and_merge": false}})
	}
	if rs.pullRequest {
		list = append(list, obj{"type": "pull_request", "parameters": obj{
			"required_approving_review_count": rs.approvals, "dismiss_stale_reviews_on_push": false, "require_code_owner_review": false,
			"require_last_push_approval": false, "required_review_thread_resolution": false,
		}})
	}
	if len(rs.checks) > 0 {
		list = append(list, obj{"type": "required_status_checks", "parameters": obj{
			"strict_required_status_checks_policy": rs.strict,
			"required_status_checks":               each(rs.checks, checkRule),
		}})
	}
	if rs.queue != nil {
		list = append(list, rs.queue.json())
	}
	for _, raw := range rs.other {
		rule := obj{}
		if json.Unmarshal(raw, &rule) == nil {
			list = append(list, rule)
		}
	}
	return list
}

func checkRule(c RequiredCheck) obj {
	out := obj{"context": c.Context}
	if c.AppID != 0 {
		out["integration_id"] = c.AppID
	}
	return out
}

// branchDetail is a branch as GET branches/{b} has it.
func (r *Repository) branchDetail(name string, active []*ruleset) obj {
	p, protected := r.protected[name]
	checks := each(p.RequiredChecks, func(c RequiredCheck) obj {
		out := obj{"context": c.Context, "app_id": nil}
		if c.AppID != 0 {
			out["app_id"] = c.AppID
		}
		return out
	})
	contexts := make([]string, len(p.RequiredChecks))
	for i, c := range p.RequiredChecks {
		contexts[i] = c.Context
	}
	level := "off"
	if protected {
		level = "non_admins"
		if p.EnforceAdmins {
			level = "everyone"
		}
	}
	return obj{
		"name": name, "commit": r.commitJSON(r.net.commits[r.branches[name]]), "protected": protected || len(active) > 0,
		"_links":         obj{"self": r.url("branches/%s", name), "html": r.html("tree/%s", name)},
		"protection":     obj{"enabled": protected, "required_status_checks": obj{"enforcement_level": level, "contexts": contexts, "checks": checks}},
		"protection_url": r.url("branches/%s/protection", name),
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
