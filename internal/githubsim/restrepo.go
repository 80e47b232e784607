package githubsim

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func repositoryRoutes() []route {
	const at = "repos/{owner}/{repo}"
	return []route{
		endpoint("GET "+at, serveRepository, needs("metadata=read")),
		endpoint("GET "+at+"/contents/{path...}", serveContents, needs("contents=read")),
		endpoint("GET "+at+"/contents", serveContents, needs("contents=read")),
		endpoint("PUT "+at+"/contents/{path...}", servePutContents, needs("contents=write")),
		endpoint("GET "+at+"/tarball/{ref...}", serveTarball, needs("contents=read")),
		endpoint("GET "+at+"/branches", serveBranches, needs("contents=read")),
		endpoint("GET "+at+"/branches/{branch...}", serveBranch, needs("contents=read")),
		endpoint("GET "+at+"/compare/{basehead...}", serveCompare, needs("contents=read")),
		endpoint("GET "+at+"/git/ref/{ref...}", serveRef, needs("contents=read")),
		endpoint("POST "+at+"/git/refs", serveNewRef, needs("contents=write"), withRole(roleWrite)),
		endpoint("DELETE "+at+"/git/refs/{ref...}", serveDeleteRef, needs("contents=write"), withRole(roleWrite)),
		endpoint("GET "+at+"/collaborators/{user}/permission", serveCollaborator, needs("metadata=read"), withRole(roleWrite)),
		endpoint("GET "+at+"/labels", serveLabels, needs("issues=read; pull_requests=read")),
		endpoint("GET "+at+"/labels/{name...}", serveLabel, needs("issues=read; pull_requests=read")),
		endpoint("POST "+at+"/labels", serveNewLabel, needs("issues=write; pull_requests=write"), withRole(roleWrite)),
		endpoint("GET "+at+"/commits", serveCommits, needs("contents=read")),
	}
}

func serveRepository(c *call) error {
	out := c.repo.json()
	out["subscribers_count"], out["network_count"] = 0, 0
	out["allow_merge_commit"], out["allow_squash_merge"], out["allow_rebase_merge"], out["allow_auto_merge"] = true, true, false, !c.repo.noAutoMerge
	if p := c.repo.parent; p != nil {
		out["parent"], out["source"] = p.json(), p.json()
	}
	if c.repo.org != nil {
		out["custom_properties"] = c.repo.propertiesJSON()
		out["organization"] = c.repo.org.json()
	}
	if u := c.actor.user; u != nil {
		level := c.repo.roleOf(c.actor)
		out["permissions"] = obj{
			"admin": level >= roleAdmin, "maintain": level >= roleMaintain, "push": level >= roleWrite,
			"triage": level >= roleTriage, "pull": level >= roleRead,
		}
	}
	return c.reply(http.StatusOK, out)
}

// commitAt resolves a ref of the query or path; an empty one is the default branch.
func (c *call) commitAt(ref string) (*commit, error) {
	if ref == "" {
		ref = c.repo.branch
	}
	if found := c.repo.resolve(ref); found != nil {
		return found, nil
	}
	return nil, refuse(http.StatusNotFound, "No commit found for the ref %s", ref)
}

func serveContents(c *call) error {
	at, err := c.commitAt(c.query.Get("ref"))
	if err != nil {
		return err
	}
	path := strings.Trim(c.params["path"], "/")
	if b := follow(at.files, path); b != nil {
		if strings.Contains(c.req.Header.Get("Accept"), ".raw") {
			c.header.Set("Content-Type", "application/vnd.github.raw; charset=utf-8")
			c.raw = []byte(b.content)
			return c.reply(http.StatusOK, nil)
		}
		out := c.repo.entryJSON(at, path, b.kind(), b)
		if b.kind() != "file" {
			return c.reply(http.StatusOK, c.repo.special(out, b))
		}
		out["encoding"], out["content"] = "base64", wrapped(base64.StdEncoding.EncodeToString([]byte(b.content)))
		return c.reply(http.StatusOK, out)
	}
	if list := c.repo.directory(at, path); len(list) > 0 || path == "" {
		return c.reply(http.StatusOK, list)
	}
	return notFound()
}

