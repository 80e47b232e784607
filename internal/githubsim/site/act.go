package site

import (
	"fmt"
)

// acts are the buttons of a pull request. Each returns where the visitor looks next, below the pull request.
var acts = map[string]func(*visit) (string, error){
	"comment": func(v *visit) (string, error) {
		c, err := v.pull.Comment(v.me, v.form("body"))
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("#issuecomment-%d", c.ID), nil
	},
	"edit-comment": func(v *visit) (string, error) {
		return fmt.Sprintf("#issuecomment-%d", v.formID()), v.pull.EditComment(v.me, v.formID(), v.form("text"))
	},
	"delete-comment":  func(v *visit) (string, error) { return "", v.pull.DeleteComment(v.me, v.formID()) },
	"approve":         func(v *visit) (string, error) { return v.review("APPROVE") },
	"request-changes": func(v *visit) (string, error) { return v.review("REQUEST_CHANGES") },
	"review":          func(v *visit) (string, error) { return v.review("COMMENT") },
	"dismiss": func(v *visit) (string, error) {
		return fmt.Sprintf("#pullrequestreview-%d", v.formID()), v.pull.DismissReview(v.me, v.formID(), v.form("message"))
	},
	"label":    func(v *visit) (string, error) { return "#about", v.pull.AddLabel(v.me, v.form("name")) },
	"unlabel":  func(v *visit) (string, error) { return "#about", v.pull.RemoveLabel(v.me, v.form("name")) },
	"title":    func(v *visit) (string, error) { return "", v.pull.SetTitle(v.me, v.form("name")) },
	"close":    func(v *visit) (string, error) { return "#merge", v.pull.Close(v.me) },
	"reopen":   func(v *visit) (string, error) { return "#merge", v.pull.Reopen(v.me) },
	"draft":    func(v *visit) (string, error) { return "#merge", v.pull.SetDraft(v.me, true) },
	"ready":    func(v *visit) (string, error) { return "#merge", v.pull.SetDraft(v.me, false) },
	"retarget": func(v *visit) (string, error) { return "", v.pull.Retarget(v.me, v.form("base")) },
	"merge":    func(v *visit) (string, error) { return "#merge", v.pull.Merge(v.me) },
	"enqueue": func(v *visit) (string, error) {
		_, err := v.pull.Enqueue(v.me)
		return "#merge", err
	},
	"look":  func(*visit) (string, error) { return "#merge", nil }, // settling looks at the merge queue
	"rerun": func(v *visit) (string, error) { return "/checks", v.repo.RerequestCheckRun(v.me, v.formID()) },
	"button": func(v *visit) (string, error) {
		return "/checks", v.repo.RequestAction(v.me, v.formID(), v.form("identifier"))
	},
}

// act does one thing as the visitor, waits for what follows from it, and shows the pull request again. What was refused is
// shown with what was typed.
func (v *visit) act() (page, error) {
	do, known := acts[v.r.PathValue("act")]
	if !known {
		return page{}, errNotFound
	}
	to, err := do(v)
	if err != nil {
		return v.pullPage("conversation"), err
	}
	v.settle()
	return page{to: v.pullPath(to)}, nil
}

// review submits a review of the commit that the visitor's page showed.
func (v *visit) review(state string) (string, error) {
	r, err := v.pull.ReviewAt(v.me, state, v.form("body"), v.form("head"))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("#pullrequestreview-%d", r.ID), nil
}
