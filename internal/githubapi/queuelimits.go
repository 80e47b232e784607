package githubapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// QueueLimit is how many pull requests at once the merge queue of a ruleset merges.
// With 0, entries stay where they are: GitHub documents 0 as the least, and not what
// it does.
type QueueLimit struct {
	RulesetID  int64
	MaxEntries int
}

// queueRule is the type of the rule by which branches have a merge queue, and
// queueLimit the parameter that says how many pull requests it merges at once.
const (
	queueRule  = "merge_queue"
	queueLimit = "max_entries_to_merge"
)

// rawRuleset is a ruleset with whatever GitHub shows of it.
type rawRuleset map[string]json.RawMessage

// readOnly are the fields that GitHub shows and does not take.
var readOnly = []string{"id", "node_id", "source", "source_type", "created_at", "updated_at", "_links", "current_user_can_bypass"}

// QueueLimits lists the merge queues of the repository: the rulesets in force that
// make one, which are its own, since an organization's cannot. It is one call and
// one for each ruleset, for nothing while they are unchanged.
func (c *Client) QueueLimits(ctx context.Context, repository policy.Repository) ([]QueueLimit, error) {
	client, err := c.rest(repository)
	if err != nil {
		return nil, err
	}
	all, err := ownRulesets(ctx, client, repository)
	if err != nil {
		return nil, err
	}
	var limits []QueueLimit
	for _, listed := range all {
		if listed.Enforcement != "active" || listed.Target != "branch" || listed.Name == lockName {
			continue
		}
		rs, err := readRuleset(ctx, client, repository, listed.ID)
		if isNotFound(err) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		rule, err := rs.queue()
		if err != nil {
			return nil, failed(err, "read the ruleset %d of %s", listed.ID, repository)
		}
		if rule != nil {
			limits = append(limits, QueueLimit{RulesetID: listed.ID, MaxEntries: rule.limit})
		}
	}
	return limits, nil
}

// SetQueueLimit changes how many pull requests the ruleset's merge queue merges at
// once, and nothing else of the ruleset, and returns how many it were. It is two
// calls, one if there is nothing to change. What somebody changes between the two
// is lost. It needs administration: write.
func (c *Client) SetQueueLimit(ctx context.Context, repository policy.Repository, rulesetID int64, maxEntries int) (previous int, err error) {
	client, err := c.rest(repository)
	if err != nil {
		return 0, err
	}
	rs, err := readRuleset(ctx, client, repository, rulesetID)
	if err != nil {
		return 0, err
	}
	rule, err := rs.queue()
	if err != nil {
		return 0, failed(err, "read the ruleset %d of %s", rulesetID, repository)
	}
	if rule == nil {
		return 0, &Error{Operation: fmt.Sprintf("read the ruleset %d of %s, which makes no merge queue", rulesetID, repository), Status: http.StatusOK}
	}
	if rule.limit == maxEntries {
		return rule.limit, nil
	}
	if err := rs.setQueue(rule, maxEntries); err != nil {
		return 0, failed(err, "change the ruleset %d of %s", rulesetID, repository)
	}
	err = call(ctx, client, http.MethodPut, ruleset(repository, rulesetID), rs, nil)
	return rule.limit, failed(err, "change the merge queue of the ruleset %d of %s", rulesetID, repository)
}

func readRuleset(ctx context.Context, client *github.Client, repository policy.Repository, id int64) (rawRuleset, error) {
	var rs rawRuleset
	err := get(ctx, client, ruleset(repository, id)+"?includes_parents=false", &rs)
	return rs, failed(err, "read the ruleset %d of %s", id, repository)
}

// rawQueue is the rule that makes a merge queue.
type rawQueue struct {
	rules []json.RawMessage
	// at is its place among the rules.
	at         int
	rule       map[string]json.RawMessage
	parameters map[string]json.RawMessage
	limit      int
}

// queue finds the rule that makes a merge queue; nil if there is none.
func (rs rawRuleset) queue() (*rawQueue, error) {
	var q rawQueue
	if rs["rules"] == nil {
		return nil, nil //nolint:nilnil // no rules, no queue
	}
	if err := json.Unmarshal(rs["rules"], &q.rules); err != nil {
		return nil, err
	}
	for at, raw := range q.rules {
		var rule lockRule
		if err := json.Unmarshal(raw, &rule); err != nil {
			return nil, err
		}
		if rule.Type != queueRule {
			continue
		}
		q.at = at
		if err := json.Unmarshal(raw, &q.rule); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(q.rule["parameters"], &q.parameters); err != nil {
			return nil, err
		}
		return &q, json.Unmarshal(q.parameters[queueLimit], &q.limit)
	}
	return nil, nil //nolint:nilnil // no queue
}

// setQueue makes the ruleset what is to be written.
func (rs rawRuleset) setQueue(q *rawQueue, maxEntries int) error {
	for _, name := range readOnly {
		delete(rs, name)
	}
	var err error
	if q.parameters[queueLimit], err = json.Marshal(maxEntries); err != nil {
		return err
	}
	if q.rule["parameters"], err = json.Marshal(q.parameters); err != nil {
		return err
	}
	if q.rules[q.at], err = json.Marshal(q.rule); err != nil {
		return err
	}
	rs["rules"], err = json.Marshal(q.rules)
	return err
}