// wrapped breaks base64 into lines of 60, as GitHub does.
func wrapped(encoded string) string {
	var out strings.Builder
	for line := range slices.Chunk([]byte(encoded), 60) {
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.String()
}

func (r *Repository) entryJSON(at *commit, path, kind string, b *blob) obj {
	out := obj{
		"type": kind, "name": path[strings.LastIndex(path, "/")+1:], "path": path, "size": 0, "sha": "",
		"url": r.url("contents/%s?ref=%s", path, at.sha), "html_url": r.html("blob/%s/%s", at.sha, path), "git_url": nil, "download_url": nil,
	}
	if kind == "file" {
		out["download_url"] = r.html("raw/%s/%s", at.sha, path)
	}
	if b != nil {
		out["size"], out["sha"], out["git_url"] = len(b.content), b.sha, r.url("git/blobs/%s", b.sha)
	} else {
		out["sha"] = directorySHA(at.files, path)
	}
	out["_links"] = obj{"self": out["url"], "git": out["git_url"], "html": out["html_url"]}
	return out
}

// directory lists what is right below a path.
func (r *Repository) directory(at *commit, path string) []obj {
	prefix := ""
	if path != "" {
		prefix = path + "/"
	}
	entries := map[string]obj{}
	for _, full := range sortedKeys(at.files) {
		below, ok := strings.CutPrefix(full, prefix)
		if !ok {
			continue
		}
		name, _, deeper := strings.Cut(below, "/")
		if deeper {
			entries[name] = r.entryJSON(at, prefix+name, "dir", nil)
		} else {
			entries[name] = r.entryJSON(at, full, listedKind(at.files[full]), at.files[full])
		}
	}
	return each(sortedKeys(entries), func(name string) obj { return entries[name] })
}

// servePutContents commits one file; the sha of what it replaces must be given, as at GitHub.
func servePutContents(c *call) error {
	var body struct {
		Message string `json:"message"`
		Content string `json:"content"`
		Branch  string `json:"branch"`
		SHA     string `json:"sha"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	content, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body.Content, "\n", ""))
	switch {
	case err != nil:
		return unprocessable("content is not valid Base64")
	case body.Message == "":
		return invalid("Commit", "message", "missing_field", "")
	case body.Branch == "":
		body.Branch = c.repo.branch
	}
	tip := c.repo.branches[body.Branch]
	if tip == "" {
		return refuse(http.StatusNotFound, "Branch %s not found", body.Branch)
	}
	path, status := c.params["path"], http.StatusCreated
	if old := c.repo.net.commits[tip].files[path]; old != nil {
		status = http.StatusOK
		if body.SHA == "" {
			return unprocessable("Invalid request.\n\n\"sha\" wasn't supplied.")
		}
		if body.SHA != old.sha {
			return refuse(http.StatusConflict, "%s does not match %s", path, body.SHA)
		}
	}
	sha, err := c.repo.push(c.actor, body.Branch, tip, false, []Commit{{Message: body.Message, Files: map[string]string{path: string(content)}}})
	if err != nil {
		return err
	}
	made := c.repo.net.commits[sha]
	return c.reply(status, obj{"content": c.repo.entryJSON(made, path, "file", made.files[path]), "commit": c.repo.gitCommitJSON(made)})
}

func serveBranches(c *call) error {
	return replyList(c, sortedKeys(c.repo.branches), func(name string) obj {
		out := c.repo.branchDetail(name, c.repo.activeRulesets(name))
		delete(out, "_links")
		out["commit"] = obj{"sha": c.repo.branches[name], "url": c.repo.url("commits/%s", c.repo.branches[name])}
		return out
	})
}

func serveBranch(c *call) error {
	name := c.params["branch"]
	if c.repo.branches[name] == "" {
		return refuse(http.StatusNotFound, "Branch not found")
	}
	return c.reply(http.StatusOK, c.repo.branchDetail(name, c.repo.activeRulesets(name)))
}

func serveCompare(c *call) error {
	from, to, ok := strings.Cut(c.params["basehead"], "...")
	if !ok {
		return notFound()
	}
	base, err := c.commitNamed(from)
	if err != nil {
		return err
	}
	head, err := c.commitNamed(to)
	if err != nil {
		return err
	}
	found := c.repo.net.compare(base.sha, head.sha)
	status := "identical"
	switch {
	case len(found.ahead) > 0 && found.behind > 0:
		status = "diverged"
	case len(found.ahead) > 0:
		status = "ahead"
	case found.behind > 0:
		status = "behind"
	}
	web := c.repo.html("compare/%s", c.params["basehead"])
	out := obj{
		"status": status, "ahead_by": len(found.ahead), "behind_by": found.behind, "total_commits": len(found.ahead),
		"base_commit": c.repo.commitJSON(base), "commits": c.repo.commitsJSON(page(c, found.ahead)), "merge_base_commit": nil,
		"files": []obj{}, "url": c.repo.url("compare/%s", c.params["basehead"]), "html_url": web, "permalink_url": web,
		"diff_url": web + ".diff", "patch_url": web + ".patch",
	}
	if found.mergeBase != "" {
		out["merge_base_commit"] = c.repo.commitJSON(c.repo.net.commits[found.mergeBase])
	}
	if c.number("page", 1) == 1 { // files come on the first page only, 300 of them at most
		files := c.repo.net.diff(found.mergeBase, head.sha)
		out["files"] = each(files[:min(300, len(files))], func(f fileChange) obj { return c.repo.fileJSON(f, head.sha) })
	}
	return c.reply(http.StatusOK, out)
}

// commitNamed resolves "ref" and "owner:ref".
func (c *call) commitNamed(name string) (*commit, error) {
	repo, ref := c.repo.headOf(name)
	if repo == nil {
		return nil, notFound()
	}
	if found := repo.resolve(ref); found != nil {
		return found, nil
	}
	return nil, notFound()
}

func (r *Repository) refJSON(branch string) obj {
	sha := r.branches[branch]
	return obj{
		"ref": "refs/heads/" + branch, "node_id": nodeID("REF", r.id) + branch, "url": r.url("git/refs/heads/%s", branch),
		"object": obj{"type": "commit", "sha": sha, "url": r.url("git/commits/%s", sha)},
	}
}

func serveRef(c *call) error {
	branch, ok := strings.CutPrefix(c.params["ref"], "heads/")
	if !ok || c.repo.branches[branch] == "" {
		return notFound()
	}
	return c.reply(http.StatusOK, c.repo.refJSON(branch))
}

func serveNewRef(c *call) error {
	var body struct{ Ref, SHA string }
	if err := c.decode(&body); err != nil {
		return err
	}
	branch, ok := strings.CutPrefix(body.Ref, "refs/heads/")
	switch {
	case !ok || branch == "":
		return unprocessable("Reference name must start with 'refs/heads/' and name a branch.")
	case c.repo.net.commits[body.SHA] == nil:
		return unprocessable("Object does not exist")
	case c.repo.branches[branch] != "":
		return unprocessable("Reference already exists")
	}
	if err := c.repo.updateBranch(c.actor, branch, body.SHA, false); err != nil {
		return err
	}
	return c.reply(http.StatusCreated, c.repo.refJSON(branch))
}

func serveDeleteRef(c *call) error {
	branch, ok := strings.CutPrefix(c.params["ref"], "heads/")
	if !ok {
		return unprocessable("Reference does not exist")
	}
	if err := c.repo.removeBranch(c.actor, branch); err != nil {
		return err
	}
	return c.reply(http.StatusNoContent, nil)
}

// serveCollaborator answers admin, write, read or none: maintain is write and triage is read; role_name has the real one.
func serveCollaborator(c *call) error {
	u := c.sim.users[strings.ToLower(c.params["user"])]
	if !c.repo.knownCollaborator(u) {
		return refuse(http.StatusNotFound, "%s is not a user", c.params["user"])
	}
	level := c.repo.role(u)
	user := u.json()
	user["permissions"] = obj{
		"admin": level >= roleAdmin, "maintain": level >= roleMaintain, "push": level >= roleWrite,
		"triage": level >= roleTriage, "pull": level >= roleRead,
	}
	user["role_name"] = level.String()
	return c.reply(http.StatusOK, obj{"permission": level.coarse().String(), "role_name": level.String(), "user": user})
}

func (r *Repository) sortedLabels() []*label {
	list := make([]*label, 0, len(r.labels))
	for _, key := range sortedKeys(r.labels) {
		list = append(list, r.labels[key])
	}
	return list
}

func serveLabels(c *call) error { return replyList(c, c.repo.sortedLabels(), c.repo.labelJSON) }

func serveLabel(c *call) error {
	if l := c.repo.labels[strings.ToLower(c.params["name"])]; l != nil {
		return c.reply(http.StatusOK, c.repo.labelJSON(l))
	}
	return notFound()
}

func serveNewLabel(c *call) error {
	var body struct{ Name, Color, Description string }
	if err := c.decode(&body); err != nil {
		return err
	}
	switch {
	case body.Name == "":
		return invalid("Label", "name", "missing_field", "")
	case c.repo.labels[strings.ToLower(body.Name)] != nil:
		return invalid("Label", "name", "already_exists", "")
	}
	l := c.repo.label(body.Name, c.actor.user)
	l.text = body.Description
	if body.Color != "" {
		l.color = body.Color
	}
	return c.reply(http.StatusCreated, c.repo.labelJSON(l))
}

func serveCommits(c *call) error {
	at, err := c.commitAt(c.query.Get("sha"))
	if err != nil {
		return err
	}
	list := slices.Clone(c.repo.net.compare("", at.sha).ahead)
	slices.Reverse(list)
	return replyList(c, list, c.repo.commitJSON)
}
